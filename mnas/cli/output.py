"""Results on stdout in any of five formats; everything else on stderr."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Format(StrEnum):
    """Formats of a result."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    md = "md"


@dataclass(frozen=True)
class Result:
    """What a command found: rows for people, a document for programs.

    Attributes:
        columns: Names of the columns.
        rows: Cells; ``None`` is an empty one.
        document: For JSON; the rows as objects unless given.
        title: Above a table.
        notes: Below a table.
        records: For JSON lines and CSV, with the same keys in each, where the cells are texts made for reading; the
            rows as objects unless given.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    document: dict[str, Any] | None = None
    title: str = ""
    notes: Sequence[str] = field(default=())
    records: Sequence[dict[str, object]] | None = None

    def objects(self) -> list[dict[str, object]]:
        """Return each row as an object."""
        if self.records is not None:
            return list(self.records)
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float) or (isinstance(cell, str) and re.fullmatch(r"-?\d+(\.\d+)?", cell) is not None)


def render(result: Result, output_format: Format) -> str:
    """Return a result as text."""
    if output_format is Format.json:
        document = {"schema_version": 1, **(result.document or {"rows": result.objects()})}
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if output_format is Format.jsonl:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in result.objects())
    if output_format is Format.csv:
        return _csv(result)
    return _markdown(result) if output_format is Format.md else _table(result)


def _markdown(result: Result) -> str:
    """Return a table between its title and its notes, whose words must go with the numbers."""
    from mnas.report.markdown import inline

    cells = [[inline(_text(cell)) for cell in row] for row in result.rows]
    lines = [[inline(name) for name in result.columns], ["---"] * len(result.columns), *cells]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    title = f"### {inline(result.title)}\n\n" if result.title else ""
    notes = "".join(f"- {inline(note)}\n" for note in result.notes)
    return title + table + (f"\n{notes}" if notes else "")


def _csv(result: Result) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if result.records:
        writer.writerows([list(result.records[0]), *(list(record.values()) for record in result.records)])
    else:
        writer.writerows([result.columns, *result.rows])
    return buffer.getvalue()


def shown(text: str) -> str:
    """Return a text in which nothing steers a terminal: control characters but tab and newline become U+FFFD."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def _table(result: Result) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = None if sys.stdout.isatty() else 200
    console = Console(file=io.StringIO(), width=width, force_terminal=sys.stdout.isatty(), color_system=None)
    # Texts, since rich reads a plain string as its markup, and names come from phones and files.
    table = Table(title=Text(shown(result.title), justify="left") if result.title else None, box=SIMPLE_HEAD)
    numeric = [
        bool(result.rows) and all(_is_number(row[i]) or row[i] is None for row in result.rows)
        for i in range(len(result.columns))
    ]
    for name, is_numeric in zip(result.columns, numeric, strict=True):
        table.add_column(Text(shown(name)), justify="right" if is_numeric else "left", overflow="fold")
    for row in result.rows:
        table.add_row(*(Text(shown(_text(cell))) for cell in row))
    console.print(table)
    for note in result.notes:
        console.print(Text(shown(note)))
    text = console.file.getvalue() if isinstance(console.file, io.StringIO) else ""
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _encodable(text: str, encoding: str | None) -> str:
    """Return a text as an encoding can show it, such as the ASCII of an old terminal."""
    try:
        text.encode(encoding or "ascii")
    except UnicodeEncodeError:
        plain = text.replace("─", "-").replace("±", "+-").replace("…", "~")
        return plain.encode(encoding or "ascii", "replace").decode(encoding or "ascii")
    return text


def render_all(results: Sequence[Result], output_format: Format) -> str:
    """Return several results of one kind as one text: as JSON a list of ``runs``, as CSV below one head."""
    if len(results) == 1:
        return render(results[0], output_format)
    if output_format is Format.json:
        documents = [result.document or {"rows": result.objects()} for result in results]
        return json.dumps({"schema_version": 1, "runs": documents}, indent=2, ensure_ascii=False) + "\n"
    texts = [render(result, output_format) for result in results]
    if output_format is Format.csv:
        texts = [texts[0], *(text.partition("\n")[2] for text in texts[1:])]
    return ("\n" if output_format in (Format.table, Format.md) else "").join(texts)


def emit(result: Result, output_format: Format, file: Path | None) -> None:
    """Write a result to stdout, or whole to a file; a device or a pipe is written into, not replaced.

    Raises:
        ConfigError: ``CFG07``: the file cannot be written.
    """
    emit_all([result], output_format, file)


def emit_all(results: Sequence[Result], output_format: Format, file: Path | None) -> None:
    """Write several results of one kind like one.

    Raises:
        ConfigError: ``CFG07``: the file cannot be written.
    """
    write_result(render_all(results, output_format), file)


def write_result(text: str, file: Path | None, option: str = "-o") -> None:
    """Write a text that is the result like `emit` writes one.

    Raises:
        ConfigError: ``CFG07``: the file cannot be written.
    """
    if file is None:
        sys.stdout.write(_encodable(text, sys.stdout.encoding))
        return
    from mnas.errors import ConfigError
    from mnas.jsonio import write_text_atomic

    target = Path(os.path.realpath(file))
    try:
        if target.exists() and not target.is_file():
            target.write_text(text, encoding="utf-8")
        else:
            write_text_atomic(target, text)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigError(
            "CFG07",
            "the result cannot be written there",
            value=str(file),
            why=why,
            fix=f"name another file with {option}",
        ) from error


def say(text: str, *, quiet: bool = False) -> None:
    """Write a line to stderr unless quiet."""
    if not quiet:
        sys.stderr.write(shown(text) + "\n")


def span(seconds: float) -> str:
    """Return a span of time for people: ``40 s``, ``12 min``, ``2.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


class ConsoleReporter:
    """Tells how a long command gets on: one line that is rewritten on a terminal, plain lines elsewhere.

    Args:
        quiet: Say warnings alone.
        prefix: Before every line, where several tell at once; then no line is rewritten.
    """

    _EVERY_S = 5.0

    def __init__(self, quiet: bool = False, prefix: str = "") -> None:
        self._quiet = quiet
        self._prefix = prefix
        self._is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not prefix
        self._started = time.monotonic()
        self._what, self._what_since, self._first, self._shown, self._open = "", 0.0, 0, -1e9, False
        self._last = self._started

    def line(self, text: str) -> None:
        """Say something once."""
        if not self._quiet:
            self._write(f"[{time.monotonic() - self._started:6.1f} s] {self._prefix}{text}\n")

    def warn(self, text: str) -> None:
        """Say something that a person must not miss."""
        self._write(f"warning: {self._prefix}{text}\n")

    def progress(self, what: str, done: int, total: int) -> None:
        """Say how much of something is done, and when it will be at the rate since it was first told of."""
        now = time.monotonic()
        if what != self._what:
            # What an earlier sitting did is not counted into the rate.
            self._what, self._what_since, self._first, self._shown = what, self._last, max(done - 1, 0), -1e9
        is_last, self._last = done >= total, now
        if self._quiet or (not is_last and now - self._shown < (0.1 if self._is_terminal else self._EVERY_S)):
            return
        self._shown = now
        text = f"[{now - self._started:6.1f} s] {self._prefix}{what}: {done}/{total}"
        if not is_last:
            text += f", {100 * done // total} %"
            if done - self._first > max(1, total // 100):  # the first step waits for much that later ones do not
                left_s = (now - self._what_since) / (done - self._first) * (total - done)
                text += f", about {span(left_s)} left"
        if self._is_terminal and not is_last:
            sys.stderr.write(f"\r\x1b[K{shown(text)}")
            sys.stderr.flush()
            self._open = True
        else:
            self._write(text + "\n")

    def _write(self, text: str) -> None:
        self._last = time.monotonic()
        sys.stderr.write(("\r\x1b[K" if self._open else "") + shown(text))
        sys.stderr.flush()
        self._open = False
