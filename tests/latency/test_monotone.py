"""Contradictions between entries: found where they are, along each axis, and nowhere else."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.monotone import non_monotone
from latency.table import LutEntry
from latency.testing import made_up_table
from mnas.architecture import Block
from mnas.counts import total_macs
from mnas.layers import layers_of_blocks
from mnas.segments import Segment
from mnas.spaces.presets import open_space

BLOCK = Block(op="mbconv", kernel_size=3, mid_channels=48, out_channels=16, activation="relu", skip=True)
PLACE = Segment("block", (BLOCK,), (16, 8, 8))
SQUEEZE = replace(BLOCK, se_channels=16, se_gate="hsigmoid", se_activation="relu")


def entry(ms, half=0.1):
    return LutEntry(ms, ms - half, ms + half, 5, "ok")


def found(entries):
    table = made_up_table(open_space("mobilenetv3", "digits", (8,)))
    table.entries = entries
    return non_monotone(table)


def with_block(**changes):
    return replace(PLACE, blocks=(replace(BLOCK, **changes),))


LARGER = {
    "kernel_size": with_block(kernel_size=5),
    "mid_channels": with_block(mid_channels=64),
    "out_channels": with_block(out_channels=24),
    "resolution": replace(PLACE, in_shape_chw=(16, 12, 12)),
}


@pytest.mark.parametrize("axis", LARGER)
def test_a_larger_segment_that_is_faster_is_found(axis):
    larger = LARGER[axis]
    (pair,) = found({PLACE: entry(2.0), larger: entry(1.0)})
    assert (pair.axis, pair.smaller, pair.larger) == (axis, PLACE, larger)
    assert (pair.smaller_ms, pair.larger_ms, pair.gap_ms) == (2.0, 1.0, pytest.approx(0.8))
    assert found({PLACE: entry(1.0), larger: entry(2.0)}) == []
    assert found({PLACE: entry(2.0, 0.5), larger: entry(1.5, 0.5)}) == [], "within the intervals"


def test_squeeze_channels_follow_the_inner_ones():
    small = replace(PLACE, blocks=(SQUEEZE,))
    large = replace(PLACE, blocks=(replace(SQUEEZE, mid_channels=96, se_channels=24),))
    assert [pair.axis for pair in found({small: entry(2.0), large: entry(1.0)})] == ["mid_channels"]
    assert found({small: entry(2.0), LARGER["mid_channels"]: entry(1.0)}) == [], "they differ in more than one way"


def test_the_surest_of_the_smaller_ones_is_held_against():
    entries = {with_block(kernel_size=k): entry(ms) for k, ms in ((3, 3.0), (5, 2.85), (7, 2.7))}
    (pair,) = found(entries)
    assert pair.smaller.blocks[0].kernel_size == 3 and pair.larger.blocks[0].kernel_size == 7


def test_segments_of_several_blocks_are_compared_along_the_resolution():
    stem = (Block(op="conv", kernel_size=3, stride=2, out_channels=16), Block(op="sepconv", out_channels=16))
    small, large = (Segment("stem", stem, (3, px, px)) for px in (32, 64))
    other = Segment("stem", (replace(stem[0], kernel_size=5), stem[1]), (3, 32, 32))
    (pair,) = found({small: entry(5), large: entry(1), other: entry(2)})
    assert (pair.axis, pair.smaller, pair.larger) == ("resolution", small, large)


SPACE = open_space("mobilenetv3", "digits", (8, 16))


def macs(segment):
    return total_macs(layers_of_blocks(segment.blocks, segment.in_shape_chw))


@given(st.floats(0.1, 2), st.integers(0, 10_000))
def test_a_table_that_grows_with_the_work_has_none_and_one_spoilt_entry_is_found(power, number):
    table = made_up_table(SPACE)
    table.entries = {segment: entry(macs(segment) ** power, 0.0) for segment in table.entries}
    assert non_monotone(table) == []
    kernels = [one for one in table.entries if one.blocks[0].kernel_size == 5]
    spoilt = kernels[number % len(kernels)]
    table.entries[spoilt] = entry(0.0, 0.0)
    pairs = non_monotone(table)
    assert pairs and all(spoilt in (pair.smaller, pair.larger) for pair in pairs)
    assert [pair.gap_ms for pair in pairs] == sorted((pair.gap_ms for pair in pairs), reverse=True)
