"""Drawings of networks: well-formed whatever the title, a box for each block, higher for more pixels."""

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from mnas.architecture import OPS, Architecture, Block, Stage
from mnas.layers import layers_of
from mnas.named_networks import NAMED_NETWORKS, named_network
from mnas.report.network import draw_network
from mnas.report.text import clean
from mnas.spaces.presets import open_space

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "\"'><img src=x onerror=alert(1)></script></svg>&amp;\x00\ud800"

SMALL = Architecture(
    input_shape_chw=(3, 32, 32),
    classes=5,
    stem=(Block(op="conv", kernel_size=3, out_channels=16),),
    stages=(
        Stage((Block(op="conv", kernel_size=3, out_channels=64),)),
        Stage((Block(op="maxpool", kernel_size=3, stride=2, out_channels=64),)),
    ),
    head=(Block(op="pool", out_channels=64), Block(op="linear", out_channels=5)),
)


def parsed(architecture, title="t"):
    svg = draw_network(architecture, title)
    assert isinstance(svg, Markup)
    return ET.fromstring(str(svg))


def boxes(root):
    """The rectangles that stand for a block: those with a tooltip."""
    return [rect for rect in root.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]


def texts(root):
    return [text.text for text in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("name", NAMED_NETWORKS)
def test_a_box_for_each_block_within_the_drawing(name):
    network = named_network(name)
    root = parsed(network, name)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    drawn = boxes(root)
    assert [rect.attrib["class"] for rect in drawn] == [block.op for block in network.blocks]
    ends = 0.0
    for rect in drawn:
        x, y, wide, high = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        assert ends < x < x + wide < width and 0 < y < y + high < height
        ends = x + wide
    labels = [block.label() for block in network.blocks]
    assert [text for text in texts(root) if text in set(labels)] == labels
    assert len(root.findall(f".//{SVG}circle")) == sum(block.se_channels > 0 for block in network.blocks) + any(
        block.se_channels for block in network.blocks
    )


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from(["mnasnet", "proxylessnas", "mobilenetv3"]))
def test_any_network_of_a_space_is_drawn(number, family):
    space = open_space(family, "digits")
    network = space.decode(space.unrank(number % space.size()))
    root = parsed(network)
    assert len(boxes(root)) == len(network.blocks)


@given(st.text(max_size=60))
def test_any_title_is_text(title):
    root = parsed(SMALL, title)
    assert len(boxes(root)) == len(SMALL.blocks)
    assert (root.find(f"{SVG}title").text or "") == re.sub("\r\n?", "\n", clean(title))


def test_a_hostile_title_stays_text():
    svg = str(draw_network(SMALL, HOSTILE))
    assert "<img" not in svg and "<script" not in svg
    assert ET.fromstring(svg).find(f"{SVG}title").text.startswith("\"'><img src=x")


def test_more_pixels_are_higher_and_more_channels_wider():
    stem, conv, maxpool, pool, linear = (
        {key: float(rect.attrib[key]) for key in ("width", "height", "y")} for rect in boxes(parsed(SMALL))
    )
    assert stem["height"] == conv["height"] > maxpool["height"] > pool["height"] == linear["height"]
    assert linear["width"] < stem["width"] < conv["width"] == maxpool["width"] == pool["width"]
    assert {round(one["y"] + one["height"], 1) for one in (stem, conv, maxpool, pool, linear)} == {296.0}


def test_the_legend_names_what_is_drawn_and_nothing_else():
    legend = set(texts(parsed(named_network("squeezenet-1.1")))) & {*OPS, "squeeze-and-excitation", "adds its input"}
    assert legend == {"conv", "maxpool", "fire", "pool", "flatten"}
    legend = set(texts(parsed(named_network("efficientnet-b0")))) & {*OPS, "squeeze-and-excitation", "adds its input"}
    assert legend == {"conv", "mbconv", "pool", "linear", "squeeze-and-excitation", "adds its input"}


def test_tooltips_add_up_to_the_network():
    network = named_network("ghostnet")
    tooltips = [rect.find(f"{SVG}title").text for rect in boxes(parsed(network))]
    macs = [int(text.rpartition(" MACs")[0].rpartition(" ")[2].replace(",", "")) for text in tooltips]
    assert sum(macs) == sum(layer.macs for layer in layers_of(network))
