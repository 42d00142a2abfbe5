"""Architectures: canonical JSON, strictness and ids."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from network_cases import architectures

from mnas.architecture import Architecture, block_from_json
from mnas.errors import ArchitectureError
from mnas.named_networks import mobilenetv3_small

ARCH_ID_V3_SMALL = "a90e3d64d1debeef4b321a16b3fe423b57adcd8e191c369b60672c2bd91bfbbd"


@given(architectures())
def test_json_round_trip_keeps_the_architecture_and_its_id(architecture):
    read = Architecture.from_json(json.loads(json.dumps(architecture.to_json())))
    assert read == architecture
    assert read.arch_id == architecture.arch_id


@given(architectures(), architectures())
def test_ids_are_equal_exactly_when_the_architectures_are(first, second):
    assert (first.arch_id == second.arch_id) == (first == second)


def test_arch_id_does_not_change_between_versions():
    # Stored tables and studies refer to networks by this id; a change needs a migration.
    assert mobilenetv3_small().arch_id == ARCH_ID_V3_SMALL


def test_arch_id_depends_on_every_part():
    base = mobilenetv3_small(96, 10)
    others = [
        replace(base, input_shape_chw=(3, 97, 96)),
        replace(base, stem=()),
        replace(base, stages=base.stages[:-1]),
        mobilenetv3_small(96, 11),
    ]
    assert len({base.arch_id, *(other.arch_id for other in others)}) == 5


@pytest.mark.parametrize("field", sorted(mobilenetv3_small().to_json()))
def test_a_missing_field_is_refused(field):
    value = mobilenetv3_small().to_json()
    del value[field]
    with pytest.raises(ArchitectureError, match="ARC01"):
        Architecture.from_json(value)


@pytest.mark.parametrize("field", sorted(mobilenetv3_small().to_json()["stem"][0]))
def test_a_missing_field_of_a_block_is_refused_with_its_place(field):
    value = mobilenetv3_small().to_json()
    del value["stages"][1][0][field]
    with pytest.raises(ArchitectureError, match=rf"stages\[1\]\[0\].*{field}"):
        Architecture.from_json(value)


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"schema": "mnas.architecture/2"},
        {"input_shape_chw": [3, 224]},
        {"input_shape_chw": [3, 224.0, 224]},
        {"input_shape_chw": "abc"},
        {"input_shape_chw": [0, 224, 224]},
        {"classes": 7},
        {"classes": "1000"},
        {"classes": True},
        {"head": []},
        {"head": None},
        {"stem": {}},
        {"stages": [None]},
        {"stages": [[None]]},
    ],
)
def test_a_bad_architecture_is_refused(change):
    with pytest.raises(ArchitectureError, match="ARC01"):
        Architecture.from_json(mobilenetv3_small().to_json() | change)


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_something_else_is_refused(value):
    with pytest.raises(ArchitectureError, match="ARC01"):
        Architecture.from_json(value)
    with pytest.raises(ArchitectureError, match="ARC01"):
        block_from_json(value)


@pytest.mark.parametrize(
    "change",
    [
        {"op": "conv3d"},
        {"op": ["conv"]},
        {"activation": "gelu"},
        {"norm": "layer"},
        {"kernel_size": 4},
        {"kernel_size": 0},
        {"stride": 0},
        {"stride": 1.0},
        {"stride": True},
        {"out_channels": 0},
        {"out_channels": 10**7},
        {"groups": None},
        {"mid_channels": -1},
        {"mid_channels": 0},
        {"se_channels": 8},
        {"se_gate": "sigmoid"},
        {"skip": 1},
        {"extra": 0},
    ],
)
def test_a_bad_block_is_refused(change):
    good = mobilenetv3_small().to_json()["stages"][1][0]
    assert good["op"] == "mbconv" and good["se_channels"] == 0
    with pytest.raises(ArchitectureError, match="ARC01"):
        block_from_json(good | change)


def test_blocks_come_in_order():
    network = mobilenetv3_small()
    assert network.blocks[0] == network.stem[0]
    assert network.blocks[-1] == network.head[-1]
    assert len(network.blocks) == 1 + 11 + 4


def test_label_is_short_and_readable():
    block = mobilenetv3_small().stages[0].blocks[0]
    assert block.label() == "mbconv k3 s2 m16 se8 o16 relu"
