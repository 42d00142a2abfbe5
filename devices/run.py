"""One run of `mnas bench` on one device: which models, what came out, and everything that it depends on.

The document form (``mnas.bench/1``, docs/contracts.md) is what the store keeps, what ``--format json`` prints and what
the pages are drawn from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from devices.device import DeviceInfo
from devices.measurement import Measurement, Statistic
from devices.models.description import ModelDescription
from mnas.jsonio import without_nan

SCHEMA = "mnas.bench/1"
Role = Literal["model", "baseline"]
Status = Literal["running", "done", "failed", "interrupted"]
Outcome = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a model has no number.

    Attributes:
        code: Of the error, e.g. ``MOD01``.
        message: The whole message, one line.
        exit_code: Exit status that the error stands for.
    """

    code: str
    message: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Relative:
    """How a model compares with another of the same session.

    Attributes:
        to: Label of the other.
        ratio: Latency of this one over that of the other.
        low: Lower end of the 95 % interval of the ratio.
        high: Upper end.
    """

    to: str
    ratio: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RawRuns:
    """The timed runs of a model as they were: not corrected for the state of the machine.

    Attributes:
        count: How many.
        min_ms: Fastest.
        p50_ms: Median.
        p90_ms: ``None`` with fewer than 20 runs.
        p95_ms: ``None`` with fewer than 40 runs.
        p99_ms: ``None`` with fewer than 200 runs.
        max_ms: Slowest.
        statistic: What each of them is: ``run`` for a single inference, else what a launch gave of its inferences.
    """

    count: int
    min_ms: float
    p50_ms: float
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float
    statistic: Statistic = "run"

    @classmethod
    def of(cls, samples_ms: Sequence[float], statistic: Statistic = "run") -> RawRuns | None:
        """Work it out from timed runs; those that are not finite are left out, and without any it is ``None``."""
        finite = [value for value in samples_ms if math.isfinite(value)]
        if not finite:
            return None

        def percentile(percent: int, fewest: int = 1) -> float | None:
            return float(np.percentile(finite, percent)) if len(finite) >= fewest else None

        tail = (percentile(90, 20), percentile(95, 40), percentile(99, 200))
        return cls(len(finite), min(finite), float(np.median(finite)), *tail, max(finite), statistic)


@dataclass(frozen=True, slots=True)
class BenchedModel:
    """One model of a run.

    Attributes:
        label: What it is called; unique within the run.
        role: ``model``, or ``baseline`` where it was given by ``--against``.
        source: What the user wrote.
        path: Model file, or "".
        format: ``onnx``, ``tflite`` or ``pt2``, or "".
        sha256: Of what was measured, or "": of the file, or of the file with the shapes that it is fed.
        size_bytes: Of the file, or 0.
        description: What the file says of itself.
        load_ms: Time to load it in a fresh process.
        peak_memory_bytes: Growth of that process's resident memory over loading and one inference.
        measurement: Of the session.
        raw: Its timed runs as they were.
        relative: Against the baseline, or else the first model that has a number.
        involuntary_switches: How often the scheduler took the CPU during timed visits; -1 where unknown.
        problem: Why there is no number.
        notes: What ran otherwise than asked for, e.g. operators that a delegate left to the CPU.
    """

    label: str
    role: Role
    source: str
    path: str = ""
    format: str = ""
    sha256: str = ""
    size_bytes: int = 0
    description: ModelDescription | None = None
    load_ms: float | None = None
    peak_memory_bytes: int | None = None
    measurement: Measurement | None = None
    raw: RawRuns | None = None
    relative: Relative | None = None
    involuntary_switches: int = -1
    problem: Problem | None = None
    notes: tuple[str, ...] = ()

    @property
    def latency_ms(self) -> float | None:
        """The estimate, or ``None`` when there is none."""
        return self.measurement.latency_ms if self.measurement else None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, raw samples included."""
        value = asdict(replace(self, description=None))
        value["description"] = self.description.to_json() if self.description else None
        return dict(without_nan(value))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> BenchedModel:
        """Read what `to_json` wrote."""
        # Runs of before there were notes have none.
        made = {name: value[name] for name in cls.__dataclass_fields__ if name != "notes"}
        made["notes"] = tuple(value.get("notes", ()))
        made["description"] = _read(value["description"], ModelDescription.from_json)
        made["measurement"] = _read(value["measurement"], _measurement)
        made["raw"] = _read(value["raw"], lambda raw: RawRuns(**raw))
        made["relative"] = _read(value["relative"], lambda relative: Relative(**relative))
        made["problem"] = _read(value["problem"], lambda problem: Problem(**problem))
        return cls(**made)


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a gate says of one model.

    Attributes:
        gate: ``max-latency-ms``, ``max-regression`` ...
        limit: As a number: milliseconds, or a fraction for a regression.
        label: Of the model.
        value: What was compared with the limit.
        low: Lower end of its 95 % interval.
        high: Upper end.
        outcome: ``pass``, ``fail`` (beyond the interval) or ``inconclusive`` (the interval straddles the limit).
        reason: One sentence.
    """

    gate: str
    limit: float
    label: str
    value: float | None
    low: float | None
    high: float | None
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class BenchRun:
    """One run.

    Attributes:
        run_id: Its id.
        status: ``running`` while it goes on.
        started_at_utc: ISO 8601.
        finished_at_utc: ISO 8601, or "".
        device: What it ran on.
        request: What was asked for: models, options.
        versions: Package -> version, with the system's.
        stopping: ``rounds``, ``why``, and the rule's settings.
        timing: ``wall_s`` of the session, ``runs_s`` of timed and discarded runs, ``overhead_fraction`` of the wall.
        session: All that `devices.measurement.Session.describe` gives: references, conditions, protocol, verdict.
        models: In the order asked for, baselines last.
        gates: One for each gate and model.
        extras: What was measured apart from the session: ``per_op`` and ``sustained``, each label -> document.
    """

    run_id: str
    status: Status
    started_at_utc: str
    finished_at_utc: str
    device: DeviceInfo
    request: dict[str, Any]
    versions: dict[str, str]
    stopping: dict[str, Any]
    timing: dict[str, float]
    session: dict[str, Any]
    models: tuple[BenchedModel, ...]
    gates: tuple[GateResult, ...] = ()
    extras: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the document, raw samples included."""
        plain = ("run_id", "status", "started_at_utc", "finished_at_utc", "request", "versions", "stopping", "timing")
        document = {
            "schema": SCHEMA,
            **{name: getattr(self, name) for name in plain},
            "device": {**self.device.to_json(), "device_key": self.device.device_key},
            "session": self.session,
            "models": [model.to_json() for model in self.models],
            "gates": [asdict(gate) for gate in self.gates],
            "extras": self.extras,
        }
        return dict(without_nan(document))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> BenchRun:
        """Read what `to_json` wrote; a sample that was not finite comes back as NaN."""
        made = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        device = {name: part for name, part in value["device"].items() if name != "device_key"}
        made["device"] = DeviceInfo.from_json(device)
        made["models"] = tuple(BenchedModel.from_json(model) for model in value["models"])
        made["gates"] = tuple(GateResult(**gate) for gate in value["gates"])
        return cls(**made)


def _read(value: Any, make: Any) -> Any:
    return None if value is None else make(value)


def _measurement(value: Mapping[str, Any]) -> Measurement:
    made = {**value, **{name: tuple(value[name]) for name in ("rounds", "reasons")}}
    for name in ("samples_ms", "warmup_samples_ms"):
        made[name] = tuple(math.nan if sample is None else float(sample) for sample in value[name])
    made["interval_ms"] = tuple(value["interval_ms"]) if value["interval_ms"] else None
    return Measurement(**made)
