"""The table of operators that a profiled launch prints, in every layout since 2018.

The tool prints columns between tabs or in fixed widths, or as CSV, always below a line with their names: with and
without ``[start]``, with one word or another for the mean. Names of columns are read, not counted upon. Types of
operators hold blanks and commas, so a line is read from the run of its numbers.

Source: tensorflow/core/util/stats_calculator.cc and stat_summarizer.cc of several years,
tflite/profiling/profile_summary_formatter.cc, litert/runtime/profiler_summarizer.cc.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from devices.profiling.profile import OpTime
from devices.runners.statistics_lines import read_loop_stats
from mnas.errors import DeviceError

_NUMBER = r"(-?(?:\d[\d.]*(?:[eE][+-]?\d+)?|nan|inf)%?)"
_TITLE = re.compile(r"={5,} (.+?) ={5,}\s*$")
_NODES = re.compile(r"^Number of nodes executed: (\d{1,18})(?!\d)")
_SECTIONS = {
    "Profiling Info for Benchmark Initialization:": "initialization",
    "Operator-wise Profiling Info for Regular Benchmark Runs:": "runs",
}
_TIMINGS = "Timings (microseconds): "


@dataclass
class _Part:
    """One graph's tables: the order of execution, how many nodes there should be, and the mean of the whole."""

    section: str
    kind: str
    rows: list[dict[str, str]] = field(default_factory=list)
    nodes: int = -1
    total_ms: float = 0.0


def read_op_table(text: str) -> list[OpTime]:
    """Read the operators of the timed runs, in order of execution.

    Where the tool tells what happened inside a delegate, those operators stand behind the delegate's node, and the
    node keeps the rest of its time. The tool gives no shortest time but in a few builds: ``min_ms`` is the mean then.

    Raises:
        DeviceError: ``RNR17``: there is no table, or it is broken off.
    """
    parts = _read_parts(text.splitlines())
    section = "runs" if any(part.section == "runs" for part in parts) else ""
    parts = [part for part in parts if part.section == section]
    graph = next((part for part in parts if part.kind == "graph"), None)
    inner = next((part for part in parts if part.kind == "delegate"), None)
    if graph is None or not graph.rows:
        raise _unreadable("the output holds no table of operators", "run the profile again and look at its output")
    for part in (graph, inner) if inner else (graph,):
        if len(part.rows) != part.nodes:
            raise _unreadable(f"the table of operators has {len(part.rows)} of {part.nodes} rows", "run it again")
    return _to_ops(graph, inner)


def _unreadable(what: str, fix: str) -> DeviceError:
    return DeviceError("RNR17", what, why="a profile with holes would be taken for a whole one", fix=fix)


def _read_parts(lines: Iterable[str]) -> list[_Part]:
    parts: list[_Part] = []
    section, kind, title = "", "graph", ""
    columns: list[str] = []
    for raw in lines:
        line = raw.strip()
        heading = next((name for text, name in _SECTIONS.items() if line.endswith(text)), "")
        if heading:
            section, kind, title = heading, "graph", ""
        elif line.startswith("Delegate internal:"):
            kind, title = "delegate", ""
        elif line.startswith("Subgraph (index:") and "profile:" in line:
            kind, title = "subgraph", ""
        elif found := _TITLE.search(line):
            title, columns = found[1], []
            if title == "Run Order":
                parts.append(_Part(section, kind))
        elif title == "Run Order" and not columns:
            columns = _columns(line)
            if len(columns) <= 2:
                raise _unreadable(f"the head of the table of operators cannot be read: {line[:200]}", "run it again")
        elif title == "Run Order" and line:
            parts[-1].rows.append(_read_row(raw, columns))
        elif not line:
            title = ""
        elif parts:
            _read_totals(parts[-1], line)
    return parts


def _columns(line: str) -> list[str]:
    names = re.findall(r"\[([^\]]+)\]", line) if line.startswith("[") else line.split(", ")
    return [name.strip().lower().replace("_", " ") for name in names]


def _read_row(line: str, columns: Sequence[str]) -> dict[str, str]:
    numbers = len(columns) - 2
    # CSV has tabs for the commas of a name; a copy of a table may have lost its tabs.
    for separator in (r",\s", r"\t\s*", r"\s+"):
        pattern = separator.join([r"^\s*(\S.*?)", *[_NUMBER] * numbers]) + rf"(?:{separator}\s*(.*))?$"
        if found := re.match(pattern, line.rstrip()):
            fields = [(part or "").replace("\t", ",") for part in found.groups()]
            return dict(zip(columns, fields, strict=True))
    raise _unreadable(f"a row of the table of operators cannot be read: {line.strip()[:200]}", "run it again")


def _read_totals(part: _Part, line: str) -> None:
    if found := _NODES.match(line):
        part.nodes = int(found[1])
    elif _TIMINGS in line:
        try:
            stats = read_loop_stats(line.partition(_TIMINGS)[2])
        except ValueError:
            return
        if stats and stats.avg_us:
            part.total_ms = stats.avg_us / 1000


def _to_ops(graph: _Part, inner: _Part | None) -> list[OpTime]:
    means = [_mean_ms(row, graph.total_ms) for row in graph.rows]
    total = graph.total_ms or sum(means)
    inner_means = [_mean_ms(row, inner.total_ms) for row in inner.rows] if inner else []
    carriers = [place for place, row in enumerate(graph.rows) if "delegate" in _type(row).lower()]
    held = sum(means[place] for place in carriers)
    if carriers and held > 0:
        kept = max(0.0, held - sum(inner_means)) / held
        means = [mean * kept if place in carriers else mean for place, mean in enumerate(means)]
    ops: list[OpTime] = []
    for place, (row, mean) in enumerate(zip(graph.rows, means, strict=True)):
        ops.append(_op(len(ops), row, mean, total, {}))
        if inner and carriers and place == carriers[0]:
            for one, inside in zip(inner.rows, inner_means, strict=True):
                ops.append(_op(len(ops), one, inside, total, {"inside": _type(row)}))
    return ops


def _op(place: int, row: dict[str, str], mean_ms: float, total_ms: float, detail: dict[str, object]) -> OpTime:
    minimum = _number(row.get("min ms", row.get("min", "")))
    return OpTime(
        place=place,
        name=row.get("name", "") or _type(row),
        op=_type(row),
        mean_ms=mean_ms,
        min_ms=mean_ms if minimum is None else minimum,
        share=mean_ms / total_ms if total_ms else 0.0,
        calls=_number(row.get("times called", "")) or 0.0,
        detail={"first_ms": _number(row.get("first", "")), "memory_kb": _number(row.get("mem kb", "")), **detail},
    )


def _type(row: dict[str, str]) -> str:
    return row.get("node type", "")


def _mean_ms(row: dict[str, str], total_ms: float) -> float:
    """Return the mean time in one inference; the table's own mean is that of one call."""
    average, calls = _number(row.get("avg ms", "")), _number(row.get("times called", ""))
    if average is None or min(average, calls or 0.0) < 0:
        raise _unreadable("the table of operators has no means, or some below zero", "run it again")
    if calls:
        return average * calls
    share = _number(row.get("%", "").rstrip("%"))
    return share / 100 * total_ms if share is not None and share >= 0 and total_ms else average


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None
