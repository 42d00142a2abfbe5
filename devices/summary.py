"""From the records of the visits to a session: a pure function, so that stored records can be judged again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from devices.estimate import RatioEstimator, Runs
from devices.measurement import Measurement, Session, Verdict
from devices.protocol import ProtocolSettings, VisitRecord
from devices.schedule import model_rounds
from devices.stability import judge_measurement, judge_references
from mnas.errors import MeasurementError


def summarise(
    records: Iterable[VisitRecord],
    references: Mapping[str, str],
    nominals_ms: Mapping[str, float],
    settings: ProtocolSettings,
    *,
    rounds_wanted: Mapping[str, int] | int | None = None,
    device_key: str = "",
    started_at_utc: str = "",
    conditions_before: Mapping[str, Any] | None = None,
    conditions_after: Mapping[str, Any] | None = None,
) -> Session:
    """Work out a session from its records.

    Args:
        records: Of one session, in order of time.
        references: Name of each reference network -> sha256 of its file.
        nominals_ms: Stored nominal of each, the same names.
        settings: The protocol.
        rounds_wanted: Rounds that each model should have had; the settings' unless given.
        device_key: Of the device.
        started_at_utc: ISO 8601.
        conditions_before: As the device gave them.
        conditions_after: As the device gave them.

    Raises:
        MeasurementError: ``MEA01`` a reference network has no nominal, ``MEA02`` one gave no runs.
    """
    by_model, by_reference = _group(records)
    references_runs = {name: _runs_of(by_reference.get(sha256, [])) for name, sha256 in references.items()}
    _check_references(references_runs, nominals_ms)
    nominal_ms = geometric_mean([nominals_ms[name] for name in references])
    estimator = RatioEstimator(
        references_runs,
        nominal_ms,
        quantile=settings.quantile,
        resamples=settings.resamples,
        seed=settings.bootstrap_seed,
    )
    wanted = model_rounds(list(by_model), settings.rounds if rounds_wanted is None else rounds_wanted)
    measurements = {
        sha256: _measurement(sha256, visits, wanted[sha256], estimator, settings) for sha256, visits in by_model.items()
    }
    reference_ms = {
        name: float(np.quantile(runs.values_ms, settings.quantile)) for name, runs in references_runs.items()
    }
    reasons = judge_references(reference_ms, nominals_ms, settings)
    return Session(
        device_key=device_key,
        started_at_utc=started_at_utc,
        measurements=measurements,
        reference_ms=reference_ms,
        reference_nominal_ms=nominal_ms,
        conditions_before=dict(conditions_before or {}),
        conditions_after=dict(conditions_after or {}),
        protocol=settings.to_json(),
        verdict="drifted" if reasons else "ok",
        reasons=reasons,
    )


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of positive numbers."""
    return math.exp(sum(math.log(value) for value in values) / len(values))


_Groups = dict[str, list[VisitRecord]]


def _group(records: Iterable[VisitRecord]) -> tuple[_Groups, _Groups]:
    models: _Groups = {}
    references: _Groups = {}
    for record in records:
        (references if record.is_reference else models).setdefault(record.sha256, []).append(record)
    return models, references


def _runs_of(visits: Sequence[VisitRecord]) -> Runs:
    values = [value for visit in visits for value in visit.samples_ms]
    return Runs.of(values, [visit.round for visit in visits for _ in visit.samples_ms])


def _check_references(runs: Mapping[str, Runs], nominals_ms: Mapping[str, float]) -> None:
    if not runs or any(not nominals_ms.get(name, 0) > 0 for name in runs):
        raise MeasurementError(
            "MEA01",
            "a reference network has no nominal",
            value=sorted(set(runs) - set(nominals_ms)),
            why="latencies are ratios to the references",
            fix="calibrate the device first",
        )
    silent = sorted(name for name, found in runs.items() if not len(found.values_ms))
    if silent:
        raise MeasurementError(
            "MEA02",
            "reference networks gave no runs",
            value=silent,
            why="latencies are ratios to the references, so no model of this session has one",
            fix="look at the errors of their visits",
        )


def _measurement(
    sha256: str, visits: Sequence[VisitRecord], wanted: int, estimator: RatioEstimator, settings: ProtocolSettings
) -> Measurement:
    runs = _runs_of(visits)
    estimate = estimator.estimate(runs) if len(runs.values_ms) else None
    latency = estimate.latency_ms if estimate and math.isfinite(estimate.latency_ms) else None
    reasons = _invalid_reasons(visits, runs, wanted, latency)
    verdict: Verdict = "invalid"
    if not reasons and estimate:
        verdict, reasons = judge_measurement(runs, estimate, estimator, settings)
    return Measurement(
        artifact_sha256=sha256,
        latency_ms=latency if verdict != "invalid" else None,
        interval_ms=estimate.interval_ms if estimate and verdict != "invalid" else None,
        samples_ms=tuple(value for visit in visits for value in visit.samples_ms),
        rounds=tuple(visit.round for visit in visits for _ in visit.samples_ms),
        warmup_samples_ms=tuple(value for visit in visits for value in visit.warmup_ms),
        verdict=verdict,
        reasons=reasons,
    )


def _invalid_reasons(
    visits: Sequence[VisitRecord], runs: Runs, wanted: int, latency_ms: float | None
) -> tuple[str, ...]:
    """Return why a model has no number at all, or nothing."""
    reasons = []
    samples = [value for visit in visits for value in visit.samples_ms]
    strange = sum(1 for value in samples if not (math.isfinite(value) and value > 0))
    if strange:
        reasons.append(f"{strange} of {len(samples)} runs are not positive finite times")
    done = len(np.unique(runs.rounds))
    if done == 0 or 2 * done < wanted:
        reasons.append(f"measured in {done} of {wanted} rounds")
    if latency_ms is None and not reasons:
        reasons.append("the references gave no runs in the rounds of this model")
    if reasons:
        reasons += dict.fromkeys(f"failed: {visit.error}" for visit in visits if visit.error)
    return tuple(reasons)
