"""Accuracy by training the network's real weights for a short while."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from mnas.architecture import Architecture
from mnas.errors import TrainingError
from search.accuracy.estimator import AccuracyEstimate
from search.accuracy.jobs import TrainingJob, training_outcome
from search.executors.executor import Job, Outcome
from search.training.schedule import TrainingSchedule


@dataclass(frozen=True, slots=True)
class ProxyTraining:
    """Trains each network from scratch and evaluates it on a split.

    Attributes:
        dataset_name: As `search.data.registry` knows it.
        dataset_folder: Where its files lie; None for the usual places.
        schedule: How to train.
        study_seed: The study's seed.
        repeats: Independent trainings of each network.
        split: What the estimate is taken on.
        fingerprint: Of the data that are meant; "" takes what is there.
    """

    dataset_name: str
    dataset_folder: str | None
    schedule: TrainingSchedule
    study_seed: int
    repeats: int = 1
    split: str = "rank-val"
    fingerprint: str = ""

    @property
    def name(self) -> str:
        """What the estimate's ``source`` says."""
        return "proxy-training"

    @property
    def fidelity(self) -> str:
        """The schedule's, and the number of repeats."""
        return f"{self.dataset_name}/{self.schedule.fidelity}/{self.split}x{self.repeats}"

    def training_jobs(self, architecture: Architecture) -> tuple[TrainingJob, ...]:
        """Return one training for each repeat."""
        return tuple(
            TrainingJob(
                architecture_json=architecture.to_json(),
                dataset_name=self.dataset_name,
                dataset_folder=self.dataset_folder,
                schedule=self.schedule,
                study_seed=self.study_seed,
                repeat=repeat,
                evaluate_splits=(self.split,),
                fingerprint=self.fingerprint,
            )
            for repeat in range(self.repeats)
        )

    def jobs(self, architecture: Architecture) -> tuple[Job, ...]:
        """Return one training for each repeat, as an executor takes it."""
        return tuple(job.as_job() for job in self.training_jobs(architecture))

    def estimate(self, architecture: Architecture, outcomes: Sequence[Outcome]) -> AccuracyEstimate:
        """Return the mean over the repeats.

        Raises:
            TrainingError: ``TRN01``: training diverged. ``TRN03``: a job failed otherwise.
        """
        jobs = self.training_jobs(architecture)
        found = [training_outcome(job, outcome) for job, outcome in zip(jobs, outcomes, strict=True)]
        for one in found:
            if not one.is_ok:
                raise TrainingError(
                    "TRN01" if one.diverged else "TRN03",
                    "the network could not be trained",
                    value=architecture.arch_id[:12],
                    why=one.error_message,
                    fix="lower the schedule's lr"
                    if one.diverged
                    else "use a machine with more memory, or smaller networks",
                )
        errors = [one.errors[self.split] for one in found]
        return AccuracyEstimate(
            error=statistics.fmean(errors),
            loss=statistics.fmean(one.losses[self.split] for one in found),
            split=self.split,
            images=found[0].images[self.split],
            repeats=self.repeats,
            std=statistics.stdev(errors) if len(errors) > 1 else None,
            cost_s=sum(one.cost_s for one in found),
            fidelity=self.fidelity,
            seeds=tuple(one.seed for one in found),
            source=self.name,
            note="; ".join(dict.fromkeys(one.note for one in found if one.note)),
        )
