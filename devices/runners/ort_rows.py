"""The CSV that ``onnxruntime_perf_test`` appends: one row a run, the numbers at its end.

``model,seconds,peak bytes,CPU %,index``; builds since late 2025 have two times, that of handing the work over and that
of the whole run, of which the second counts. A name of a model may hold commas, so rows are read from their end. The
statistics that the tool writes behind the rows are passed over.

Source: onnxruntime/test/perftest/performance_runner.cc and performance_result.h; microsoft/onnxruntime#26313.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_STATISTICS = re.compile(r"^(?:Min|Max|P\d+) Latency\b")


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run: its time in seconds and the process's peak working set in bytes."""

    seconds: float
    peak_bytes: int


def read_run_rows(text: str) -> list[RunRow]:
    """Read the rows in order.

    Raises:
        ValueError: A row is broken off or out of order, as when the file held an earlier launch.
    """
    rows: list[RunRow] = []
    if text and not text.endswith("\n"):
        raise ValueError("the file of runs is broken off")
    for line in text.splitlines():
        if not line.strip() or _STATISTICS.match(line):
            continue
        fields = line.strip().split(",")
        if not rows and len(fields) >= 5 and not fields[-1].strip().isdigit():
            continue
        if len(fields) < 5:
            raise ValueError(f"a row of the file of runs cannot be read: {line[:200]}")
        rows.append(_read_row(fields, len(rows), line))
    return rows


def _read_row(fields: list[str], place: int, line: str) -> RunRow:
    *_, seconds, peak, _, index = fields
    try:
        row, number = RunRow(float(seconds), int(peak)), int(index)
    except ValueError as error:
        raise ValueError(f"a row of the file of runs cannot be read: {line[:200]}") from error
    if number != place:
        raise ValueError(f"row {place} of the file of runs has the number {number}: it holds more than this launch")
    if not math.isfinite(row.seconds) or row.seconds <= 0:
        raise ValueError(f"a run of {seconds} s is no time: {line[:200]}")
    return row
