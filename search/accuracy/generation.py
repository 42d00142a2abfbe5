"""A generation of candidates on its way to estimates: each on its own, or with decisions taken between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mnas.architecture import Architecture
from mnas.errors import TrainingError
from search.accuracy.estimator import AccuracyEstimate, AccuracyEstimator
from search.accuracy.jobs import require_training
from search.events import Events
from search.executors.executor import Executor, Job, Outcome


@dataclass(frozen=True, slots=True)
class Contender:
    """A network of a generation.

    Attributes:
        number: Order in which it was asked for.
        architecture: The network.
        predicted_ms: Its latency.
        is_known: Whether its estimate is recorded already, so that none is wanted.
    """

    number: int
    architecture: Architecture
    predicted_ms: float
    is_known: bool = False

    @property
    def arch_id(self) -> str:
        """Of its architecture."""
        return self.architecture.arch_id


@dataclass(frozen=True, slots=True)
class Told:
    """A network of an earlier generation, as the search was told of it.

    Attributes:
        number: Order in which it was asked for.
        arch_id: Of its architecture.
        predicted_ms: Its latency.
        error: 0..1; None where it failed.
    """

    number: int
    arch_id: str
    predicted_ms: float
    error: float | None


OnEstimate = Callable[[Contender, AccuracyEstimate | TrainingError], None]
"""Told of each network's estimate, or why there is none, as soon as it stands."""


@runtime_checkable
class GenerationEstimator(AccuracyEstimator, Protocol):
    """An estimator that decides, among the networks of a generation, what each is worth spending on.

    Its decisions depend on the networks in ask order, on what the search was told of earlier generations and on its
    own events, and never on which job ends first: a search that is replayed decides alike.
    """

    def run_generation(
        self,
        contenders: Sequence[Contender],
        told: Sequence[Told],
        log: Events,
        executor: Executor,
        on_estimate: OnEstimate,
    ) -> None:
        """Estimate every contender that is not known.

        Args:
            contenders: The generation in ask order, known ones included.
            told: All earlier generations in ask order.
            log: The study's events; what is paid for is recorded there at once.
            executor: Runs jobs.
            on_estimate: Called once for each contender that is not known.

        Raises:
            TrainingError: ``TRN05``: a job could not be run for a reason outside the network.
        """


def run_generation(
    estimator: AccuracyEstimator,
    contenders: Sequence[Contender],
    told: Sequence[Told],
    log: Events,
    executor: Executor,
    on_estimate: OnEstimate,
) -> None:
    """Estimate every contender that is not known; see `GenerationEstimator.run_generation`."""
    if isinstance(estimator, GenerationEstimator):
        estimator.run_generation(contenders, told, log, executor, on_estimate)
    else:
        estimate_each(estimator, [one for one in contenders if not one.is_known], executor, on_estimate)


def slowest_first(contenders: Sequence[Contender]) -> list[Contender]:
    """Return them so that no long training is left over for one process at the end."""
    return sorted(contenders, key=lambda one: -one.predicted_ms)


def estimate_each(
    estimator: AccuracyEstimator, contenders: Sequence[Contender], executor: Executor, on_estimate: OnEstimate
) -> None:
    """Run the jobs of all contenders at once and tell of each as soon as its last job is done."""
    ordered = slowest_first(contenders)
    jobs: list[Job] = []
    owners: list[int] = []
    for place, one in enumerate(ordered):
        own = estimator.jobs(one.architecture)
        jobs += own
        owners += [place] * len(own)
    gathered: dict[int, dict[int, Outcome]] = {}

    def on_done(index: int, outcome: Outcome) -> None:
        require_training(outcome)
        place = owners[index]
        parts = gathered.setdefault(place, {})
        parts[index] = outcome
        if len(parts) == owners.count(place):
            one = ordered[place]
            on_estimate(one, settled(estimator, one.architecture, [parts[i] for i in sorted(parts)]))

    executor.map_in_order(jobs, on_done)


def settled(
    estimator: AccuracyEstimator, architecture: Architecture, outcomes: Sequence[Outcome]
) -> AccuracyEstimate | TrainingError:
    """Return an estimate from the outcomes of its jobs, in their order, or why there is none."""
    try:
        return estimator.estimate(architecture, outcomes)
    except TrainingError as failure:
        return failure
