"""Sparklines: what each character stands for, and that no number can break one."""

from __future__ import annotations

import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.cli.sparkline import ASCII, BLOCKS, can_show_blocks, histogram_sparkline, sparkline

ANY_FLOATS = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60)


def test_bars_rise_with_the_values() -> None:
    assert sparkline(list(range(8)), 8, unicode=True) == BLOCKS
    assert sparkline(list(range(8)), 8, unicode=False) == ASCII
    assert sparkline([7, 0], 8, unicode=True) == BLOCKS[-1] + BLOCKS[0]


def test_nan_and_infinities_are_gaps_and_move_nothing_else() -> None:
    assert sparkline([0, math.nan, 7, math.inf], 8, unicode=True) == BLOCKS[0] + " " + BLOCKS[-1] + " "
    assert sparkline([math.nan, -math.inf], 8, unicode=True) == "  "


def test_more_values_than_width_are_averaged_in_neighbours() -> None:
    assert sparkline([0, 2, 5, 9, 14, 14], 3, unicode=True) == sparkline([1, 7, 14], 3, unicode=True)


def test_equal_values_are_neither_low_nor_high() -> None:
    bars = sparkline([3.0, 3.0, 3.0], 8, unicode=True)
    assert len(set(bars)) == 1
    assert bars[0] not in (BLOCKS[0], BLOCKS[-1])


def test_nothing_gives_nothing() -> None:
    assert sparkline([], 8) == ""
    assert histogram_sparkline([], 8) == ""
    assert histogram_sparkline([math.nan], 8) == ""


def test_a_histogram_counts_and_leaves_out_the_slowest_hundredth() -> None:
    samples = [1.0] * 70 + [2.0] * 29 + [1000.0]
    bars = histogram_sparkline(samples, 4, unicode=True)
    assert bars[0] == BLOCKS[-1]
    assert bars[1:3] == "  "
    assert bars[3] in BLOCKS[2:6]
    # Had the outlier counted, the rest would share one bin.
    assert histogram_sparkline([*samples, 1000.0, 1000.0], 4, unicode=True)[1:3] == "  "
    assert histogram_sparkline([5.0] * 10, 4, unicode=True) == BLOCKS[-1] + "   "


@given(ANY_FLOATS, st.integers(1, 30))
def test_no_numbers_break_it(values: list[float], width: int) -> None:
    bars = sparkline(values, width, unicode=True)
    assert len(bars) == min(width, len(values))
    assert set(bars) <= set(BLOCKS + " ")
    finite = [value for value in values if math.isfinite(value)]
    spread = histogram_sparkline(values, width, unicode=False)
    assert len(spread) == (width if finite else 0)
    assert set(spread) <= set(ASCII + " ")


@pytest.mark.parametrize("draw", [sparkline, histogram_sparkline])
def test_a_width_below_one_is_refused(draw: object) -> None:
    with pytest.raises(ValueError, match="width"):
        draw([1.0], 0)  # type: ignore[operator]


@pytest.mark.parametrize(("encoding", "shows"), [("utf-8", True), ("ascii", False), ("latin-1", False)])
def test_the_stream_decides_on_blocks(encoding: str, shows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    assert can_show_blocks(stream) is shows
    monkeypatch.setattr("sys.stdout", stream)
    assert set(sparkline([1, 2], 2)) <= set(BLOCKS if shows else ASCII)
