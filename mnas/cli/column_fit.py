"""Tables that stay readable on a narrow terminal: columns that matter less give way, then the texts that may be cut."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass

NARROWEST = 12
"""A text that may be cut keeps so many characters."""


@dataclass(frozen=True)
class Column:
    """A column of texts.

    Attributes:
        name: Its head.
        cells: From top to bottom; ``None`` is an empty one.
    """

    name: str
    cells: Sequence[str | None]

    @property
    def width(self) -> int:
        """Characters of the longest text."""
        return max(len(self.name), *(len(cell or "") for cell in self.cells), 0)

    def cut(self, room: int, *, at_end: bool = False) -> Column:
        """Return it with texts of so many characters at most."""
        cells = [None if cell is None else shortened(cell, room, at_end=at_end) for cell in self.cells]
        return Column(self.name, cells)


def terminal_width() -> int | None:
    """Return how many characters a line of the terminal holds; ``None`` where stdout is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def line_width(columns: Sequence[Column]) -> int:
    """Return the width of a table as `mnas.cli.output` draws it: a space on both sides of a cell, one between cells."""
    return sum(column.width + 3 for column in columns) + 1


def fitting(
    columns: Sequence[Column],
    width: int | None,
    dropped_first: Sequence[str],
    flexible: str,
    room: int = 24,
    *,
    at_end: bool = False,
) -> tuple[list[Column], list[str]]:
    """Return the columns that fit, and the names of the others.

    Args:
        columns: All of them.
        width: Characters of a line; ``None`` is without limit.
        dropped_first: Names of columns in the order in which they are done without; those not named stay.
        flexible: Name of the column whose texts may be cut.
        room: It keeps so many characters before any column is dropped; fewer only when none is left to drop.
        at_end: Cut its texts at their end instead of in their middle.
    """
    kept, dropped = list(columns), []
    if width is None:
        return kept, []
    for name in dropped_first:
        spared = sum(max(column.width - room, 0) for column in kept if column.name == flexible)
        if line_width(kept) - spared <= width:
            break
        dropped += [column.name for column in kept if column.name == name]
        kept = [column for column in kept if column.name != name]
    excess = max(line_width(kept) - width, 0)

    def cut(column: Column) -> Column:
        return column.cut(max(column.width - excess, NARROWEST), at_end=at_end) if column.name == flexible else column

    return [cut(column) for column in kept], dropped


def left_out(dropped: Sequence[str], width: int | None) -> list[str]:
    """Return the note that says which columns were dropped, and how to see them; none when none was."""
    how = "--format md or a wider terminal has all"
    return [f"left out to fit {width} characters: {', '.join(dropped)}; {how}"] if dropped else []


def shortened(text: str, room: int, *, at_end: bool = False) -> str:
    """Cut out the middle, since versions and suffixes, by which names differ, stand at the end; or cut the end off."""
    if len(text) <= room:
        return text
    if at_end:
        return text[: room - 1] + "…"
    head = (room - 1) // 2
    return f"{text[:head]}…{text[len(text) - (room - 1 - head) :]}"
