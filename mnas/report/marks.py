"""The marks of a figure: markers, lines, staircases, error bars and halos, in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mnas.report.figure import Interval, Point, Series
from mnas.report.text import escaped
from mnas.report.ticks import LARGEST, Scale

_RADIUS = {"points": 4.5, "hollow": 4.5, "steps": 4.5, "line": 3.0, "muted": 3.0, "cloud": 2.5}
_WITHOUT_MARKERS = ("trace", "faint", "bars")
_BACKGROUND = ("muted", "cloud", "faint")
_COLOURS = 6


@dataclass(frozen=True, slots=True)
class Plot:
    """The rectangle of a figure that holds the data, in px, and the scales that map onto it."""

    x: Scale
    y: Scale
    left: float
    top: float
    right: float
    bottom: float

    def px(self, value: float) -> float:
        """Return the horizontal pixel of a value."""
        return self.left + self.x.fraction(value) * (self.right - self.left)

    def py(self, value: float) -> float:
        """Return the vertical pixel of a value; pixels count downwards."""
        return self.bottom - self.y.fraction(value) * (self.bottom - self.top)


def number(value: float) -> str:
    """Return a pixel coordinate to a tenth, without trailing zeros."""
    return f"{value:.1f}".removesuffix(".0")


def looks(series: Sequence[Series]) -> list[tuple[str, int]]:
    """Return the CSS class and marker shape of each series; series in the background use up no colour."""
    found = []
    turn = 0
    for one in series:
        if one.style in _BACKGROUND:
            found.append((f"s {one.style}", 0))
            continue
        found.append((f"s {one.style} c{turn % _COLOURS}", turn))
        turn += 1
    return found


def marker(shape: int, x: float, y: float, radius: float, attributes: str = "", inner: str = "") -> Markup:
    """Return a circle, square, diamond or triangle (``shape`` modulo 4); attributes and inner text are ready markup."""
    if shape % 4 == 0:
        start = f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"'
    else:
        start = f'<path d="{_outline(shape % 4, x, y, radius)}"'
    return Markup(f"{start}{attributes}>{inner}</{start[1:].split(' ', 1)[0]}>")


def draw(series: Series, points: Sequence[Point], look: tuple[str, int], plot: Plot) -> Markup:
    """Return one series as a group: halos below, then lines, error bars and markers."""
    name, shape = look
    if series.style == "cloud":
        dots = "".join(f"M{number(plot.px(point.x))} {number(plot.py(point.y))}h0" for point in points)
        return Markup(f'<g class="{name}"><path class="dots" d="{dots}"/></g>')
    if series.style in _WITHOUT_MARKERS:
        title = f"<title>{escaped(series.labels[0])}</title>" if series.labels else ""
        shown = _columns(points, plot) if series.style == "bars" else _path(series, points, plot)
        return Markup(f'<g class="{name}">{title}{shown}</g>')
    inside = [_halos(series, points, plot), _path(series, points, plot), _bars(points, plot)]
    for point in points:
        attributes = ' class="pt"'
        if series.ids is not None:
            attributes += f' data-id="{escaped(series.ids[point.index])}"'
        title = f"<title>{escaped(series.labels[point.index])}</title>" if series.labels is not None else ""
        x, y = plot.px(point.x), plot.py(point.y)
        inside.append(marker(shape, x, y, _RADIUS[series.style], attributes, title))
    return Markup(f'<g class="{name}">{"".join(inside)}</g>')


def sample(series: Series, look: tuple[str, int], x: float, y: float) -> Markup:
    """Return the legend's sample of a series, 20 px wide from ``x`` and centred on ``y``."""
    name, shape = look
    if series.style == "bars":
        return Markup(f'<g class="{name}"><path class="col" d="M{number(x + 4)} {number(y + 5)}v-10h12v10z"/></g>')
    if series.style in _WITHOUT_MARKERS:
        return Markup(f'<g class="{name}"><path class="ln" d="M{number(x)} {number(y)}h20"/></g>')
    inside = marker(shape, x + 10, y, _RADIUS[series.style], ' class="pt"')
    if series.style in ("line", "steps"):
        inside = Markup(f'<path class="ln" d="M{number(x)} {number(y)}h20"/>') + inside
    return Markup(f'<g class="{name}">{inside}</g>')


def _outline(shape: int, x: float, y: float, radius: float) -> str:
    if shape == 1:
        side = 0.89 * radius
        return f"M{number(x - side)} {number(y - side)}h{number(2 * side)}v{number(2 * side)}h{number(-2 * side)}z"
    if shape == 2:
        half = 1.25 * radius
        corners = [(x, y - half), (x + half, y), (x, y + half), (x - half, y)]
    else:
        half = 1.1 * radius
        corners = [(x, y - 1.2 * radius), (x + half, y + 0.8 * radius), (x - half, y + 0.8 * radius)]
    return "M" + "L".join(f"{number(a)} {number(b)}" for a, b in corners) + "z"


def _path(series: Series, points: Sequence[Point], plot: Plot) -> str:
    """Return the line or staircase through the points, or nothing."""
    if series.style == "steps":
        ordered = sorted(points, key=lambda point: (point.x, point.index))
        corners = [f"{'H' if turn else 'M'}{_corner(point, plot, bool(turn))}" for turn, point in enumerate(ordered)]
    elif series.style in ("line", "trace", "faint"):
        corners = []
        previous = -2
        for point in points:
            joined = point.index == previous + 1
            corners.append(f"{'L' if joined else 'M'}{number(plot.px(point.x))} {number(plot.py(point.y))}")
            previous = point.index
    else:
        return ""
    return f'<path class="ln" d="{"".join(corners)}"/>' if corners else ""


def _columns(points: Sequence[Point], plot: Plot) -> str:
    """Return all bars of a histogram as one path: from zero to y, over the x interval."""
    zero = plot.py(0.0)
    strokes = []
    for point in points:
        if point.x_interval is None or point.y == 0:
            continue
        low, high = (plot.px(end) for end in point.x_interval)
        strokes.append(f"M{number(low)} {number(zero)}V{number(plot.py(point.y))}H{number(high)}V{number(zero)}z")
    return f'<path class="col" d="{"".join(strokes)}"/>' if strokes else ""


def _corner(point: Point, plot: Plot, follows: bool) -> str:
    separator = "V" if follows else " "
    return f"{number(plot.px(point.x))}{separator}{number(plot.py(point.y))}"


def _bars(points: Sequence[Point], plot: Plot) -> str:
    """Return all error bars as one path."""
    strokes = []
    for point in points:
        x, y = plot.px(point.x), plot.py(point.y)
        if point.x_interval is not None:
            low, high = (plot.px(end) for end in point.x_interval)
            strokes.append(f"M{number(low)} {number(y)}H{number(high)}")
            strokes += [f"M{number(plot.px(end))} {number(y - 3)}v6" for end in _inside(point.x_interval, plot.x)]
        if point.y_interval is not None:
            low, high = (plot.py(end) for end in point.y_interval)
            strokes.append(f"M{number(x)} {number(low)}V{number(high)}")
            strokes += [f"M{number(x - 3)} {number(plot.py(end))}h6" for end in _inside(point.y_interval, plot.y)]
    return f'<path class="bar" d="{"".join(strokes)}"/>' if strokes else ""


def _inside(interval: Interval, scale: Scale) -> Iterator[float]:
    """Yield the ends that get a cap: those that the plot shows rather than cuts off."""
    return (end for end in interval if abs(end) <= LARGEST and scale.low <= end <= scale.high)


def _halos(series: Series, points: Sequence[Point], plot: Plot) -> str:
    """Return one wide translucent stroke per tie; chains of ties melt into one halo."""
    found = {point.index: (plot.px(point.x), plot.py(point.y)) for point in points}
    strokes = []
    for first, second in series.ties:
        if first not in found or second not in found:
            continue
        (x1, y1), (x2, y2) = found[first], found[second]
        if math.hypot(x2 - x1, y2 - y1) < 0.1:
            x2 += 0.1  # a stroke of no length would not be painted
        strokes.append(f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}")
    return f'<path class="tie" d="{"".join(strokes)}"/>' if strokes else ""
