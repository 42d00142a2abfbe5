"""Proxy training that stops a run whose validation curve says that it will not reach the front.

The bound that a run has to get below, and the completed curves that its end is forecast from, are those of earlier
generations in ask order: they are fixed before a job starts, so the same job stops at the same point in any process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mnas.architecture import Architecture
from mnas.errors import TrainingError
from search.accuracy.estimator import AccuracyEstimate
from search.accuracy.forecast import Forecast, regressed
from search.accuracy.generation import Contender, OnEstimate, Told, slowest_first
from search.accuracy.jobs import TrainingJob, TrainingOutcome, require_training, training_outcome, watched_training
from search.accuracy.proxy import ProxyTraining
from search.events import Events
from search.executors.executor import Executor, Job, Outcome

CURVE = "curve"
"""Kind of the events that hold a run's curve and, where it was stopped, why, keyed by arch_id."""


@dataclass(frozen=True, slots=True)
class StopRule:
    """When a run is stopped.

    Attributes:
        bound: Error below which a network would be on the front; 1 or more stops nothing.
        completed: Errors along earlier runs that went to their end, ``(runs, points)``.
        risk: A run is stopped when its probability of ending below the bound is lower.
    """

    bound: float
    completed: tuple[tuple[float, ...], ...]
    risk: float

    def verdict(self, errors: Sequence[float]) -> Forecast | None:
        """Return the forecast that stops a run with these errors so far, or None where it goes on."""
        found = regressed(errors, self.completed) if self.bound < 1 else None
        return found if found is not None and found.probability_below(self.bound) < self.risk else None


@dataclass(frozen=True, slots=True)
class StoppedTraining:
    """What came of a run under a rule.

    Attributes:
        training: Of the run as far as it went.
        stopped_epochs: Where it was stopped; None at its end.
        expected_error: That it would have ended with.
        p_wrong: Probability that it would have ended below the bound, so that stopping it was wrong.
    """

    training: TrainingOutcome
    stopped_epochs: float | None = None
    expected_error: float | None = None
    p_wrong: float | None = None


def run_with_rule(job: TrainingJob, rule: StopRule) -> StoppedTraining:
    """Train and evaluate under a rule.

    Raises:
        DataError: The data set is not to be had.
    """
    stopped: list[tuple[float, Forecast]] = []

    def is_over(found: list[list[float]]) -> bool:
        verdict = rule.verdict([row[1] for row in found])
        if verdict is not None:
            stopped.append((found[-1][0], verdict))
        return verdict is not None

    training = watched_training(job, is_over)
    if not stopped:
        return StoppedTraining(training)
    epochs, verdict = stopped[0]
    return StoppedTraining(training, epochs, verdict.mean, verdict.probability_below(rule.bound))


@dataclass(frozen=True, slots=True)
class CurveStopping:
    """Proxy training of one repeat whose runs may be stopped early.

    A stopped run keeps the error that it had when it was stopped, marked by the epochs it got; the forecast is recorded
    beside it and never takes its place.

    Attributes:
        proxy: Full training, of one repeat.
        points: Parts of a run; after each but the last it may be stopped.
        risk: Accepted probability that a stop is wrong.
    """

    proxy: ProxyTraining
    points: int = 8
    risk: float = 0.05

    @property
    def name(self) -> str:
        """What the estimate's ``source`` says."""
        return "curve-stopping"

    @property
    def fidelity(self) -> str:
        """Of full training, and the rule's settings."""
        return f"{self.proxy.fidelity}/points{self.points}risk{self.risk:g}"

    def training_job(self, architecture: Architecture) -> TrainingJob:
        """Return the run of a network."""
        return replace(self.proxy.training_jobs(architecture)[0], curve_points=self.points)

    def jobs(self, architecture: Architecture) -> tuple[Job, ...]:
        """Return a run that nothing stops."""
        return (self.training_job(architecture).as_job(),)

    def estimate(self, architecture: Architecture, outcomes: Sequence[Outcome]) -> AccuracyEstimate:
        """Return the estimate of a run that went to its end.

        Raises:
            TrainingError: As `ProxyTraining.estimate`.
        """
        return replace(self.proxy.estimate(architecture, outcomes), source=self.name, fidelity=self.fidelity)

    def run_generation(
        self,
        contenders: Sequence[Contender],
        told: Sequence[Told],
        log: Events,
        executor: Executor,
        on_estimate: OnEstimate,
    ) -> None:
        """Estimate every contender that is not known; see `search.accuracy.generation.GenerationEstimator`."""
        curves = log.payloads(CURVE)
        kept = [curves[one.arch_id] for one in told if one.arch_id in curves]
        completed = tuple(tuple(row[1] for row in one["curve"]) for one in kept if one["stopped_epochs"] is None)
        todo = slowest_first([one for one in contenders if not one.is_known])
        runs = [self.training_job(one.architecture) for one in todo]
        rules = [StopRule(bound_for(one.predicted_ms, told), completed, self.risk) for one in todo]

        def on_done(index: int, outcome: Outcome) -> None:
            require_training(outcome)
            found = _found(runs[index], outcome)
            log.append(CURVE, _payload(todo[index], found, rules[index]), todo[index].arch_id)
            on_estimate(todo[index], self._settled(todo[index].architecture, found))

        executor.map_in_order([Job(run_with_rule, pair) for pair in zip(runs, rules, strict=True)], on_done)

    def _settled(self, architecture: Architecture, found: StoppedTraining) -> AccuracyEstimate | TrainingError:
        try:
            estimate = self.estimate(architecture, [Outcome(found.training)])
        except TrainingError as failure:
            return failure
        if found.stopped_epochs is None:
            return estimate
        mark = f"stopped at {found.stopped_epochs:.3g} of {self.proxy.schedule.epochs} epochs"
        return replace(estimate, fidelity=f"{mark}, wrong with p = {found.p_wrong:.2g}:{self.fidelity}")


def bound_for(predicted_ms: float, told: Sequence[Told]) -> float:
    """Return the error below which a network of this latency is on the front of what was told; 1 where none is as fast.

    Args:
        predicted_ms: Its latency.
        told: Of earlier generations.
    """
    return min((one.error for one in told if one.error is not None and one.predicted_ms <= predicted_ms), default=1.0)


def _found(job: TrainingJob, outcome: Outcome) -> StoppedTraining:
    if isinstance(outcome.value, StoppedTraining):
        return outcome.value
    return StoppedTraining(training_outcome(job, outcome))


def _payload(one: Contender, found: StoppedTraining, rule: StopRule) -> dict[str, Any]:
    return {
        "number": one.number,
        "curve": [[round(value, 6) for value in row] for row in found.training.curve],
        "stopped_epochs": found.stopped_epochs if found.training.is_ok else 0.0,
        "expected_error": found.expected_error,
        "p_wrong": found.p_wrong,
        "bound": rule.bound,
        "completed": len(rule.completed),
    }
