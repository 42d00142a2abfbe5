"""The parts a page is made of: paragraphs, figures, tables, pairs of name and value, places for the script."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from markupsafe import Markup

_RELATIVE = re.compile(r"(?![/\\])[^\x00-\x20:\\?#][^\x00-\x1f\x7f:\\?#]*(#[\w.-]*)?|#[\w.-]+")

RowClass = Literal["", "best", "muted", "warn", "bad"]
"""How a row stands out: ``best`` is the pick, ``muted`` background, ``warn`` and ``bad`` trouble."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a file beside the report, or to a place in it.

    Args:
        text: What is shown.
        href: Relative path such as ``../exports/a1/model.onnx`` or ``#id``, without scheme, host, leading
            slash, colon or query.

    Raises:
        ValueError: The address is none of these.
    """

    text: str
    href: str

    def __post_init__(self) -> None:
        if not _RELATIVE.fullmatch(self.href):
            raise ValueError(f"link to {self.href!r}: a report links only to relative paths and to places in itself")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that is shown by a text of its own, such as ``7.42 [7.38, 7.47]``, and sorts by its value."""

    text: str
    value: float


Cell = str | int | float | None | Link | Quantity
"""What a cell may hold; ``None`` is shown as a dash and sorts last."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text; line breaks are kept as spaces."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True, slots=True)
class Figure:
    """An SVG figure with a caption.

    Args:
        svg: What :func:`mnas.report.svg.scatter` returned; a plain ``str`` is shown as text, not drawn.
        caption: One or two sentences: what is seen, n, the kind of interval.
    """

    kind: ClassVar[str] = "figure"
    svg: Markup
    caption: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table that a click on a head sorts.

    Args:
        columns: Heads, with units.
        rows: As many cells each as there are columns.
        align: One letter ``l``, ``c`` or ``r`` per column; when empty, columns of numbers go right, others left.
        formats: Format such as ``.2f`` or ``.1%`` per column for its numbers; an empty one stands for the default.
        sortable: Whether heads sort.
        row_ids: ``data-id`` of each row, as in a figure's series.
        row_classes: How each row stands out.
        caption: Text above the table.

    Raises:
        ValueError: Counts differ, or a letter or class is unknown.
    """

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    align: str = ""
    formats: Sequence[str] = ()
    sortable: bool = True
    row_ids: Sequence[str] | None = None
    row_classes: Sequence[RowClass] | None = None
    caption: str = ""

    def __post_init__(self) -> None:
        wanted = len(self.columns)
        for index, row in enumerate(self.rows):
            if len(row) != wanted:
                raise ValueError(f"row {index} has {len(row)} cells for {wanted} columns")
        for field, given in (("align", self.align), ("formats", self.formats)):
            if given and len(given) != wanted:
                raise ValueError(f"{len(given)} {field} for {wanted} columns")
        for field, names in (("row_ids", self.row_ids), ("row_classes", self.row_classes)):
            if names is not None and len(names) != len(self.rows):
                raise ValueError(f"{len(names)} {field} for {len(self.rows)} rows")
        if unknown := set(self.align) - set("lcr"):
            raise ValueError(f"align {sorted(unknown)}: only l, c and r are known")
        if strange := set(self.row_classes or ()) - set(get_args(RowClass)):
            raise ValueError(f"row classes {sorted(strange)}: only {get_args(RowClass)} are known")

    def sides(self) -> str:
        """Return the alignment letter of every column."""
        if self.align:
            return self.align
        return "".join("r" if self._numeric(index) else "l" for index in range(len(self.columns)))

    def format_of(self, index: int) -> str:
        """Return the number format of a column."""
        return self.formats[index] if self.formats else ""

    def _numeric(self, index: int) -> bool:
        cells = [row[index] for row in self.rows if row[index] is not None]
        return bool(cells) and all(
            isinstance(cell, int | float | Quantity) and not isinstance(cell, bool) for cell in cells
        )


@dataclass(frozen=True, slots=True)
class KeyValues:
    """Names with values: provenance as a list, or headline figures as tiles.

    Args:
        pairs: Name and value.
        tiles: Show large values side by side.
    """

    kind: ClassVar[str] = "keyvalues"
    pairs: Sequence[tuple[str, Cell]]
    tiles: bool = False


@dataclass(frozen=True, slots=True)
class Gallery:
    """Small figures of one kind side by side, as many in a line as fit."""

    kind: ClassVar[str] = "gallery"
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class Mount:
    """A place that the page's script fills.

    Args:
        name: What the script knows it by: small letters.
        instead: What stands there where no script runs.

    Raises:
        ValueError: The name is none.
    """

    kind: ClassVar[str] = "mount"
    name: str
    instead: Figure | Paragraph

    def __post_init__(self) -> None:
        if not re.fullmatch("[a-z]+", self.name):
            raise ValueError(f"mount {self.name!r}: a name is of small letters")


Part = Paragraph | Figure | Table | KeyValues | Gallery | Mount


@dataclass(frozen=True, slots=True)
class Section:
    """A titled run of parts."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell as the page prints it; ``sort`` is a number for JavaScript, or empty for text."""

    text: str
    href: str = ""
    sort: str = ""
    missing: bool = False


def show(cell: Cell, number_format: str = "") -> Shown:
    """Return how a cell is printed and sorted: integers with separators, floats to four significant digits."""
    if isinstance(cell, Link):
        return Shown(cell.text, href=cell.href)
    if isinstance(cell, Quantity):
        return Shown(cell.text, sort=repr(float(cell.value)) if math.isfinite(cell.value) else "")
    if cell is None:
        return Shown("\N{EN DASH}", missing=True)
    if isinstance(cell, bool):
        return Shown("yes" if cell else "no", sort=str(int(cell)))
    if isinstance(cell, int):
        return Shown(format(cell, number_format or ","), sort=str(cell))
    if not isinstance(cell, float):
        return Shown(str(cell))
    if math.isnan(cell):
        return Shown("not a number", missing=True)
    if math.isinf(cell):
        return Shown("∞" if cell > 0 else "\N{MINUS SIGN}∞", sort="Infinity" if cell > 0 else "-Infinity")
    return Shown(format(cell, number_format or ".4g"), sort=repr(float(cell)))
