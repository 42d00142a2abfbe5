"""Two tables held against each other: ratios that were put in come out, and what one lacks is named."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.diff import OperatorKind, diff_tables
from latency.table import LutEntry
from latency.testing import made_up_table
from mnas.errors import LutError
from mnas.segments import Segment
from mnas.spaces.presets import open_space

SPACE = open_space("mobilenetv3", "digits", (8,))


def table(ratio=lambda segment: 1.0, lut_id="lut1-a", space=SPACE):
    made = made_up_table(space)
    made.lut_id = lut_id
    made.entries = {
        segment: LutEntry(entry.latency_ms * ratio(segment), 0.0, 99.0, 5, "ok")
        for segment, entry in made.entries.items()
    }
    return made


def by_kind(segment):
    block = segment.blocks[0]
    return 2.0 if block.kernel_size == 5 else 0.5 if block.se_channels else 1.0


def test_each_kind_of_operator_gets_the_ratio_that_was_put_in():
    found = diff_tables(table(), table(by_kind))
    assert sum(one.segments for one in found.kinds.values()) == found.whole.segments == len(table().entries)
    assert {kind.kernel_size for kind in found.kinds if kind.role == "block"} == {3, 5}
    for kind, comparison in found.kinds.items():
        expected = 2.0 if kind.kernel_size == 5 else 0.5 if kind.has_se else 1.0
        assert (comparison.ratio, comparison.spread) == (pytest.approx(expected), pytest.approx(1))
        assert comparison.least == pytest.approx(expected) == comparison.greatest
        if comparison.segments >= 3:
            assert comparison.spearman == pytest.approx(1) == comparison.kendall_tau
    assert found.whole.spread > 1.3 and found.whole.kendall_tau < 0.9
    assert (found.only_first, found.only_second, found.not_positive) == ((), (), ())
    assert [pair.first_ms for pair in found.pairs] == sorted((pair.first_ms for pair in found.pairs), reverse=True)


@settings(max_examples=15)
@given(st.lists(st.floats(0.01, 100), min_size=8, max_size=8))
def test_the_other_way_round_is_the_reciprocal(ratios):
    def ratio(segment):
        return ratios[sum(block.out_channels + block.kernel_size for block in segment.blocks) % 8]

    forth, back = diff_tables(table(), table(ratio)), diff_tables(table(ratio), table())
    assert set(forth.kinds) == set(back.kinds)
    for kind, one in forth.kinds.items():
        other = back.kinds[kind]
        assert one.ratio * other.ratio == pytest.approx(1)
        assert (one.least * other.greatest, one.spread) == (pytest.approx(1), pytest.approx(other.spread))
        assert one.least <= one.ratio * (1 + 1e-9) and one.ratio <= one.greatest * (1 + 1e-9)
        assert one.kendall_tau == pytest.approx(other.kendall_tau) if one.segments > 2 else one.kendall_tau is None


def test_ranks_agree_with_counting_pairs():
    rng = np.random.default_rng(0)
    noise = {segment: float(rng.uniform(0.5, 2)) for segment in SPACE.segments()}
    found = diff_tables(table(), table(noise.__getitem__))
    signs = [
        np.sign((a.first_ms - b.first_ms) * (a.second_ms - b.second_ms))
        for i, a in enumerate(found.pairs)
        for b in found.pairs[:i]
    ]
    assert found.whole.kendall_tau == pytest.approx(np.mean(signs))


def test_what_one_alone_has_and_what_is_not_positive_is_named():
    first, second = table(), table(lut_id="lut2-b")
    segments = list(first.entries)
    del first.entries[segments[0]], second.entries[segments[1]], second.entries[segments[2]]
    second.entries[segments[3]] = replace(second.entries[segments[3]], latency_ms=-0.001)
    found = diff_tables(first, second)
    assert found.only_second == (segments[0].label(),)
    assert set(found.only_first) == {segments[1].label(), segments[2].label()}
    assert found.not_positive == (segments[3].label(),)
    assert found.whole.segments == len(segments) - 4


def test_a_head_is_compared_with_the_sum_of_its_pieces():
    whole = table()
    head = next(segment for segment in whole.entries if segment.role == "head")
    apart = table(lut_id="lut2-b")
    del apart.entries[head]
    channels, side, _ = head.in_shape_chw
    pieces = [
        Segment("block", head.blocks[:1], head.in_shape_chw),
        Segment("block", head.blocks[1:2], (head.blocks[0].out_channels, side, side)),
        Segment("head", head.blocks[2:], (head.blocks[1].out_channels, 1, 1)),
    ]
    assert channels > 0 and len(head.blocks) == 3
    apart.entries |= {piece: LutEntry(float(i), 0, 9, 5, "imported") for i, piece in enumerate(pieces, 1)}
    for first, second, ratio in ((whole, apart, 6 / whole.entries[head].latency_ms),):
        forth, back = diff_tables(first, second), diff_tables(second, first)
        assert (forth.only_first, forth.only_second, back.only_first, back.only_second) == ((), (), (), ())
        (kind,) = (one for one in forth.kinds if one.role == "head" and "pool" in one.op)
        assert kind == OperatorKind("head", "conv+pool+linear", 1, False, 1)
        assert forth.kinds[kind].least <= ratio * (1 + 1e-9) and forth.kinds[kind].greatest >= ratio * (1 - 1e-9)
        assert back.whole.ratio == pytest.approx(1 / forth.whole.ratio)


def test_tables_with_nothing_in_common_are_refused():
    other = table(space=open_space("mobilenetv3", "imagenet", (160,)), lut_id="lut2-b")
    with pytest.raises(LutError, match=r"LUT36.*lut1-a of mobilenetv3/digits, lut2-b of mobilenetv3/imagenet"):
        diff_tables(table(), other)
