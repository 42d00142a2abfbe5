"""Heat maps: a grid of named rows and columns whose cells are darker for larger numbers, with the numbers in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mnas.report.marks import number
from mnas.report.text import escaped, shortened, width_px

_SMALL = 11.0
_ROW = 24
_LINE = 13
_SIDE_SHARE = 0.34
_NARROWEST_CELL = 34
_FAINT, _DARK = 0.06, 0.55
"""Opacity of the least and the greatest number; text stays readable on the darkest cell, on white and on black."""


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One number.

    Attributes:
        value: Decides how dark the cell is; one that is not positive and finite leaves it blank.
        text: Written into the cell.
        label: Tooltip.
    """

    value: float
    text: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A grid of numbers.

    Args:
        rows: Name of each row, from the top.
        columns: Name of each column; its words stand below one another.
        cells: As many rows of as many cells; ``None`` where there is no such thing.

    Raises:
        ValueError: The counts differ.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[HeatCell | None]]

    def __post_init__(self) -> None:
        if len(self.cells) != len(self.rows) or any(len(row) != len(self.columns) for row in self.cells):
            raise ValueError(f"cells are not {len(self.rows)} rows of {len(self.columns)}")


def heat_range(shown: HeatMap) -> tuple[float, float] | None:
    """Return the least and the greatest number that colours a cell, or ``None`` where there is none."""
    values = [cell.value for row in shown.cells for cell in row if cell is not None and _has_heat(cell.value)]
    return (min(values), max(values)) if values else None


def heatmap(shown: HeatMap, *, title: str, width: int = 920) -> Markup:
    """Return a heat map as SVG; how dark a cell is goes by the logarithm of its number.

    Args:
        shown: The grid.
        title: Name for screen readers.
        width: In px; many columns make it wider.
    """
    names = min(_SIDE_SHARE * width, max((width_px(name, _SMALL) for name in shown.rows), default=0)) + 12
    cell = max(_NARROWEST_CELL, (width - names - 2) / max(len(shown.columns), 1))
    heads = [name.split() for name in shown.columns]
    top = 6 + _LINE * max((len(words) for words in heads), default=0)
    across, height = math.ceil(names + cell * len(shown.columns) + 2), top + _ROW * len(shown.rows) + 4
    parts = [
        _text(names + cell * (place + 0.5), 11 + _LINE * line, shortened(word, cell - 2, _SMALL), "tick", "middle")
        for place, words in enumerate(heads)
        for line, word in enumerate(words)
    ]
    ends = heat_range(shown)
    for place, (name, row) in enumerate(zip(shown.rows, shown.cells, strict=True)):
        y = top + _ROW * place
        parts.append(_text(names - 8, y + _ROW / 2 + 4, shortened(name, names - 10, _SMALL), "key", "end"))
        parts += [_cell(one, names + cell * column, y, cell, ends) for column, one in enumerate(row) if one]
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" class="fig heat" viewBox="0 0 {across} {height}" width="{across}" '
        f'height="{height}" role="img" aria-label="{escaped(title)}"><title>{escaped(title)}</title>'
        f"{Markup('').join(parts)}</svg>"
    )


def _has_heat(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _cell(cell: HeatCell, x: float, y: float, width: float, ends: tuple[float, float] | None) -> Markup:
    share = 0.0
    if ends and _has_heat(cell.value):
        low, high = (math.log(end) for end in ends)
        place = (math.log(cell.value) - low) / (high - low) if high > low else 0.5
        share = _FAINT + (_DARK - _FAINT) * place
    label = f"<title>{escaped(cell.label)}</title>" if cell.label else ""
    return (
        Markup(
            f'<g><rect x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{_ROW}" '
            f'fill-opacity="{share:.3f}">{label}</rect>'
        )
        + _text(x + width / 2, y + _ROW / 2 + 4, shortened(cell.text, width, _SMALL), "cell", "middle")
        + Markup("</g>")
    )


def _text(x: float, y: float, text: str, name: str, anchor: str) -> Markup:
    return Markup(f'<text x="{number(x)}" y="{number(y)}" class="{name}" text-anchor="{anchor}">{escaped(text)}</text>')
