"""The page of a bench run: what came out, the raw runs behind it, the session's course, and how it was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mnas.cli.bench_conditions import condition_parts
from mnas.cli.bench_figures import (
    by_latency,
    course_figures,
    devices_figure,
    latency_figure,
    raw_gallery,
    reference_levels,
    row_id,
    sustained_figure,
    verdict_of,
)
from mnas.cli.bench_method import device_name, method_parts
from mnas.cli.number_format import significant, with_half_width
from mnas.cli.run_view import latency_text, model_notes, verdict_text
from mnas.report.page import Cell, Paragraph, Part, Quantity, RowClass, Section, Table, render_page

if TYPE_CHECKING:
    from devices.run import BenchedModel, BenchRun, GateResult

PerOp = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""Nodes of a profile (``name``, ``op``, ``mean_ms``, ``share``, ``calls``, ``detail``), or a document that holds them
as ``ops``."""

Sustained = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""Windows (``start_s``, ``end_s``, ``p50_ms``, ``q20_ms``), or a document that holds them as ``windows``."""

_TOP_NODES = 30
_NAMED = 5
_COLUMNS = ["model", "latency ms [95\N{NO-BREAK SPACE}%]", "relative", "raw p50", "raw p90", "raw p95", "MACs (M)",
            "size (MB)", "peak memory (MB)", "load (ms)", "verdict"]  # fmt: skip


def bench_page(
    runs: Sequence[BenchRun],
    *,
    per_op: PerOp | Mapping[str, PerOp] | None = None,
    sustained: Sustained | Mapping[str, Sustained] | None = None,
) -> str:
    """Return one self-contained HTML page of one run, or of the runs of one command on several devices.

    Args:
        runs: One for each device, in the order asked for; at least one.
        per_op: Nodes of a profile or its document, or name of the model -> such.
        sustained: Windows of a sustained run or its document, or name of the model -> such.

    Raises:
        ValueError: There is no run.
    """
    if not runs:
        raise ValueError("a page needs at least one run")
    names = _names(runs)
    sections: list[Section] = []
    if len(runs) > 1:
        sections.append(Section("All devices", [devices_figure(runs, names)]))
    for place, (run, name) in enumerate(zip(runs, names, strict=True)):
        where = f" on {name}" if len(runs) > 1 else ""
        sections += [
            Section(f"Latency{where}", _result_parts(run, place)),
            Section(f"Raw runs{where}", _raw_parts(run)),
            Section(f"Over the session{where}", _course_parts(run)),
            Section(f"Conditions{where}", condition_parts(run)),
        ]
    sections += [Section(f"Operators{_of(name)}", _per_op_parts(one)) for name, one in _each_profile(per_op)]
    sections += [Section(f"Sustained{_of(name)}", _sustained_parts(one)) for name, one in _each_sustained(sustained)]
    sections += [
        Section(f"How it was measured{f' on {name}' if len(runs) > 1 else ''}", method_parts(run))
        for run, name in zip(runs, names, strict=True)
    ]
    first = runs[0]
    count = len({model.label for run in runs for model in run.models})
    title = f"Latency of {count} model{'' if count == 1 else 's'} on {' and '.join(names)}"
    subtitle = f"{', '.join(run.run_id for run in runs)}, {first.started_at_utc}, {first.device.model}"
    return render_page(title, sections, subtitle=subtitle, notices=_notices(runs, names))


def _names(runs: Sequence[BenchRun]) -> list[str]:
    """Return what the devices are called on the page, with the run's id where two are called the same."""
    names = [device_name(run.device) for run in runs]
    return [f"{name} ({run.run_id})" if names.count(name) > 1 else name for name, run in zip(names, runs, strict=True)]


def _of(name: str) -> str:
    return f" of {name}" if name else ""


def _notices(runs: Sequence[BenchRun], names: Sequence[str]) -> list[str]:
    """Return what a reader must know before the first number."""
    notices = []
    for run, name in zip(runs, names, strict=True):
        if run.device.is_simulated:
            notices.append(f"SIMULATED device: the numbers of {name} are made up.")
        if run.status != "done":
            notices.append(f"The run on {name} is {run.status}: what it holds is not complete.")
        verdict = run.session.get("verdict", "ok")
        if verdict != "ok":
            notices.append(f"The session on {name} is {verdict}: {'; '.join(run.session.get('reasons') or ())}")
        notices += [f"On {name} {note}." for note in run.session.get("notes") or ()]
        for gate in run.gates:
            if gate.outcome != "pass":
                what = "failed" if gate.outcome == "fail" else "inconclusive"
                whose = "" if gate.reason.startswith(gate.label) else f" for {gate.label}"
                notices.append(f"Gate {gate.gate} {what}{whose}: {gate.reason}")
        for model in run.models:
            if model.latency_ms is None:
                notices.append(f"{model.label} has no number on {name}: {_why(model)}")
        for verdict in ("throttled", "drifted", "noisy"):
            found = [model.label for model in run.models if model.latency_ms and verdict_of(model) == verdict]
            if found:
                more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
                notices.append(f"Measured as {verdict} on {name}: {', '.join(found[:_NAMED])}{more}.")
    return notices


def _why(model: BenchedModel) -> str:
    """Return why a model has no number, or why its number is to be distrusted."""
    if model.problem is not None:
        return model.problem.message
    return "; ".join(model.measurement.reasons) if model.measurement else "it was not measured"


def _result_parts(run: BenchRun, place: int) -> list[Part]:
    if not run.models:
        return [Paragraph("No model was measured.")]
    parts: list[Part] = [latency_figure(run, place), _models_table(run, place)]
    doubted = [model for model in by_latency(run.models) if model.latency_ms is None or verdict_of(model) != "ok"]
    if doubted:
        rows: list[list[Cell]] = [[model.label, verdict_of(model), _why(model)] for model in doubted]
        parts.append(Table(["model", "verdict", "why"], rows, align="lll", sortable=False, caption="Verdicts not ok."))
    parts += [Paragraph(f"{note}.") for note in model_notes(run)]
    return [*parts, _gates_table(run.gates)] if run.gates else parts


def _models_table(run: BenchRun, place: int) -> Table:
    models = by_latency(run.models)
    return Table(
        _COLUMNS,
        [_model_row(run, model) for model in models],
        align="lrrrrrrrrrl",
        row_ids=[row_id(place, model) for model in models],
        row_classes=[_row_class(model) for model in models],
        caption=_relative_caption(models),
    )


def _relative_caption(models: Sequence[BenchedModel]) -> str:
    others = dict.fromkeys(model.relative.to for model in models if model.relative is not None)
    against = f" Relative to {', '.join(others)}." if others else ""
    return f"Raw percentiles are in milliseconds and not corrected; empty where there are too few runs.{against}"


def _row_class(model: BenchedModel) -> RowClass:
    if model.latency_ms is None:
        return "bad"
    if verdict_of(model) != "ok":
        return "warn"
    return "muted" if model.role == "baseline" else ""


def _model_row(run: BenchRun, model: BenchedModel) -> list[Cell]:
    raw, relative, latency = model.raw, model.relative, latency_text(model)
    is_anchor = any(other.relative is not None and other.relative.to == model.label for other in run.models)
    ratio: Cell = Quantity("1 x", 1.0) if is_anchor else None
    if relative is not None and not is_anchor:
        is_bounded = math.isfinite(relative.high - relative.low)
        text = with_half_width(relative.ratio, relative.low, relative.high) if is_bounded else f"{relative.ratio:.3g}"
        ratio = Quantity(f"{text} x", relative.ratio)
    return [
        model.label,
        Quantity(latency, model.latency_ms) if latency and model.latency_ms is not None else None,
        ratio,
        *(_quantity(getattr(raw, name) if raw else None) for name in ("p50_ms", "p90_ms", "p95_ms")),
        _quantity(model.description.macs if model.description else None, 1e6),
        _quantity(model.size_bytes or None, 1e6),
        _quantity(model.peak_memory_bytes, 1e6),
        _quantity(model.load_ms),
        verdict_text(run, model),
    ]


def _quantity(value: float | None, unit: float = 1.0) -> Quantity | None:
    return None if value is None or not math.isfinite(value) else Quantity(significant(value / unit), value / unit)


def _gates_table(gates: Sequence[GateResult]) -> Table:
    def interval(gate: GateResult) -> str | None:
        return None if gate.low is None or gate.high is None else f"{gate.low:.4g} to {gate.high:.4g}"

    rows: list[list[Cell]] = [
        [gate.gate, gate.label, gate.limit, gate.value, interval(gate), gate.outcome, gate.reason] for gate in gates
    ]
    kinds: dict[str, RowClass] = {"pass": "", "fail": "bad", "inconclusive": "warn"}
    return Table(
        ["gate", "model", "limit", "value", "95 % interval", "outcome", "reason"],
        rows,
        align="llrrlll",
        row_classes=[kinds[gate.outcome] for gate in gates],
        caption="Gates. One fails only when the whole interval lies beyond the limit.",
    )


def _raw_parts(run: BenchRun) -> list[Part]:
    gallery, shared = raw_gallery(run)
    if not gallery.figures:
        return [Paragraph("There is no timed run.")]
    axis = "All have the same horizontal axis." if shared else "Each has a horizontal axis of its own."
    text = (
        "Each timed run as the clock gave it, states of the machine included. latency_ms is corrected, "
        f"round by round, by the references, so it need not lie where these do. {axis} A long tail is cut at "
        "the slowest hundredth, and its runs are counted."
    )
    return [Paragraph(text), gallery]


def _course_parts(run: BenchRun) -> list[Part]:
    figures = course_figures(run)
    if not figures:
        return [Paragraph("There is no timed run.")]
    if not reference_levels(run.session):
        return [*figures, Paragraph("This run does not hold the references' runs of each round.")]
    return list(figures)


def _each_profile(per_op: PerOp | Mapping[str, PerOp] | None) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the name and the document of each profile."""
    return _documents(per_op, "ops")


def _documents(given: Any, inside: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return name and document of a list, of a document that holds one ``inside``, or of several by name."""
    if not given:
        return []
    if not isinstance(given, Mapping):
        return [("", {inside: given})]
    if inside in given:
        return [("", given)]
    return [(name, one if isinstance(one, Mapping) else {inside: one}) for name, one in given.items()]


def _each_sustained(sustained: Sustained | Mapping[str, Sustained] | None) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the name and the document of each sustained run."""
    return _documents(sustained, "windows")


def _per_op_parts(document: Mapping[str, Any]) -> list[Part]:
    """Return a profile by operator, and its slowest nodes."""
    nodes: Sequence[Mapping[str, Any]] = document["ops"]
    totals: dict[str, list[float]] = {}
    for node in nodes:
        total = totals.setdefault(str(node["op"]), [0, 0.0, 0.0])
        for index, value in enumerate((1, node["mean_ms"], node.get("share") or 0.0)):
            total[index] += value
    by_op = sorted(totals.items(), key=lambda item: -item[1][1])
    rows: list[list[Cell]] = [[op, int(count), ms, share] for op, (count, ms, share) in by_op]
    slowest = sorted(nodes, key=lambda node: -float(node["mean_ms"]))[:_TOP_NODES]
    node_rows: list[list[Cell]] = [
        [str(n["name"]), str(n["op"]), n["mean_ms"], n.get("share"), n.get("calls"), _detail(n.get("detail"))]
        for n in slowest
    ]
    said = "From a run of its own with the profiler on, which is slower than a timed one: no latency."
    if "total_ms" in document:
        said += f" A whole inference took {significant(document['total_ms'])} ms in {document.get('runs', '?')} runs."
    return [
        Paragraph(" ".join([said, f"Shown: {document['view']}." if document.get("view") else ""]).strip()),
        *(Paragraph(str(note)) for note in document.get("notes") or ()),
        Table(["operator", "nodes", "profiled (ms)", "share"], rows, formats=["", ",", ".4g", ".1%"]),
        Table(
            ["node", "operator", "profiled (ms)", "share", "calls", "detail"],
            node_rows,
            align="llrrrl",
            formats=["", "", ".4g", ".1%", ".4g", ""],
            caption=f"The {len(slowest)} slowest of {len(nodes)} nodes.",
        ),
    ]


def _detail(detail: Any) -> str | None:
    """Return what else is known of a node on one line."""
    if isinstance(detail, Mapping):
        return ", ".join(f"{key} {value}" for key, value in detail.items() if value not in (None, "")) or None
    return str(detail) if detail else None


def _sustained_parts(document: Mapping[str, Any]) -> list[Part]:
    """Return latency over time, and the first minute against the last."""
    windows = document.get("windows") or []
    if not windows:
        return [Paragraph("There is no window of time.")]
    parts: list[Part] = [sustained_figure(windows)]
    first, last = document.get("first_minute_ms"), document.get("last_minute_ms")
    if first and last:
        text = f"{document.get('compared') or 'First minute against last'}: {significant(first)} ms, then "
        text += f"{significant(last)} ms, {last / first:.3f} times as much"
        low, high = document.get("interval") or (None, None)
        text += f" (95 % interval {low:.3f} to {high:.3f})." if low is not None and high is not None else "."
        parts.append(Paragraph(text[0].upper() + text[1:]))
    if document.get("verdict"):
        parts.append(Paragraph("; ".join([f"Verdict: {document['verdict']}", *(document.get("reasons") or ())])))
    return parts
