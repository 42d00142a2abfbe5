"""Rows for people and for programs: shown as a table in a notebook, a data frame where pandas is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mnas.optional import optional_package
from mnas.report.parts import show
from mnas.report.text import escaped

MOST_SHOWN = 40
"""Rows that a notebook shows; a data frame has all of them."""


@dataclass(frozen=True, slots=True)
class Rows(Sequence[Mapping[str, Any]]):
    """Records of one kind.

    Attributes:
        records: Column -> value, with the same columns in each; units are in the names.
        title: What they are.
        notes: What a reader of them must know.
        shown: Columns that a notebook shows; all of them when empty.
    """

    records: tuple[Mapping[str, Any], ...]
    title: str = ""
    notes: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, place: Any) -> Any:
        return self.records[place]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.records)

    def __repr__(self) -> str:
        return f"<{self.title or 'rows'}: {len(self.records)} rows>"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns; none where there are no rows."""
        return tuple(self.records[0]) if self.records else ()

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame`` of all rows and columns.

        Raises:
            PackageError: ``PKG01``: pandas is not installed.
        """
        pandas = optional_package("pandas", "a data frame", "viz")
        return pandas.DataFrame.from_records([dict(one) for one in self.records], columns=list(self.columns))

    def _repr_html_(self) -> str:
        """Return what a notebook shows; every text in it is escaped."""
        columns = self.shown or self.columns
        head = Markup("").join(Markup("<th>{}</th>").format(escaped(name)) for name in columns)
        body = Markup("").join(_row(one, columns) for one in self.records[:MOST_SHOWN])
        notes = list(self.notes)
        if len(self.records) > MOST_SHOWN:
            notes.append(f"the first {MOST_SHOWN} of {len(self.records)} rows; to_pandas() has all of them")
        return Markup('<div class="mnas">{}<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>{}</div>').format(
            _paragraph(self.title, "strong"), head, body, Markup("").join(_paragraph(note, "small") for note in notes)
        )


class Tabular:
    """Something whose gist is rows: they are what a notebook shows of it."""

    def rows(self) -> Rows:
        """Return it as rows."""
        raise NotImplementedError

    def to_pandas(self) -> Any:
        """Return its rows as a ``pandas.DataFrame``.

        Raises:
            PackageError: ``PKG01``: pandas is not installed.
        """
        return self.rows().to_pandas()

    def _repr_html_(self) -> str:
        """Return what a notebook shows; every text in it is escaped."""
        return self.rows()._repr_html_()

    def __repr__(self) -> str:
        return f"<{self.rows().title}>"


def _row(record: Mapping[str, Any], columns: Sequence[str]) -> Markup:
    cells = Markup("").join(Markup("<td>{}</td>").format(escaped(show(record[name]).text)) for name in columns)
    return Markup("<tr>{}</tr>").format(cells)


def _paragraph(text: str, tag: str) -> Markup:
    return Markup("<p><{0}>{1}</{0}></p>").format(Markup(tag), escaped(text)) if text else Markup("")
