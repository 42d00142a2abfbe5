"""What ``mnas bench --per-op`` and ``--sustained`` found, as tables and trace files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.cli.number_format import percent, significant
from mnas.cli.output import Result

if TYPE_CHECKING:
    from devices.run import BenchRun

_MOST_OPERATORS = 15


def extra_results(runs: Sequence[BenchRun]) -> list[Result]:
    """Return a table of operators for each profile, and one of all sustained runs."""
    found = [_operators(run, label, profile) for run in runs for label, profile in run.extras.get("per_op", {}).items()]
    sustained = [
        (run.device.device_id, label, document)
        for run in runs
        for label, document in run.extras.get("sustained", {}).items()
    ]
    return found + ([_sustained(sustained)] if sustained else [])


def write_traces(runs: Sequence[BenchRun], folder: Path) -> list[Path]:
    """Write a Chrome trace of each profile and return the files.

    Raises:
        OSError: The folder cannot be written.
    """
    return [_write_trace(run, label, profile, folder) for run, label, profile in _profiles(runs)]


def _profiles(runs: Sequence[BenchRun]) -> Iterator[tuple[BenchRun, str, dict[str, Any]]]:
    for run in runs:
        for label, profile in run.extras.get("per_op", {}).items():
            yield run, label, profile


def _write_trace(run: BenchRun, label: str, document: dict[str, Any], folder: Path) -> Path:
    from devices.profiling.profile import OpProfile
    from devices.profiling.trace import chrome_trace
    from mnas.jsonio import write_json_atomic

    path = folder / f"{run.run_id}-{re.sub(r'[^A-Za-z0-9._-]+', '-', label)}.trace.json"
    write_json_atomic(path, chrome_trace(OpProfile.from_json(document), label))
    return path


def _operators(run: BenchRun, label: str, document: dict[str, Any]) -> Result:
    from devices.profiling.profile import OpProfile, by_operator

    profile = OpProfile.from_json(document)
    operators = sorted(by_operator(profile), key=lambda one: -one.mean_ms)
    rows = [[one.op, one.calls, significant(one.mean_ms, 3), percent(one.share)] for one in operators[:_MOST_OPERATORS]]
    notes = [f"profiled: {significant(profile.total_ms, 4)} ms an inference, slower than timed; compare shares"]
    if len(operators) > _MOST_OPERATORS:
        notes.append(f"{len(operators) - _MOST_OPERATORS} more operators are in the page and in the JSON")
    title = f"{label} by operator: {profile.view}, {profile.runs} runs on {run.device.device_id}"
    return Result(("operator", "calls", "mean ms", "share"), rows, title=title, notes=[*notes, *profile.notes])


def _sustained(found: Sequence[tuple[str, str, dict[str, Any]]]) -> Result:
    rows, notes = [], []
    for device, label, document in found:
        windows = document["windows"]
        minutes = windows[-1]["end_s"] / 60 if windows else 0.0
        first, last = (_ms(document[f"{when}_minute_ms"]) for when in ("first", "last"))
        ratio, interval = document["ratio"], document["interval"]
        text = (
            "" if ratio is None else f"{ratio:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")
        )
        rows.append([label, device, f"{minutes:.1f}", first, last, text, document["verdict"]])
        notes += [f"{label}: {reason}" for reason in document["reasons"]]
    columns = ("model", "device", "minutes", "first minute ms", "last minute ms", "last / first", "verdict")
    return Result(columns, rows, title="sustained: raw medians", notes=notes)


def _ms(value: float | None) -> str:
    return "" if value is None else significant(value, 4)
