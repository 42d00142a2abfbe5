"""What a profile says: which operator takes how long. Never a latency, since profiling slows a model down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

LABEL = "profiled, slower than timed"
"""What stands beside every total of a profile, so that nobody takes it for a latency."""


@dataclass(frozen=True, slots=True)
class OpTime:
    """What one operator of a model takes, or all operators of one type.

    Attributes:
        place: Position in the order of execution, from 0; of the first one where there are several.
        name: Of the node, or of the type.
        op: Type of the operator, as the runtime calls it.
        mean_ms: Mean time in one inference, without operators that run inside it.
        min_ms: Shortest time in one inference.
        share: `mean_ms` as a fraction of the whole inference.
        calls: How often it runs in one inference, as a mean.
        detail: What else the runtime tells: ``shape``, ``provider`` ...
    """

    place: int
    name: str
    op: str
    mean_ms: float
    min_ms: float
    share: float
    calls: float
    detail: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return {**asdict(self), "detail": dict(self.detail)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> OpTime:
        """Read what `to_json` wrote."""
        return cls(**value)


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch of time in a profile.

    Attributes:
        run: Inference that it belongs to, from 0.
        name: Of the node, or ``inference`` for a whole one.
        op: Type of the operator, or "" for a whole inference.
        start_us: Microseconds since the first profiled inference began.
        duration_us: Microseconds.
    """

    run: int
    name: str
    op: str
    start_us: float
    duration_us: float


@dataclass(frozen=True, slots=True)
class OpProfile:
    """The profile of one model.

    Attributes:
        runtime: As in `devices.device.DeviceInfo`.
        version: Of the runtime.
        view: What the operators are, e.g. ``XNNPACK's operators``.
        runs: Profiled inferences.
        total_ms: Mean of a whole profiled inference. Slower than a timed one, never a latency.
        ops: In order of execution.
        coverage: Time of all operators as a fraction of the whole.
        notes: What one must know to read it.
        trace: Whole inferences and their operators, in order of time.
    """

    runtime: str
    version: str
    view: str
    runs: int
    total_ms: float
    ops: tuple[OpTime, ...]
    coverage: float
    notes: tuple[str, ...] = ()
    trace: tuple[Span, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, trace included."""
        plain = ("runtime", "version", "view", "runs", "total_ms", "coverage")
        return {
            **{name: getattr(self, name) for name in plain},
            "label": LABEL,
            "ops": [op.to_json() for op in self.ops],
            "notes": list(self.notes),
            "trace": [[span.run, span.name, span.op, span.start_us, span.duration_us] for span in self.trace],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> OpProfile:
        """Read what `to_json` wrote."""
        made = {name: value[name] for name in cls.__dataclass_fields__}
        made["ops"] = tuple(OpTime.from_json(op) for op in value["ops"])
        made["notes"] = tuple(value["notes"])
        made["trace"] = tuple(Span(*span) for span in value["trace"])
        return cls(**made)


def by_operator(profile: OpProfile) -> tuple[OpTime, ...]:
    """Add up a profile's operators by type, the one that takes longest first.

    ``min_ms`` is the sum of the nodes' shortest times, ``detail`` holds ``nodes``, how many there are.
    """
    groups: dict[str, list[OpTime]] = {}
    for op in profile.ops:
        groups.setdefault(op.op, []).append(op)
    made = [
        OpTime(
            place=min(one.place for one in group),
            name=name,
            op=name,
            mean_ms=sum(one.mean_ms for one in group),
            min_ms=sum(one.min_ms for one in group),
            share=sum(one.share for one in group),
            calls=sum(one.calls for one in group),
            detail={"nodes": len(group)},
        )
        for name, group in groups.items()
    ]
    return tuple(sorted(made, key=lambda one: (-one.mean_ms, one.place)))


def first_inferences(spans: Iterable[Span], limit: int) -> tuple[Span, ...]:
    """Return the spans of the first whole inferences, as many as fit under a limit, and at least of one."""
    kept: list[Span] = []
    for span in spans:
        if len(kept) >= limit and span.run != kept[-1].run:
            break
        kept.append(span)
    return tuple(kept)
