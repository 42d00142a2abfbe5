"""Reads the one kind of YAML that tables of others are: a mapping of names to mappings of names to numbers.

The parser's events are read one by one, and nothing is ever constructed from them but texts and numbers. So a tag can
name no class, an alias can repeat nothing, and nesting ends at the second level.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from mnas.errors import LutError

_NUMBER = re.compile(r"[-+]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][-+]?\d{1,3})?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.?(nan|inf|infinity)", re.IGNORECASE)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser in C where PyYAML has one: 16 MB take seconds with it, and minutes without."""

Rows = dict[str, dict[str, float]]


def _refuse(what: str, line: int | None, why: str, value: object = None) -> LutError:
    where = "" if line is None else f" (line {line})"
    return LutError("LUT31", what + where, value=value, why=why, fix="take it out of the file")


def read_rows(text: str) -> Rows:
    """Return a YAML file's rows: name -> field -> finite number.

    Raises:
        LutError: ``LUT30`` not YAML, ``LUT31`` a construct that no table has (tag, anchor, alias, list, nesting, second
            document, repeated name), ``LUT32`` a value that is no finite number; each names the line.
    """
    try:
        events = _events(text)
        rows = _rows(events)
        for _ in events:  # what follows the mapping is looked at, too
            pass
        return rows
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise LutError(
            "LUT30",
            "the file is not YAML",
            value=None if mark is None else f"line {mark.line + 1}",
            why=str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed"),
            fix="correct it",
        ) from error


def _events(text: str) -> Iterator[yaml.Event]:
    """Yield what stands between the beginning and the end of the one document; whatever is not data is refused."""
    documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise _refuse("an alias", line, "repeated repetition fills any memory", f"*{event.anchor}")
        if getattr(event, "anchor", None):
            raise _refuse("an anchor", line, "a table repeats nothing", f"&{event.anchor}")
        if getattr(event, "tag", None):
            raise _refuse("a tag", line, "a tag may ask for any object to be made", event.tag)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _refuse("a second document", line, "a table is one document")
        elif isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            yield event


def _rows(events: Iterator[yaml.Event]) -> Rows:
    if not isinstance(next(events, None), yaml.MappingStartEvent):
        raise _refuse("no mapping of keys to latencies", 1, "a table is one")
    rows: Rows = {}
    for event in events:
        if isinstance(event, yaml.MappingEndEvent):
            break
        key = _name(event, rows)
        start = next(events)
        if not isinstance(start, yaml.MappingStartEvent):
            line = start.start_mark.line + 1
            raise _refuse("an entry that is no mapping", line, "an entry holds count, mean and spread", key)
        rows[key] = _fields(events, key)
    return rows


def _fields(events: Iterator[yaml.Event], key: str) -> dict[str, float]:
    fields: dict[str, float] = {}
    for event in events:
        if isinstance(event, yaml.MappingEndEvent):
            break
        name = _name(event, fields)
        fields[name] = _number(next(events), f"{key}: {name}")
    return fields


def _name(event: yaml.Event, known: dict[str, Any]) -> str:
    line = event.start_mark.line + 1
    if not isinstance(event, yaml.ScalarEvent):
        raise _refuse("a list or a mapping in the place of a name", line, "names are texts")
    if event.value in known:
        raise _refuse("a name that is there twice", line, "nobody knows which of them is meant", event.value)
    return str(event.value)


def _number(event: yaml.Event, place: str) -> float:
    line = event.start_mark.line + 1
    if not isinstance(event, yaml.ScalarEvent):
        raise _refuse("a list or a mapping in the place of a number", line, "tables nest two levels deep", place)
    is_number = not event.style and _NUMBER.fullmatch(event.value)
    if is_number and math.isfinite(value := float(event.value)):
        return value
    is_infinite = is_number or _NOT_FINITE.fullmatch(event.value)
    raise LutError(
        "LUT32",
        f"a value that is {'not finite' if is_infinite else 'no number'} (line {line})",
        value=f"{place}: {event.value[:100]}",
        why="every value of a table is a finite number",
        fix="correct or remove the entry",
    )
