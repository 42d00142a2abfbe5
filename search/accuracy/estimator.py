"""What an accuracy estimator is: jobs for a network, and the estimate that their outcomes come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from mnas.architecture import Architecture
from search.executors.executor import Executor, Job, Outcome

SCORE = "score:"
"""What the source of an estimate begins with that is the rank by a score, and an error of nothing."""


@dataclass(frozen=True, slots=True)
class AccuracyEstimate:
    """An estimate of a network's accuracy, with what it rests on.

    Attributes:
        error: Mean top-1 error over the repeats, 0..1.
        loss: Mean cross-entropy over the repeats, nats.
        split: What it was taken on.
        images: Images of it.
        repeats: Independent trainings.
        std: Sample standard deviation of the error over the repeats; None for one, unless its trainer told it.
        cost_s: CPU seconds of all repeats.
        fidelity: Key of how it was taken; only equal ones compare.
        seeds: One for each repeat.
        source: Name of the estimator.
        note: What a person should know of how it came about, or "".
    """

    error: float
    loss: float
    split: str
    images: int
    repeats: int
    std: float | None
    cost_s: float
    fidelity: str
    seeds: tuple[int, ...]
    source: str
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return its fields; seeds are texts, for they exceed what JSON readers hold exactly."""
        return {
            "error": self.error,
            "loss": self.loss,
            "split": self.split,
            "images": self.images,
            "repeats": self.repeats,
            "std": self.std,
            "cost_s": self.cost_s,
            "fidelity": self.fidelity,
            "seeds": [str(seed) for seed in self.seeds],
            "source": self.source,
            "note": self.note,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> AccuracyEstimate:
        """Read what `to_json` gave."""
        return cls(**{**value, "seeds": tuple(int(seed) for seed in value["seeds"])})


class AccuracyEstimator(Protocol):
    """Estimates accuracies by jobs that any executor can run."""

    @property
    def name(self) -> str:
        """What the estimate's ``source`` says."""

    @property
    def fidelity(self) -> str:
        """Key of how estimates are taken: equal fidelities, equal estimates."""

    def jobs(self, architecture: Architecture) -> tuple[Job, ...]:
        """Return the jobs that an estimate of one network needs, in order."""

    def estimate(self, architecture: Architecture, outcomes: Sequence[Outcome]) -> AccuracyEstimate:
        """Return the estimate that the jobs' outcomes, in the jobs' order, come to.

        Raises:
            TrainingError: ``TRN01``: training diverged. ``TRN03``: a job failed otherwise.
        """


@runtime_checkable
class MarkedEstimator(AccuracyEstimator, Protocol):
    """An estimator of which something may have to be said wherever its estimates are used."""

    @property
    def mark(self) -> str:
        """What must be said, or ""."""


def mark_of(estimator: AccuracyEstimator) -> str:
    """Return what must be said of an estimator, or ""."""
    return estimator.mark if isinstance(estimator, MarkedEstimator) else ""


def estimate_one(estimator: AccuracyEstimator, architecture: Architecture, executor: Executor) -> AccuracyEstimate:
    """Run an estimator's jobs for one network and return its estimate.

    Raises:
        TrainingError: As `AccuracyEstimator.estimate`.
    """
    return estimator.estimate(architecture, executor.map_in_order(estimator.jobs(architecture)))
