"""Stacked bars: named rows, each of parts side by side whose widths are their numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mnas.report.marks import number
from mnas.report.text import escaped, shortened, width_px
from mnas.report.ticks import scale_of

_SMALL = 11.0
_ROW, _BAR = 30, 20
_SIDE_SHARE = 0.28
_LEGEND_ROW = 18
_WIDE_FONT = 1.2
"""Room for fonts that are wider than others; ids are no words that could be cut."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a bar.

    Attributes:
        value: Its width, 0 or more; one that is not a positive finite number is left out.
        kind: What colours it: a CSS class of the page's style sheet.
        label: Tooltip.
    """

    value: float
    kind: str
    label: str


@dataclass(frozen=True, slots=True)
class Stack:
    """A bar.

    Attributes:
        name: On its left.
        note: On its right.
        slices: From the left.
        row_id: ``data-id`` of the row, or "".
    """

    name: str
    note: str
    slices: Sequence[Slice]
    row_id: str = ""

    @property
    def shown(self) -> list[Slice]:
        """The slices that have a width."""
        return [one for one in self.slices if math.isfinite(one.value) and one.value > 0]


def stacked_bars(stacks: Sequence[Stack], *, x_label: str, title: str, width: int = 920) -> Markup:
    """Return stacked bars as SVG, with the kinds that occur above them and an axis from zero below.

    Args:
        stacks: From the top.
        x_label: Below the axis, with its unit.
        title: Name for screen readers.
        width: In px, at least 240.
    """
    names = min(_SIDE_SHARE * width, max((width_px(one.name) for one in stacks), default=0)) * _WIDE_FONT + 14
    notes = min(_SIDE_SHARE * width, max((width_px(one.note) for one in stacks), default=0)) + 14
    longest = max((sum(piece.value for piece in one.shown) for one in stacks), default=0.0)
    scale = scale_of([0.0, longest or 1.0])
    per_unit = (width - names - notes) / (scale.high or 1.0)
    legend, rows = _legend(stacks, names, width - 14)
    top = rows * _LEGEND_ROW + 8
    bottom = top + _ROW * len(stacks)
    height = bottom + 42
    ticks = [(value, text) for value, text in scale.ticks(max(3, width // 130)) if value >= 0]
    grid = "".join(f"M{number(names + value * per_unit)} {top}V{bottom}" for value, _ in ticks)
    parts = [legend, Markup(f'<path class="grid" d="{grid}"/>' if grid else "")]
    parts += [_text(names + value * per_unit, bottom + 16, text, "tick", "middle") for value, text in ticks]
    parts.append(_text((names + width - notes) / 2, bottom + 36, x_label, "label", "middle"))
    parts += [_bar(one, top + _ROW * place, names, per_unit) for place, one in enumerate(stacks)]
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" class="fig stacks" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escaped(title)}"><title>{escaped(title)}</title>'
        f"{Markup('').join(parts)}</svg>"
    )


def _bar(stack: Stack, y: float, left: float, per_unit: float) -> Markup:
    """Return a row: its name, its slices, and its note where they end."""
    middle, x = y + _ROW / 2, left
    own = f' class="stack" data-id="{escaped(stack.row_id)}"' if stack.row_id else ' class="stack"'
    parts = [Markup(f"<g{own}>"), _text(left - 8, middle + 4, shortened(stack.name, left - 12), "", "end")]
    for piece in stack.shown:
        wide = piece.value * per_unit
        parts.append(
            Markup(
                f'<rect class="op {escaped(piece.kind)}" x="{x:.2f}" y="{number(y + (_ROW - _BAR) / 2)}" '
                f'width="{max(wide, 0.1):.2f}" height="{_BAR}"><title>{escaped(piece.label)}</title></rect>'
            )
        )
        x += wide
    parts += [_text(x + 8, middle + 4, stack.note, "key", "start"), Markup("</g>")]
    return Markup("").join(parts)


def _legend(stacks: Sequence[Stack], left: float, right: float) -> tuple[Markup, int]:
    """Return a swatch and the name of each kind, and how many rows they take."""
    kinds = dict.fromkeys(piece.kind for one in stacks for piece in one.shown)
    parts, row, x = [], 0, left
    for kind in kinds:
        end = x + 19 + width_px(kind, _SMALL)
        if x > left and end > right:
            row, x, end = row + 1, left, left + end - x
        y = 12 + row * _LEGEND_ROW
        swatch = f'<rect class="op {escaped(kind)}" x="{number(x)}" y="{y - 9}" width="14" height="11" rx="2"/>'
        parts.append(Markup(swatch) + _text(x + 19, y, kind, "key", "start"))
        x = end + 16
    return Markup("").join(parts), row + 1 if parts else 0


def _text(x: float, y: float, text: str, name: str, anchor: str) -> Markup:
    return Markup(f'<text x="{number(x)}" y="{number(y)}" class="{name}" text-anchor="{anchor}">{escaped(text)}</text>')
