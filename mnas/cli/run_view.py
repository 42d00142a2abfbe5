"""A run of ``mnas bench`` as a table: what ``mnas bench`` and ``mnas runs show`` print."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mnas.cli.column_fit import Column, fitting, left_out
from mnas.cli.number_format import percent, significant, with_half_width, with_interval
from mnas.cli.output import Result
from mnas.cli.sparkline import histogram_sparkline

if TYPE_CHECKING:
    from devices.run import BenchedModel, BenchRun

_MB = 1e6
_RUNS_WIDTH = 16
_ALWAYS = ("model", "latency ms", "verdict")
_DROPPED_FIRST = ("runs", "load ms", "peak MB", "p90", "size MB", "MMACs", "p95", "p50")
"""Columns in the order in which a narrow terminal does without them; those not named stay."""


def run_result(run: BenchRun, width: int | None = None) -> Result:
    """Return a run with all its models.

    Args:
        run: The run; it may be unfinished.
        width: Characters that a line may have; columns that matter less are left out to stay within. ``None``: all.
    """
    from devices.run_rows import model_record

    columns, dropped = fitting(_columns(run), width, _DROPPED_FIRST, "model")
    rows = [list(row) for row in zip(*(column.cells for column in columns), strict=True)]
    notes = [*_notes(run), *left_out(dropped, width)]
    records = [model_record(run, model) for model in run.models]
    return Result([column.name for column in columns], rows, run.to_json(), run_title(run), notes, records)


def run_title(run: BenchRun) -> str:
    """Return what a run is called above a table."""
    info = run.device
    what = f"{run.run_id} on {info.model}, {info.runtime} {info.runtime_version}".rstrip()
    state = "" if run.status == "done" else f" ({run.status})"
    return ("SIMULATED " if info.is_simulated else "") + what + state


def latency_text(model: BenchedModel) -> str | None:
    """Return e.g. ``7.42 [7.38, 7.47]``, ``7.421`` without an interval, ``None`` without a latency."""
    found = model.measurement
    if found is None or found.latency_ms is None:
        return None
    if found.interval_ms is None:
        return significant(found.latency_ms, 4)
    return with_interval(found.latency_ms, *found.interval_ms)


def verdict_text(run: BenchRun, model: BenchedModel) -> str:
    """Return the verdict, the code of the problem beside it, and that a number is of no real device."""
    words: list[str] = [model.measurement.verdict] if model.measurement else []
    words += [model.problem.code] if model.problem else []
    words += ["(simulated)"] if run.device.is_simulated and model.latency_ms is not None else []
    return " ".join(words) or "not measured"


def _relative_text(run: BenchRun, model: BenchedModel) -> str | None:
    relative = model.relative
    if any(other.relative is not None and other.relative.to == model.label for other in run.models):
        return "1 x"
    if relative is None:
        return None
    return f"{with_half_width(relative.ratio, relative.low, relative.high)} x"


def _columns(run: BenchRun) -> list[Column]:
    def column(name: str, cells: Iterator[str | None] | Sequence[str | None]) -> Column:
        return Column(name, tuple(cells))

    def raw(name: str) -> Iterator[str | None]:
        return (_number(getattr(model.raw, name) if model.raw else None) for model in run.models)

    models = run.models
    found = [
        column("model", [model.label for model in models]),
        column("latency ms", [latency_text(model) for model in models]),
        column("relative", [_relative_text(run, model) for model in models]),
        column("p50", raw("p50_ms")),
        column("p90", raw("p90_ms")),
        column("p95", raw("p95_ms")),
        column("MMACs", [_number(_macs(model), 1e6) for model in models]),
        column("size MB", [_number(model.size_bytes or None, _MB) for model in models]),
        column("peak MB", [_number(model.peak_memory_bytes, _MB) for model in models]),
        column("load ms", [_number(model.load_ms) for model in models]),
        column("verdict", [verdict_text(run, model) for model in models]),
        column("runs", [_sparkline(model) for model in models]),
    ]
    left_out = ("relative",) if len(models) < 2 else ()
    return [one for one in found if one.name not in left_out and (any(one.cells) or one.name in _ALWAYS)]


def _macs(model: BenchedModel) -> int | None:
    return model.description.macs if model.description else None


def _number(value: float | None, unit: float = 1.0) -> str | None:
    return None if value is None or not math.isfinite(value) else significant(value / unit)


def _sparkline(model: BenchedModel) -> str | None:
    samples = [value for value in (model.measurement.samples_ms if model.measurement else ()) if math.isfinite(value)]
    return histogram_sparkline(samples, _RUNS_WIDTH) if len(samples) > 1 else None


def _notes(run: BenchRun) -> Iterator[str]:
    info = run.device
    cpus = f"CPU mask {info.cpu_mask}" if info.cpu_mask else "not pinned"
    threads = f"{info.threads} thread{'' if info.threads == 1 else 's'}"
    yield f"device: {info.device_id}, {info.delegate}, {threads}, {cpus}, key {info.device_key[:12]}"
    yield from _course(run)
    session = run.session
    if session.get("verdict", "ok") != "ok":
        yield f"the session is {session['verdict']}: {'; '.join(session.get('reasons') or ['no reason was given'])}"
    yield from session.get("notes") or ()
    yield from model_notes(run)
    for model in run.models:
        if model.measurement is not None and model.measurement.reasons:
            yield f"{model.label}: {model.measurement.verdict}: {'; '.join(model.measurement.reasons)}"
        if model.problem is not None:
            yield f"{model.label}: {model.problem.message}"
    for gate in run.gates:
        yield f"gate {gate.gate}: {gate.label}: {gate.outcome.upper()}: {gate.reason}"
    if any(model.raw for model in run.models):
        yield "latency is scaled to the references, with its 95 % interval; p50, p90 and p95 are raw milliseconds"
    kinds = {model.raw.statistic for model in run.models if model.raw}
    for kind in sorted(kinds - {"run"}):
        yield f"each raw sample is the {kind.removeprefix('launch_')} of one launch of the runner"


def model_notes(run: BenchRun) -> list[str]:
    """Return what ran otherwise than asked for, model by model; what is true of all of several models stands once."""
    tried = [model for model in run.models if model.load_ms is not None or model.notes]
    common = [note for note in tried[0].notes if all(note in one.notes for one in tried)] if len(tried) > 1 else []
    own = [f"{model.label}: {note}" for model in tried for note in model.notes if note not in common]
    return [*(f"all models: {note}" for note in common), *own]


def _course(run: BenchRun) -> Iterator[str]:
    """Tell how long it went on and why it ended, how fast the machine was, and what was no measuring."""
    why = run.stopping.get("why")
    said = [f"{run.stopping.get('rounds', 0)} rounds" + (f" ({why})" if why else "")]
    level = _reference_level(run)
    if level is not None:
        said.append(f"references at {significant(level)} x their nominals")
    if "wall_s" in run.timing:
        said.append(f"session of {significant(run.timing['wall_s'])} s")
    if "overhead_fraction" in run.timing:
        said.append(f"overhead {percent(run.timing['overhead_fraction'])}")
    yield "; ".join(said)


def _reference_level(run: BenchRun) -> float | None:
    nominals = run.session.get("reference_nominals_ms") or {}
    found = run.session.get("reference_ms") or {}
    logs = [math.log(found[name] / nominals[name]) for name in found if found[name] > 0 and nominals.get(name, 0) > 0]
    return math.exp(statistics.fmean(logs)) if logs else None
