"""What one measurement consists of: visits asked for, samples that came back, and what was made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from mnas.export.artifact import ModelArtifact

Statistic = Literal["run", "launch_median", "launch_mean"]
Verdict = Literal["ok", "noisy", "drifted", "throttled", "invalid"]


@dataclass(frozen=True, slots=True)
class Visit:
    """One turn of one model within a session: ``warmup`` discarded runs, then ``runs`` timed ones."""

    artifact: ModelArtifact
    runs: int
    warmup: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One number that a device gave.

    Attributes:
        value_ms: Milliseconds of one inference.
        runs: How many inferences it stands for.
        statistic: ``run`` for a single inference, or the aggregate that a launch gave.
    """

    value_ms: float
    runs: int = 1
    statistic: Statistic = "run"


@dataclass(frozen=True, slots=True)
class SampleEvent:
    """What one visit gave.

    Attributes:
        visit: The visit.
        samples: Timed, in order; empty when it failed.
        warmup_samples: Discarded ones, in order.
        error: Why it failed, or "".
        involuntary_switches: How often the scheduler took the CPU away during the visit; -1 where unknown.
    """

    visit: Visit
    samples: tuple[Sample, ...]
    warmup_samples: tuple[Sample, ...] = ()
    error: str = ""
    involuntary_switches: int = -1


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a session says about one model.

    Attributes:
        artifact_sha256: Of the model file.
        latency_ms: The estimate that tables, searches and gates use; ``None`` when there is none.
        interval_ms: Its 95 % interval.
        samples_ms: Timed samples in order of time.
        rounds: Round of each sample, same length.
        warmup_samples_ms: Discarded samples.
        verdict: ``ok``, ``noisy``, ``drifted``, ``throttled`` or ``invalid``.
        reasons: Why the verdict is not ``ok``.
    """

    artifact_sha256: str
    latency_ms: float | None
    interval_ms: tuple[float, float] | None
    samples_ms: tuple[float, ...]
    rounds: tuple[int, ...]
    warmup_samples_ms: tuple[float, ...]
    verdict: Verdict
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """One sitting with one device, in which models were measured interleaved with the reference networks.

    Attributes:
        device_key: Of the device.
        started_at_utc: ISO 8601.
        measurements: One per model, by sha256.
        reference_ms: Reference network -> its quantile in this session (raw milliseconds).
        reference_nominals_ms: Reference network -> its stored nominal.
        conditions_before: As the device gave them.
        conditions_after: As the device gave them.
        reference_rounds_ms: Reference network -> round, as text -> median of its runs in that round, raw milliseconds.
        conditions_during: The same at the start of some rounds, with ``round`` and ``t_s`` (seconds since the start).
        protocol: Every setting of the measuring protocol.
        verdict: Of the session as a whole.
        reasons: Why it is not ``ok``.
        notes: What was thrown away on the way, whatever the verdict.
    """

    device_key: str
    started_at_utc: str
    measurements: dict[str, Measurement]
    reference_ms: dict[str, float]
    reference_nominals_ms: dict[str, float]
    conditions_before: dict[str, Any]
    conditions_after: dict[str, Any]
    protocol: dict[str, Any]
    verdict: Verdict
    reasons: tuple[str, ...] = field(default=())
    conditions_during: tuple[dict[str, Any], ...] = ()
    reference_rounds_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Return everything but the measurements, as JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "measurements"}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
