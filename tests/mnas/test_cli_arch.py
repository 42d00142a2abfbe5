"""``mnas arch``: named networks with what is reported of them, any architecture's layers, its drawing."""

import json
import xml.etree.ElementTree as ET

import pytest

from mnas.cli import main
from mnas.counts import total_macs, total_params
from mnas.layers import layers_of
from mnas.named_networks import NAMED_NETWORKS, NETWORK_FACTS, named_network


def test_the_list_holds_counts_and_facts_of_every_network(capsys):
    assert main(["arch", "list", "--format", "json"]) == 0
    networks = {one["name"]: one for one in json.loads(capsys.readouterr().out)["networks"]}
    assert list(networks) == list(NAMED_NETWORKS)
    for name, one in networks.items():
        layers = layers_of(named_network(name))
        assert (one["params"], one["macs"]) == (total_params(layers), total_macs(layers))
        assert one["arch_id"] == named_network(name).arch_id
        assert one["facts"] == json.loads(json.dumps(NETWORK_FACTS[name].to_json()))


def test_the_table_shows_reported_figures_as_they_are(capsys):
    assert main(["arch", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if "fbnet-c" in line]
    assert all(text in line for text in ("5572200", "74.9", "28.1", "Galaxy S8", "Wu et al. 2019, arXiv 1812.03443"))
    assert any("mnas arch show" in line for line in lines)


def test_a_named_network_is_shown_with_its_facts(capsys):
    assert main(["arch", "show", "mobilenetv3-small", "--px", "64"]) == 0
    told = capsys.readouterr().out
    for line in NETWORK_FACTS["mobilenetv3-small"].lines():
        assert line in " ".join(told.split())
    assert main(["arch", "show", "mobilenetv3-small", "--px", "64", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["facts"]["latency"]["ms"] == 15.8
    assert document["architecture"]["input_shape_chw"] == [3, 64, 64]


@pytest.mark.parametrize("name", ["squeezenet-1.1", "ghostnet"])
def test_an_architecture_of_a_file_is_shown_as_the_network_it_is(tmp_path, capsys, name):
    network = named_network(name, 64, 10)
    place = tmp_path / "architecture.json"
    place.write_text(json.dumps(network.to_json()))
    drawing = tmp_path / "new" / "net.svg"
    assert main(["arch", "show", str(place), "--format", "json", "--draw", str(drawing)]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (document["arch_id"], document["facts"]) == (network.arch_id, None)
    assert captured.err == f"drawing: {drawing}\n"
    assert ET.fromstring(drawing.read_text()).attrib["aria-label"] == "architecture.json"


def test_a_quiet_command_says_nothing_of_its_drawing(tmp_path, capsys):
    place = tmp_path / "net.svg"
    assert main(["arch", "show", "mobilenetv1", "--px", "32", "-q", "--draw", str(place)]) == 0
    assert capsys.readouterr().err == ""
    assert ET.parse(place).getroot().attrib["class"] == "net"


def test_a_drawing_that_cannot_be_written_is_told(tmp_path, capsys):
    assert main(["arch", "show", "mobilenetv1", "--px", "32", "--draw", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert "CFG07" in captured.err and "--draw" in captured.err
    assert captured.out == ""
