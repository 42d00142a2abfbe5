"""What a session says of its models: latencies, ratios to each other, raw runs and gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from devices.contenders import baselines_of
from devices.estimate import Estimate, RatioEstimator, Runs
from devices.gate import Gates, judge_latency, judge_regression
from devices.harness import Harness, SessionRecorder
from devices.measurement import Measurement, Session
from devices.protocol import VisitRecord, statistic_of
from devices.run import BenchedModel, GateResult, Problem, RawRuns, Relative
from devices.summary import estimator_of, runs_by_model


class SessionJudge:
    """What the records of a session say of its models, while it goes on and at its end.

    Args:
        recorder: Of the session; it may still be growing.
        harness: That measures.
        models: Those that take part.
        others: Those that could not, baselines among them.
        gates: What they must hold.
    """

    def __init__(
        self,
        recorder: SessionRecorder,
        harness: Harness,
        models: Sequence[BenchedModel],
        gates: Gates,
        others: Sequence[BenchedModel] = (),
    ) -> None:
        self._recorder = recorder
        self._harness = harness
        self._present = tuple(models)
        self._gates = gates
        self._baselines = baselines_of([*models, *others])

    def settled(self, precision: float) -> str:
        """Return what needs no more rounds, or "".

        Gates are settled once each is decided. Without any, intervals are once their half-width is at most
        ``precision`` of the value, each of them.
        """
        session = self._recorder.session(1)
        if self._gates.is_set:
            is_open = any(gate.outcome == "inconclusive" and gate.value is not None for gate in self.gates(session))
            return "" if is_open else "every gate is decided"
        known = [one for one in map(_estimate, session.measurements.values()) if one]
        if not known or any(one.half_width > precision for one in known):
            return ""
        return f"every interval is within ±{100 * precision:.2g} %"

    def models(self, session: Session) -> dict[str, BenchedModel]:
        """Return each model by its label, with all that the session says of it."""
        estimator = self._estimator()
        runs, _ = runs_by_model(self._recorder.records)
        numbers = [one for one in self._present if session.measurements[one.sha256].latency_ms is not None]
        judged = {}
        for model in self._present:
            found = session.measurements[model.sha256]
            to = self._baselines.get(model.label) if self._baselines else next(iter(numbers), None)
            relative = None
            if to in numbers and to.label != model.label and model in numbers and model.role == "model":
                relative = _relative(to.label, estimator.ratio(runs[model.sha256], runs[to.sha256]))
            judged[model.label] = replace(
                model,
                measurement=found,
                raw=RawRuns.of(found.samples_ms, statistic_of(self._recorder.records, model.sha256)),
                relative=relative,
                involuntary_switches=_switches(self._recorder.records, model.sha256),
                problem=_no_number(model.label, found),
            )
        return judged

    def gates(self, session: Session) -> tuple[GateResult, ...]:
        """Judge every model that is not a baseline by every gate that was set."""
        gates, results = self._gates, list[GateResult]()
        estimator, (runs, _) = self._estimator(gates.raw_percentile), runs_by_model(self._recorder.records)
        for model in self._present:
            if model.role == "baseline":
                continue
            found = session.measurements.get(model.sha256)
            if gates.max_latency_ms is not None:
                latency = _estimate(found) if found else None
                distrust = _distrust(session, found)
                if latency and gates.raw_percentile:  # raw times rest on no reference
                    latency, distrust = estimator.raw(runs[model.sha256]), ""
                results.append(judge_latency(gates, model.label, latency, distrust))
            if gates.max_regression is not None:
                results.append(self._regression(model, session, estimator, runs))
        return tuple(results)

    def _regression(
        self, model: BenchedModel, session: Session, estimator: RatioEstimator, runs: Mapping[str, Runs]
    ) -> GateResult:
        baseline = self._baselines.get(model.label)
        found = session.measurements.get(model.sha256)
        other = session.measurements.get(baseline.sha256) if baseline else None
        if baseline is None or found is None or other is None or None in (found.latency_ms, other.latency_ms):
            return judge_regression(self._gates, model.label, baseline.label if baseline else None, None, None)
        compare = estimator.raw_ratio if self._gates.raw_percentile else estimator.ratio
        ratio = compare(runs[model.sha256], runs[baseline.sha256])
        raw = estimator.raw(runs[baseline.sha256]).value if self._gates.raw_percentile else None
        return judge_regression(self._gates, model.label, baseline.label, ratio, raw or other.latency_ms)

    def _estimator(self, percentile: int = 0) -> RatioEstimator:
        harness = self._harness
        settings = harness.settings
        if percentile:
            settings = replace(settings, quantile=percentile / 100)
        references = {name: artifact.identity for name, artifact in harness.references.items()}
        return estimator_of(self._recorder.records, references, harness.nominals_ms, settings)


def _estimate(found: Measurement) -> Estimate | None:
    if found.latency_ms is None:
        return None
    return Estimate(found.latency_ms, found.interval_ms, float("nan"))


def _relative(to: str, ratio: Estimate) -> Relative | None:
    """Return a ratio with its interval; without one it says nothing."""
    return None if ratio.interval is None else Relative(to, ratio.value, *ratio.interval)


def _distrust(session: Session, found: Measurement | None) -> str:
    if session.verdict != "ok":
        return f"the session is {session.verdict}"
    return "the measurement has drifted" if found and found.verdict == "drifted" else ""


def _no_number(label: str, found: Measurement) -> Problem | None:
    if found.latency_ms is not None:
        return None
    return Problem("MEA10", f"MEA10: {label} gave no number: {'; '.join(found.reasons)}", 4)


def _switches(records: Sequence[VisitRecord], sha256: str) -> int:
    counts = [one.involuntary_switches for one in records if one.sha256 == sha256 and not one.is_reference]
    known = [count for count in counts if count >= 0]
    return sum(known) if known else -1
