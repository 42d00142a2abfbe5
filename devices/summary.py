"""From the records of the visits to a session: a pure function, so that stored records can be judged again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from devices.estimate import RatioEstimator, Reference, Runs
from devices.measurement import Measurement, Session, Verdict
from devices.protocol import ProtocolSettings, VisitRecord
from devices.reference_rounds import reference_rounds_ms
from devices.references import group_of
from devices.schedule import model_rounds
from devices.stability import judge_heat, judge_measurement, judge_references, tell_repeats
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
    conditions_during: Sequence[Mapping[str, Any]] = (),
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
        conditions_during: At the start of some rounds.

    Raises:
        MeasurementError: ``MEA01`` a reference network has no nominal, ``MEA02`` one gave no runs.
    """
    records = list(records)
    by_model, by_reference = _group(records)
    runs = {name: _runs_of(by_reference.get(sha256, [])) for name, sha256 in references.items()}
    _check_references(runs, nominals_ms)
    estimator = _estimator(runs, nominals_ms, settings, records)
    wanted = model_rounds(list(by_model), settings.rounds if rounds_wanted is None else rounds_wanted)
    measurements = {
        sha256: _measurement(sha256, visits, wanted[sha256], estimator, settings) for sha256, visits in by_model.items()
    }
    reference_ms = {name: float(np.quantile(one.values_ms, settings.quantile)) for name, one in runs.items()}
    before, after = dict(conditions_before or {}), dict(conditions_after or {})
    during = tuple(dict(one) for one in conditions_during)
    drift, heat = judge_references(reference_ms, nominals_ms, settings, group_of), judge_heat([before, *during, after])
    return Session(
        device_key=device_key,
        started_at_utc=started_at_utc,
        measurements=measurements,
        reference_ms=reference_ms,
        reference_nominals_ms={name: nominals_ms[name] for name in references},
        reference_rounds_ms=reference_rounds_ms(records, references),
        conditions_before=before,
        conditions_after=after,
        conditions_during=during,
        protocol=settings.to_json(),
        verdict="throttled" if heat else "drifted" if drift else "ok",
        reasons=heat + drift,
        notes=tell_repeats([before, after]),
    )


def estimator_of(
    records: Iterable[VisitRecord],
    references: Mapping[str, str],
    nominals_ms: Mapping[str, float],
    settings: ProtocolSettings,
) -> RatioEstimator:
    """Return the estimator of a session from its records; see `summarise` for the arguments and errors."""
    records = list(records)
    _, by_reference = _group(records)
    runs = {name: _runs_of(by_reference.get(sha256, [])) for name, sha256 in references.items()}
    _check_references(runs, nominals_ms)
    return _estimator(runs, nominals_ms, settings, records)


def runs_by_model(records: Iterable[VisitRecord]) -> tuple[dict[str, Runs], dict[str, Runs]]:
    """Return the timed runs by sha256, of the models and of the references."""
    models, references = _group(records)
    return (
        {sha256: _runs_of(visits) for sha256, visits in models.items()},
        {sha256: _runs_of(visits) for sha256, visits in references.items()},
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


def _estimator(
    runs: Mapping[str, Runs],
    nominals_ms: Mapping[str, float],
    settings: ProtocolSettings,
    records: Iterable[VisitRecord],
) -> RatioEstimator:
    return RatioEstimator(
        [Reference(one, nominals_ms[name], group_of(name)) for name, one in runs.items()],
        quantile=settings.quantile,
        resamples=settings.resamples,
        seed=settings.bootstrap_seed,
        launches={record.round: record.launch for record in records},
    )


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
    latency = estimate.value if estimate and math.isfinite(estimate.value) else None
    reasons = _invalid_reasons(visits, runs, wanted, latency)
    verdict: Verdict = "invalid"
    if not reasons and estimate:
        verdict, reasons = judge_measurement(runs, estimate, estimator, settings)
    return Measurement(
        artifact_sha256=sha256,
        latency_ms=latency if verdict != "invalid" else None,
        interval_ms=estimate.interval if estimate and verdict != "invalid" else None,
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
