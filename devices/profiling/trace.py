"""A profile as a trace that chrome://tracing and ui.perfetto.dev open."""

from __future__ import annotations

from typing import Any

from devices.profiling.profile import LABEL, OpProfile

_PID, _TID = 1, 1


def chrome_trace(profile: OpProfile, name: str = "model") -> dict[str, Any]:
    """Return a profile in the Trace Event Format, object form.

    Source: "Trace Event Format" of the Chromium project: complete events (``ph`` X) with ``ts`` and ``dur`` in
    microseconds, metadata events (``ph`` M) for names.

    Args:
        profile: To be shown.
        name: Of the model, as the title of its row.
    """
    ops = {(op.name, op.op): op for op in profile.ops}
    events: list[dict[str, Any]] = [
        _name_of("process_name", f"{profile.runtime} {profile.version}, {profile.view} ({LABEL})"),
        _name_of("thread_name", name),
    ]
    for span in profile.trace:
        arguments: dict[str, Any] = {"inference": span.run}
        if span.op:
            known = ops.get((span.name, span.op))
            arguments |= {"op": span.op, **(known.detail if known else {})}
        events.append(
            {
                "name": span.name,
                "cat": span.op or "inference",
                "ph": "X",
                "ts": span.start_us,
                "dur": span.duration_us,
                "pid": _PID,
                "tid": _TID,
                "args": arguments,
            }
        )
    other = {"label": LABEL, "runs": profile.runs, "total_ms": profile.total_ms, "notes": list(profile.notes)}
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": other}


def _name_of(kind: str, text: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "ts": 0, "pid": _PID, "tid": _TID, "args": {"name": text}}
