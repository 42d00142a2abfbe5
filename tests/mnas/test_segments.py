"""Segments: the parts of a network add up to the network."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reduced_spaces import PRESETS

from mnas.architecture import Architecture, Block
from mnas.counts import total_macs, total_params
from mnas.errors import ArchitectureError
from mnas.layers import layers_of, layers_of_blocks
from mnas.named_networks import NAMED_NETWORKS, named_network
from mnas.segments import segments_of


def check_parts(architecture):
    """Walked on their own, the segments hold exactly the layers of the whole, in order."""
    segments = segments_of(architecture)
    parts = [layers_of_blocks(segment.blocks, segment.in_shape_chw) for segment in segments]
    whole = layers_of(architecture)
    assert sum(total_macs(part) for part in parts) == total_macs(whole)
    assert sum(total_params(part) for part in parts) == total_params(whole)
    # An addition's second input may come from the block before, so the layers are compared by what they are.
    fields = ("op", "in_shapes_chw", "out_shape_chw", "kernel_size", "stride", "groups", "activation", "macs")
    assert [[getattr(layer, name) for name in fields] for part in parts for layer in part] == [
        [getattr(layer, name) for name in fields] for layer in whole
    ]
    assert tuple(block for segment in segments for block in segment.blocks) == architecture.blocks
    return segments


@pytest.mark.parametrize("name", NAMED_NETWORKS)
@pytest.mark.parametrize("px", [65, 96])
def test_the_parts_of_a_named_network_add_up(name, px):
    segments = check_parts(named_network(name, px))
    assert [segment.role for segment in segments] == ["stem", *["block"] * (len(segments) - 2), "head"]
    assert segments[0].in_shape_chw == (3, px, px)


@settings(max_examples=40)
@given(st.sampled_from(sorted(PRESETS)), st.integers(0, 2**32))
def test_the_parts_of_any_network_add_up(name, seed):
    space = PRESETS[name]
    check_parts(space.decode(space.sample(np.random.default_rng(seed))))


def test_equal_blocks_in_other_places_are_other_segments():
    segments = segments_of(named_network("mobilenetv2", 96))
    assert len(set(segments)) < len(segments) == 19
    smaller = segments_of(named_network("mobilenetv2", 64))
    assert not set(segments) & set(smaller)
    assert [segment.blocks for segment in segments] == [segment.blocks for segment in smaller]


def test_a_network_without_stem_has_none():
    head = (Block(op="pool", out_channels=3), Block(op="linear", out_channels=2))
    (segment,) = check_parts(Architecture((3, 8, 8), 2, (), (), head))
    assert segment.role == "head"
    assert segment.label() == "head 3x8x8 pool o3 + linear o2"


def test_blocks_that_do_not_fit_are_refused():
    head = (Block(op="pool", out_channels=4), Block(op="linear", out_channels=2))
    with pytest.raises(ArchitectureError, match="ARC02"):
        segments_of(Architecture((3, 8, 8), 2, (), (), head))
