"""Tables of genes and objectives, read from CSV or JSON; what is wrong is said with its place."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnas.errors import DataError

Label = int | float | str
"""A choice of a gene, as the file names it."""
GENOME_COLUMNS = ("genome", "genes")
_BETWEEN_GENES = re.compile(r"[\s,;|+-]+")


@dataclass(frozen=True, slots=True)
class TableRow:
    """One network of a table.

    Attributes:
        place: Where it stands in the file, for messages.
        labels: One choice a gene.
        values: One number an objective, finite.
    """

    place: str
    labels: tuple[Label, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Record:
    place: str
    key: str | None
    fields: Mapping[str, Any]

    def field(self, name: str) -> Any:
        """Look up a field: by its whole name, or by keys joined by dots."""
        if name in self.fields:
            return self.fields[name]
        found: Any = self.fields
        for part in name.split("."):
            if not isinstance(found, Mapping) or part not in found:
                raise _bad("TAB02", self.place, f"there is no {name!r}; there are {', '.join(map(str, self.fields))}")
            found = found[part]
        return found


def read_table(path: Path, objectives: Sequence[str], genes: Sequence[str] = ()) -> tuple[list[str], list[TableRow]]:
    """Read a table.

    CSV has a header and a network a line. JSON is a list of objects, or an object of objects whose keys are genomes.
    A genome is a text of digits, one a gene, or of words between blanks or ``, ; | + -``, or a list.

    Args:
        path: A file that ends in ``.csv`` or ``.json``.
        objectives: Columns; within JSON also keys joined by dots.
        genes: Columns of genes; one alone holds whole genomes. Empty takes the keys of a JSON object, or a column
            called ``genome`` or ``genes``.

    Returns:
        A name for each gene, and the rows in the order of the file.

    Raises:
        DataError: ``TAB01`` the file cannot be read, ``TAB02`` a column or row is missing or of another form, ``TAB03``
            genes are none, ``TAB04`` an objective is no finite number. Each names the place.
    """
    rows: list[TableRow] = []
    columns: Sequence[str] = genes
    for record in _records(path):
        columns = columns or _genome_column(record)
        labels = _labels(record, columns)
        if rows and len(labels) != len(rows[0].labels):
            raise _bad("TAB03", record.place, f"{len(labels)} genes, and {rows[0].place} has {len(rows[0].labels)}")
        rows.append(TableRow(record.place, labels, tuple(_number(record, name) for name in objectives)))
    if not rows:
        raise _bad("TAB02", str(path.name), "it holds no network")
    names = list(columns) if len(columns) > 1 else [f"gene{number}" for number in range(len(rows[0].labels))]
    return names, rows


def _bad(code: str, place: str, why: str) -> DataError:
    return DataError(
        code, "the table is wrong", value=place, why=why, fix="correct it; see docs/search.md for its form"
    )


def _unreadable(path: Path, why: str) -> DataError:
    return DataError("TAB01", "the table cannot be read", value=path.name, why=why, fix="name a .csv or a .json file")


def _records(path: Path) -> Iterator[_Record]:
    readers = {".csv": _csv_records, ".json": _json_records}
    if path.suffix.lower() not in readers:
        raise _unreadable(path, "its name ends in neither .csv nor .json")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(error)) from error
    try:
        yield from readers[path.suffix.lower()](text)
    except (csv.Error, RecursionError, ValueError) as error:
        raise _unreadable(path, str(error)) from error


def _csv_records(text: str) -> Iterator[_Record]:
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    header = [name.strip() for name in next(reader, [])]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice or "" in header:
        raise _bad("TAB02", "line 1", f"columns without a name of their own: {', '.join(twice) or 'an empty one'}")
    for cells in reader:
        if not cells:
            continue
        if len(cells) != len(header):
            raise _bad("TAB02", f"line {reader.line_num}", f"{len(cells)} cells, and the header has {len(header)}")
        yield _Record(f"line {reader.line_num}", None, dict(zip(header, map(str.strip, cells), strict=True)))


def _json_records(text: str) -> Iterator[_Record]:
    value = json.loads(text, object_pairs_hook=_object)
    entries: Iterable[tuple[str, str | None, Any]]
    if isinstance(value, dict):
        entries = ((f"key {key!r}", key, fields) for key, fields in value.items())
    elif isinstance(value, list):
        entries = ((f"entry {number}", None, fields) for number, fields in enumerate(value))
    else:
        raise _bad("TAB02", "the whole", "neither a list nor an object")
    for place, key, fields in entries:
        if not isinstance(fields, dict):
            raise _bad("TAB02", place, f"no object but {type(fields).__name__}")
        yield _Record(place, key, fields)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _bad("TAB05", f"key {twice!r}", "it stands there twice")
    return found


def _genome_column(record: _Record) -> Sequence[str]:
    """Return where genomes stand: nowhere among the fields where keys are genomes."""
    if record.key is not None:
        return ("",)
    for name in GENOME_COLUMNS:
        if name in record.fields:
            return (name,)
    raise _bad("TAB02", record.place, f"no column {' or '.join(GENOME_COLUMNS)}, and none was named as genes")


def _labels(record: _Record, columns: Sequence[str]) -> tuple[Label, ...]:
    if len(columns) > 1:
        return tuple(_label(record, record.field(name)) for name in columns)
    (name,) = columns
    whole = record.key if not name else record.field(name)
    if isinstance(whole, list):
        parts: Sequence[Any] = whole
    elif isinstance(whole, str):
        is_digits = whole.isascii() and whole.isdigit()
        parts = whole if is_digits else [part for part in _BETWEEN_GENES.split(whole) if part]
    else:
        raise _bad("TAB03", record.place, f"a genome is a text or a list, not {whole!r:.80}")
    if not parts:
        raise _bad("TAB03", record.place, "the genome is empty")
    return tuple(_label(record, part) for part in parts)


def _label(record: _Record, value: Any) -> Label:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or value == "":
        raise _bad("TAB03", record.place, f"a gene is a number or a word, not {value!r:.80}")
    if isinstance(value, str):
        for read in (int, float):
            try:
                number = read(value)
            except ValueError:
                continue
            return number if math.isfinite(number) else value
        return value
    if not math.isfinite(value):
        raise _bad("TAB03", record.place, f"a gene is a number or a word, not {value!r}")
    return value


def _number(record: _Record, name: str) -> float:
    value = record.field(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        # What a CSV file holds is text.
        number = float(value) if is_number or (record.key is None and isinstance(value, str)) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _bad("TAB04", f"{record.place}, {name}", f"no finite number but {value!r:.80}")
    return number
