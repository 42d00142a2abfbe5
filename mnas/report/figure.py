"""What a figure shows: series of points with intervals, the axes, and which points can be drawn."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mnas.report.ticks import LARGEST, SMALLEST, Scale, scale_of

Interval = tuple[float, float]
"""Lower and upper end in data units; an infinite end reaches to the edge of the plot."""

Style = Literal["points", "line", "steps", "hollow", "muted", "cloud", "trace", "faint", "bars"]


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one kind, in data units.

    Args:
        name: Text of the legend; an empty name stays out of it.
        xs: Horizontal values; ``None`` and NaN mean that the point is not there.
        ys: Vertical values, as many as ``xs``.
        x_intervals: Interval of each point's x, or ``None`` for none.
        y_intervals: Interval of each point's y, or ``None`` for none.
        labels: Tooltip of each point.
        style: ``points`` and ``hollow`` draw markers; ``line`` joins them in the order given and breaks at a missing
            point; ``steps`` sorts by x and holds each y until the next x (a Pareto staircase); ``muted`` is background,
            and so is ``cloud``: thousands of dots in one stroke, without tooltips; ``trace`` is a line without markers
            and ``faint`` one in the background, both with the first label as their tooltip; ``bars`` draws columns from
            zero that are as wide as the x interval of each point.
        ids: ``data-id`` of each point; a table row of the same id lights up with it.
        ties: Pairs of indices of points that cannot be told apart; they share a halo.

    Raises:
        ValueError: The lengths differ, or a tie names a point that is not there.
    """

    name: str
    xs: Sequence[float | None]
    ys: Sequence[float | None]
    x_intervals: Sequence[Interval | None] | None = None
    y_intervals: Sequence[Interval | None] | None = None
    labels: Sequence[str] | None = None
    style: Style = "points"
    ids: Sequence[str] | None = None
    ties: Sequence[tuple[int, int]] = ()

    def __post_init__(self) -> None:
        for field in ("ys", "x_intervals", "y_intervals", "labels", "ids"):
            values = getattr(self, field)
            if values is not None and len(values) != len(self.xs):
                raise ValueError(f"series {self.name!r}: {len(values)} {field} for {len(self.xs)} xs")
        for pair in self.ties:
            if not all(0 <= index < len(self.xs) for index in pair):
                raise ValueError(f"series {self.name!r}: tie {pair} is outside 0..{len(self.xs) - 1}")


@dataclass(frozen=True, slots=True)
class Axes:
    """How a figure is laid out.

    Args:
        x_label: Text below the horizontal axis, with its unit.
        y_label: Text beside the vertical axis, with its unit.
        x_log: Logarithmic horizontal axis.
        y_log: Logarithmic vertical axis.
        diagonal: Draw y = x; both axes then share one range.
        vertical_marks: (x, label) of dashed vertical lines such as a target; they widen the range if need be.
        x_range: Ends of the horizontal axis, low < high, so that several figures share it; what lies outside is left
            out and counted. Without it the data decide.
        rows: Named rows in place of a vertical axis, from the top: (name on the left, text on the right). A y is then
            the number of a row from 0; half a row up or down still belongs to it.
        width: Width of the drawing in px, at least 240; the page scales it down where it has to.
        height: Height of the drawing in px, at least 160.

    Raises:
        ValueError: The diagonal is wanted between a linear and a log axis, the range is none, or the drawing is too
            small.
    """

    x_label: str
    y_label: str
    x_log: bool = False
    y_log: bool = False
    diagonal: bool = False
    vertical_marks: Sequence[tuple[float, str]] = ()
    x_range: Interval | None = None
    rows: Sequence[tuple[str, str]] = ()
    width: int = 920
    height: int = 440

    def __post_init__(self) -> None:
        if self.diagonal and self.x_log != self.y_log:
            raise ValueError("a diagonal needs two linear or two log axes")
        if self.x_range is not None and not (0.0 if self.x_log else -LARGEST) < self.x_range[0] < self.x_range[1]:
            raise ValueError(f"x_range {self.x_range}: the lower end is below the upper, and positive on a log axis")
        if self.width < 240 or self.height < 160:
            raise ValueError(f"a figure of {self.width} x {self.height} px is too small: at least 240 x 160")


@dataclass(frozen=True, slots=True)
class Point:
    """A point that can be drawn; ``index`` counts in its series."""

    index: int
    x: float
    y: float
    x_interval: Interval | None
    y_interval: Interval | None


@dataclass(frozen=True, slots=True)
class Content:
    """What remains to be drawn: per series its points, the marks, and why how many points were left out."""

    points: tuple[tuple[Point, ...], ...]
    marks: tuple[tuple[float, str], ...]
    dropped: tuple[tuple[str, int], ...]

    def note(self) -> str:
        """Return a sentence on what is not drawn, or an empty text."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.dropped)
        return f"Not drawn: {reasons}." if reasons else ""


def select(series: Sequence[Series], axes: Axes) -> Content:
    """Return the points and marks that the axes can show, and count the others by reason."""
    dropped: Counter[str] = Counter()
    kept = []
    for one in series:
        points = []
        for index, (x, y) in enumerate(zip(one.xs, one.ys, strict=True)):
            reason = _obstacle(x, axes.x_log) or _obstacle(y, axes.y_log) or _outside(x, y, axes)
            if x is None or y is None or reason:
                dropped[reason] += 1
                continue
            bars = _interval(one.x_intervals, index), _interval(one.y_intervals, index)
            points.append(Point(index, float(x), len(axes.rows) - 1.0 - y if axes.rows else float(y), *bars))
        kept.append(tuple(points))
    marks = tuple(m for m in axes.vertical_marks if not (_obstacle(m[0], axes.x_log) or _outside(m[0], 0, axes)))
    if len(marks) < len(axes.vertical_marks):
        dropped["mark(s)"] = len(axes.vertical_marks) - len(marks)
    return Content(tuple(kept), marks, tuple(sorted(dropped.items())))


def scales(content: Content, axes: Axes, *, from_zero: bool = False) -> tuple[Scale, Scale]:
    """Return the horizontal and vertical scale that show every point, interval and mark, and y = 0 ``from_zero``.

    Raises:
        ValueError: There is no point.
    """
    points = [point for one in content.points for point in one]
    xs = [point.x for point in points] + [x for x, _ in content.marks]
    ys = [point.y for point in points]
    xs += _ends((point.x_interval for point in points), axes.x_log)
    ys += _ends((point.y_interval for point in points), axes.y_log)
    if axes.diagonal:
        xs = ys = xs + ys
    if from_zero and not axes.y_log:
        ys.append(0.0)
    x = Scale(*axes.x_range, log=axes.x_log) if axes.x_range else scale_of(xs, log=axes.x_log)
    rows = len(axes.rows)
    return x, Scale(-0.5, rows - 0.5) if rows else scale_of(ys, log=axes.y_log)


def _obstacle(value: float | None, log: bool) -> str:
    """Return why a value cannot be drawn, or an empty text."""
    if value is None or math.isnan(value):
        return "missing"
    if math.isinf(value):
        return "infinite"
    if log and value <= 0:
        return "not positive on a log axis"
    if abs(value) > LARGEST or (log and value < SMALLEST):
        return "too large or small to draw"
    return ""


def _outside(x: float | None, y: float | None, axes: Axes) -> str:
    """Return why a value that could be drawn has no place on these axes, or an empty text."""
    if axes.x_range is not None and x is not None and not axes.x_range[0] <= x <= axes.x_range[1]:
        return "outside the axis"
    if axes.rows and y is not None and not -0.5 <= y <= len(axes.rows) - 0.5:
        return "in no row"
    return ""


def _interval(intervals: Sequence[Interval | None] | None, index: int) -> Interval | None:
    found = intervals[index] if intervals is not None else None
    if found is None or any(math.isnan(end) for end in found):
        return None
    return float(min(found)), float(max(found))


def _ends(intervals: Iterable[Interval | None], log: bool) -> list[float]:
    return [end for pair in intervals if pair is not None for end in pair if not _obstacle(end, log)]
