"""Figures as SVG text: scatter plots, lines, Pareto staircases, histograms, and named rows of dots with intervals.

Each function is pure and returns :class:`markupsafe.Markup` with every text in it escaped, ready to be put into a page
or parsed as XML. Colours and fonts come from the page's style sheet by class name.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from mnas.report.figure import Axes, Content, Interval, Series, Style, scales, select
from mnas.report.marks import Plot, draw, looks, number, sample
from mnas.report.text import escaped, shortened, width_px
from mnas.report.ticks import Scale

__all__ = ["Axes", "Interval", "Series", "Style", "scatter"]

_SMALL = 11.0
_ROW = 18
_SAMPLE = 28
_LEAST_PLOT = 90
_ROW_HEIGHT = 26
_SIDE_SHARE = 0.28
_Ticks = Sequence[tuple[float, str]]


def scatter(series: Sequence[Series], axes: Axes, *, title: str = "", description: str = "") -> Markup:
    """Return a figure of all series on one pair of axes.

    Points with a missing, infinite or (log axis) non-positive coordinate are left out and counted below the plot.

    Args:
        series: Drawn in the order given, later ones on top.
        axes: Labels, scales, marks and size.
        title: Name for screen readers; the axes' labels when empty.
        description: Longer text for screen readers.
    """
    content = select(series, axes)
    name = title or f"{axes.y_label} against {axes.x_label}"
    inside, height = _filled(series, axes, content) if any(content.points) else (_nothing(axes), axes.height)
    note = content.note()
    if note:
        inside += _text(axes.width - 10, height - 6, shortened(note, axes.width - 20, _SMALL), "note", "end")
    about = escaped(" ".join(filter(None, (description, note))))
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" class="fig" viewBox="0 0 {axes.width} {height}" '
        f'width="{axes.width}" height="{height}" role="img" aria-label="{escaped(name)}">'
        f"<title>{escaped(name)}</title><desc>{about}</desc>{inside}</svg>"
    )


def _text(x: float, y: float, text: str, name: str = "", anchor: str = "start", extra: str = "") -> Markup:
    return Markup(
        f'<text x="{number(x)}" y="{number(y)}" class="{name}" text-anchor="{anchor}"{extra}>{escaped(text)}</text>'
    )


def _nothing(axes: Axes) -> Markup:
    """Return the inside of a figure without a single point."""
    frame = f'<rect class="frame" x="1" y="1" width="{axes.width - 2}" height="{axes.height - 2}" rx="4"/>'
    labels = shortened(f"{axes.y_label} against {axes.x_label}", axes.width - 40)
    middle = axes.height / 2
    return (
        Markup(frame)
        + _text(axes.width / 2, middle - 4, "no data", "label", "middle")
        + _text(axes.width / 2, middle + 16, labels, "note", "middle")
    )


def _filled(series: Sequence[Series], axes: Axes, content: Content) -> tuple[Markup, int]:
    """Return the inside of a figure that has points, and the height it needs, never below the one asked for."""
    is_filled = any(one.style == "bars" for one in series)
    x, y = scales(content, axes, from_zero=is_filled)
    x_ticks, y_ticks = x.ticks(max(3, axes.width // 110)), () if axes.rows else y.ticks(max(3, axes.height // 65))
    left, right = _sides(axes, y_ticks)
    legend, rows = _legend(series, axes, left, right)
    marks = _placed_marks(content, x, left, right)
    levels = 1 + max((level for *_, level in marks), default=-1)
    top = 12 + rows * _ROW + levels * 14
    below = 62 if content.dropped else 46
    height = max(axes.height, top + max(_LEAST_PLOT, _ROW_HEIGHT * len(axes.rows)) + below)
    plot = Plot(x, y, left, top, right, height - below)
    parts = [_grid(plot, axes, x_ticks, y_ticks), _row_texts(plot, axes)]
    if axes.diagonal:
        parts.append(_stroke("diagonal", f"M{number(left)} {number(plot.bottom)}L{number(right)} {number(top)}"))
    lines = [_mark_line(plot, at, level) for at, _, level in marks]
    lines += [_mark_label(plot, at, label, level) for at, label, level in marks]
    parts += [] if is_filled else lines
    for one, points, look in zip(series, content.points, looks(series), strict=True):
        if points:
            parts.append(draw(one, points, look, plot))
    return Markup("").join([*parts, *(lines if is_filled else []), legend]), height


def _stroke(name: str, d: str) -> Markup:
    return Markup(f'<path class="{name}" d="{d}"/>')


def _grid(plot: Plot, axes: Axes, x_ticks: _Ticks, y_ticks: _Ticks) -> Markup:
    """Return grid lines, tick labels, the base line and the names of both axes."""
    lines = [f"M{number(plot.px(value))} {number(plot.top)}V{number(plot.bottom)}" for value, _ in x_ticks]
    lines += [f"M{number(plot.left)} {number(plot.py(value))}H{number(plot.right)}" for value, _ in y_ticks]
    parts = [_stroke("grid", "".join(lines))] if lines else []
    parts.append(_stroke("base", f"M{number(plot.left)} {number(plot.bottom)}H{number(plot.right)}"))
    parts += [_text(plot.px(value), plot.bottom + 16, label, "tick", "middle") for value, label in x_ticks]
    parts += [_text(plot.left - 7, plot.py(value) + 4, label, "tick", "end") for value, label in y_ticks]
    across, down = (plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2
    x_label = shortened(axes.x_label, plot.right - plot.left)
    parts.append(_text(across, plot.bottom + 36, x_label, "label", "middle"))
    turned = f' transform="rotate(-90 15 {number(down)})"'
    y_label = shortened(axes.y_label, plot.bottom - plot.top)
    if not axes.rows:
        parts.append(_text(15, down, y_label, "label", "middle", turned))
    return Markup("").join(parts)


def _sides(axes: Axes, y_ticks: _Ticks) -> tuple[float, float]:
    """Return the left and right end of the plot: beside it stand the labels of the ticks, or the texts of the rows."""
    if not axes.rows:
        return 34 + max((width_px(label, _SMALL) for _, label in y_ticks), default=0), axes.width - 18
    names, notes = (_widest([row[side] for row in axes.rows], axes.width * _SIDE_SHARE) for side in (0, 1))
    return names + 16, axes.width - (notes + 16 if notes else 18)


def _widest(texts: Sequence[str], limit: float) -> float:
    return min(limit, max(width_px(" ".join(text.split())) for text in texts))


def _row_texts(plot: Plot, axes: Axes) -> Markup:
    """Return the name of each row on its left, its text on its right, and a line along it."""
    parts = []
    for index, (name, note) in enumerate(axes.rows):
        y = plot.py(len(axes.rows) - 1 - index)
        parts.append(_stroke("grid", f"M{number(plot.left)} {number(y)}H{number(plot.right)}"))
        parts.append(_text(plot.left - 8, y + 4, shortened(name, plot.left - 12), "", "end"))
        if note:
            parts.append(_text(plot.right + 10, y + 4, shortened(note, axes.width - plot.right - 12), "key"))
    return Markup("").join(parts)


def _legend(series: Sequence[Series], axes: Axes, left: float, right: float) -> tuple[Markup, int]:
    """Return the legend above the plot and how many rows it takes."""
    entries: list[tuple[str, Series | str, tuple[str, int]]] = []
    for one, look in zip(series, looks(series), strict=True):
        if one.name:
            entries.append((one.name, one, look))
    if any(one.ties for one in series):
        entries.append(("tie", "tie", ("", 0)))
    if axes.diagonal:
        entries.append(("y = x", "diagonal", ("", 0)))
    parts = []
    row, x = 0, left
    for name, shown, look in entries:
        text = shortened(name, min(300, right - left - _SAMPLE))
        end = x + _SAMPLE + width_px(text)
        if x > left and end > right:
            row, x, end = row + 1, left, left + end - x
        y = 14 + row * _ROW
        inset = 8 if shown == "tie" else 0  # a halo's round ends reach out beyond its stroke
        line = f"M{number(x + inset)} {y}h{20 - 2 * inset}"
        drawn = _stroke(shown, line) if isinstance(shown, str) else sample(shown, look, x, y)
        parts.append(drawn + _text(x + _SAMPLE, y + 4, text, "key"))
        x = end + 18
    return Markup("").join(parts), row + 1 if parts else 0


def _placed_marks(content: Content, scale: Scale, left: float, right: float) -> list[tuple[float, str, int]]:
    """Place the labels of vertical marks in levels so that none covers another: (value, text, level)."""
    ends: list[float] = []
    placed = []
    for value, label in sorted(content.marks):
        text = shortened(label, (right - left) / 2, _SMALL)
        half = width_px(text, _SMALL) / 2 + 4
        at = left + scale.fraction(value) * (right - left)
        at = min(max(at, left + half), right - half)
        level = next((index for index, end in enumerate(ends) if at - half >= end), len(ends))
        ends[level : level + 1] = [at + half]
        placed.append((value, text, level))
    return placed


def _mark_line(plot: Plot, value: float, level: int) -> Markup:
    """Return a dashed vertical line from the bottom up to its label."""
    return _stroke("mark", f"M{number(plot.px(value))} {number(plot.top - 2 - 14 * level)}V{number(plot.bottom)}")


def _mark_label(plot: Plot, value: float, label: str, level: int) -> Markup:
    """Return a mark's label above the plot; the style sheet lets it cover lines that go on to a higher level."""
    half = width_px(label, _SMALL) / 2
    at = min(max(plot.px(value), plot.left + half), plot.right - half)
    return _text(at, plot.top - 5 - 14 * level, label, "marklabel", "middle")
