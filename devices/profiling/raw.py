"""What a runtime's profiler gave, brought into one form, and its way to a profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from devices.profiling.profile import OpProfile, OpTime, Span, first_inferences

MAX_SPANS = 20_000
WHOLE = "inference"


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One call of one operator; times in microseconds on the profiler's clock."""

    name: str
    op: str
    start_us: float
    duration_us: float
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RawRun:
    """One inference and the operators that ran in it, in order of their start."""

    start_us: float
    duration_us: float
    events: tuple[RawEvent, ...]


@dataclass(frozen=True, slots=True)
class RawProfile:
    """What the child process hands to its parent."""

    runtime: str
    version: str
    view: str
    runs: tuple[RawRun, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RawProfile:
        """Read what `to_json` wrote."""
        runs = tuple(
            RawRun(run["start_us"], run["duration_us"], tuple(RawEvent(**event) for event in run["events"]))
            for run in value["runs"]
        )
        return cls(value["runtime"], value["version"], value["view"], runs, tuple(value["notes"]))


def order_events(events: Sequence[RawEvent]) -> list[RawEvent]:
    """Sort events by start, an outer one before those inside it.

    Runtimes note an event when it ends, so of two equal ones the later noted is the outer.
    """
    places = sorted(range(len(events)), key=lambda place: (events[place].start_us, -events[place].duration_us, -place))
    return [events[place] for place in places]


def own_times(events: Sequence[RawEvent]) -> list[float]:
    """Return each event's time without that of the events inside it (bodies of loops and conditions).

    Args:
        events: As `order_events` sorts them.

    Returns:
        Microseconds, at least 0, in the same order.
    """
    own = [event.duration_us for event in events]
    outer: list[int] = []
    for place, event in enumerate(events):
        end = event.start_us + event.duration_us
        while outer and end > events[outer[-1]].start_us + events[outer[-1]].duration_us:
            outer.pop()
        if outer:
            own[outer[-1]] = max(0.0, own[outer[-1]] - event.duration_us)
        outer.append(place)
    return own


def to_profile(raw: RawProfile) -> OpProfile:
    """Average a runtime's events over its runs.

    Raises:
        ValueError: There is no run, or no operator in any.
    """
    times: dict[tuple[str, str], list[float]] = {}
    calls: dict[tuple[str, str], int] = {}
    details: dict[tuple[str, str], Mapping[str, Any]] = {}
    for number, run in enumerate(raw.runs):
        for event, own_us in zip(run.events, own_times(run.events), strict=True):
            key = (event.name, event.op)
            details.setdefault(key, event.detail)
            calls[key] = calls.get(key, 0) + 1
            times.setdefault(key, [0.0] * len(raw.runs))[number] += own_us / 1000
    if not times:
        raise ValueError("the profiler noted no operator")
    count = len(raw.runs)
    total_ms = sum(run.duration_us for run in raw.runs) / 1000 / count
    ops = tuple(
        OpTime(
            place=place,
            name=key[0],
            op=key[1],
            mean_ms=sum(values) / count,
            min_ms=min(values),
            share=sum(values) / count / total_ms if total_ms else 0.0,
            calls=calls[key] / count,
            detail=dict(details[key]),
        )
        for place, (key, values) in enumerate(times.items())
    )
    covered = sum(op.mean_ms for op in ops) / total_ms if total_ms else 0.0
    trace = first_inferences(_spans(raw.runs), MAX_SPANS)
    notes = raw.notes
    if trace[-1].run + 1 < count:
        notes = (*notes, f"the trace holds the first {trace[-1].run + 1} of {count} inferences")
    return OpProfile(raw.runtime, raw.version, raw.view, count, total_ms, ops, covered, notes, trace)


def _spans(runs: Sequence[RawRun]) -> list[Span]:
    origin = runs[0].start_us
    spans = []
    for number, run in enumerate(runs):
        spans.append(Span(number, WHOLE, "", run.start_us - origin, run.duration_us))
        spans += [
            Span(number, event.name, event.op, event.start_us - origin, event.duration_us) for event in run.events
        ]
    return spans
