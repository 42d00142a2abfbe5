"""Histograms: how many bins, where the tail is cut, and the figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mnas.report.figure import Axes, Interval, Series
from mnas.report.svg import scatter
from mnas.report.ticks import LARGEST

_FEWEST_BINS, _MOST_BINS = 6, 40
_TAIL = 0.99
_LONG = 0.25
_AIR = 0.02
_FEWEST_FOR_A_TAIL = 10


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of values in bins of one width.

    Attributes:
        edges: Ascending, one more than there are bins; empty when there are no values.
        counts: Values in each bin; the last bin holds its upper edge.
        beyond: Values above the last edge.
        largest: Of all values; NaN when there are none.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    beyond: int
    largest: float


def quantile(ascending: Sequence[float], part: float) -> float:
    """Return a quantile by linear interpolation; NaN of nothing.

    Args:
        ascending: Values in order.
        part: 0..1.
    """
    if not ascending:
        return math.nan
    place = part * (len(ascending) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ascending) - 1)
    return ascending[low] + (place - low) * (ascending[high] - ascending[low])


def histogram(values: Sequence[float]) -> Histogram:
    """Count values in bins; those that are not finite, or too large to draw, are left out.

    The width is twice the interquartile range over the cube root of the number of values, but there are 6 to 40 bins.
    Where the slowest hundredth, or one value of ten to a hundred, makes the range longer by more than a quarter, it
    is cut off and counted.

    Source: Freedman and Diaconis 1981, "On the histogram as a density estimator", for the width.
    """
    ascending = sorted(value for value in values if abs(value) <= LARGEST)
    if not ascending:
        return Histogram((), (), 0, math.nan)
    low, largest = ascending[0], ascending[-1]
    high = ascending[math.floor(_TAIL * (len(ascending) - 1))]
    if len(ascending) < _FEWEST_FOR_A_TAIL or not (high > low and largest - high > _LONG * (high - low)):
        high = largest
    shown = [value for value in ascending if value <= high]
    if high - low <= 1e-9 * abs(high):
        half = 0.005 * abs(high) or 0.5
        return Histogram((low - half, high + half), (len(shown),), len(ascending) - len(shown), largest)
    spread = quantile(shown, 0.75) - quantile(shown, 0.25)
    rough = (high - low) * len(shown) ** (1 / 3) / (2 * spread) if spread > 0 else _MOST_BINS
    bins = min(max(math.ceil(min(rough, _MOST_BINS)), _FEWEST_BINS), _MOST_BINS)
    counts = [0] * bins
    for value in shown:
        counts[min(int((value - low) / (high - low) * bins), bins - 1)] += 1
    edges = (*(low + (high - low) * index / bins for index in range(bins)), high)
    return Histogram(edges, tuple(counts), len(ascending) - len(shown), largest)


def extent(shown: Sequence[Histogram]) -> Interval | None:
    """Return a range that holds the bins of all histograms with a little air, or ``None`` when there are none."""
    filled = [one for one in shown if one.edges]
    if not filled:
        return None
    low, high = min(one.edges[0] for one in filled), max(one.edges[-1] for one in filled)
    air = _AIR * (high - low)
    return (low - air if low - air > 0 or low <= 0 else 0.0), high + air


def draw_histogram(
    shown: Histogram,
    label: str,
    *,
    title: str,
    marks: Sequence[tuple[float, str]] = (),
    x_range: Interval | None = None,
    width: int = 320,
    height: int = 215,
) -> Markup:
    """Return a histogram as a figure.

    Args:
        shown: The counts.
        label: Of the horizontal axis, with its unit.
        title: Name for screen readers.
        marks: (value, label) of dashed lines; those beyond the range are left out.
        x_range: Of the axis; that of the bins unless given.
        width: In px.
        height: In px.
    """
    bins = list(zip(shown.edges, shown.edges[1:], strict=False))
    # Without a range of its own the axis would stretch to a mark far outside.
    given = x_range or extent([shown])
    bars = Series("", [(low + high) / 2 for low, high in bins], shown.counts, x_intervals=bins, style="bars")
    inside = [mark for mark in marks if given and given[0] <= mark[0] <= given[1]]
    axes = Axes(label, "runs", x_range=given, vertical_marks=inside, width=width, height=height)
    return scatter([bars], axes, title=title)
