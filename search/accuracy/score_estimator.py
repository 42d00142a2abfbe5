"""Zero-cost scores as estimates: ranks among random networks of the space, marked as scores."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from mnas.architecture import Architecture
from mnas.errors import TrainingError
from mnas.modules import build_module
from mnas.seeding import derive_seed, named_rng
from mnas.space import SearchSpace
from search.accuracy.estimator import SCORE, AccuracyEstimate
from search.accuracy.jobs import cached_dataset
from search.accuracy.zero_cost import SCORES, ProxyInput
from search.data.dataset import tensors
from search.executors.executor import Job, Outcome
from search.training.memory import memory_told
from search.training.trainer import reproducible

BATCH = 32
REFERENCES = 32
"""Random networks of the space that a score is ranked among."""


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """One network to be scored.

    Attributes:
        architecture_json: Canonical form of the network.
        dataset_name: As `search.data.registry` knows it.
        dataset_folder: Where its files lie; None for the usual places.
        score: One of `search.accuracy.zero_cost.SCORES`.
        study_seed: The study's seed.
        fingerprint: Of the data that are meant; "" takes what is there.
    """

    architecture_json: dict[str, Any]
    dataset_name: str
    dataset_folder: str | None
    score: str
    study_seed: int
    fingerprint: str = ""

    @property
    def seed(self) -> int:
        """Of weights and whatever else is drawn: of (study seed, network, score)."""
        arch_id = Architecture.from_json(self.architecture_json).arch_id
        return derive_seed(self.study_seed, "zero-cost", arch_id, self.score)


@dataclass(frozen=True, slots=True)
class ScoreOutcome:
    """What came of a `ScoreJob`.

    Attributes:
        score: The larger, the better; not finite where the network cannot be scored.
        cost_s: CPU seconds.
        error_message: Why there is no score, where that is no fault of the network; else empty.
    """

    score: float
    cost_s: float
    error_message: str = ""


def run_score(job: ScoreJob) -> ScoreOutcome:
    """Score a network on the first training images; where memory is too small the outcome says so.

    Raises:
        DataError: The data set is not to be had.
    """
    architecture = Architecture.from_json(job.architecture_json)
    dataset = cached_dataset(job.dataset_name, job.dataset_folder, job.fingerprint)
    px = architecture.input_shape_chw[1]
    images, labels = tensors(dataset, "train", px, BATCH)
    started = time.process_time()
    try:
        with reproducible(), memory_told(f"{job.score} at {px} px"):
            score = _score(job, architecture, images, labels)
    except TrainingError as failure:
        return ScoreOutcome(math.nan, time.process_time() - started, str(failure))
    return ScoreOutcome(score, time.process_time() - started)


def _score(job: ScoreJob, architecture: Architecture, images: torch.Tensor, labels: torch.Tensor) -> float:
    module = build_module(architecture, seed=derive_seed(job.seed, "weights"))
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(derive_seed(job.seed, "draws"))
    try:
        return SCORES[job.score](module, ProxyInput(images, labels, generator))
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # of a matrix that is no number somewhere
        return math.nan


@dataclass(frozen=True)
class ScoreEstimator:
    """Estimates by a score of the untrained network.

    A score has no unit, so it is turned into a rank: ``error`` is the share of `REFERENCES` random networks of it
    that score higher, interpolated linearly between them and falling off hyperbolically beyond the best and the worst.
    This keeps the order of scores and is no error of any network: the estimate's source begins with ``score:`` and no
    accuracy is ever printed from it. ``loss`` is ``-log(1 - error)``.

    Attributes:
        score: One of `search.accuracy.zero_cost.SCORES`.
        space: Where the random networks are drawn from.
        dataset_name: As `search.data.registry` knows it.
        dataset_folder: Where its files lie; None for the usual places.
        study_seed: The study's seed.
        fingerprint: Of the data that are meant; "" takes what is there.
    """

    score: str
    space: SearchSpace
    dataset_name: str
    dataset_folder: str | None
    study_seed: int
    fingerprint: str = ""

    @property
    def name(self) -> str:
        """What the estimate's ``source`` says."""
        return f"{SCORE}{self.score}"

    @property
    def fidelity(self) -> str:
        """The space that scores are ranked in, and the data."""
        return f"rank of {REFERENCES} in {self.space.name} by {BATCH} images of {self.dataset_name}"

    def _job(self, architecture: Architecture) -> ScoreJob:
        data = self.dataset_name, self.dataset_folder
        return ScoreJob(architecture.to_json(), *data, self.score, self.study_seed, self.fingerprint)

    def jobs(self, architecture: Architecture) -> tuple[Job, ...]:
        """Return the one job that scores a network."""
        return (Job(run_score, (self._job(architecture),)),)

    @cached_property
    def references(self) -> tuple[float, ...]:
        """Scores of the random networks, ascending; worked out when first asked for."""
        rng = named_rng(self.study_seed, "zero-cost-references", self.space.name)
        networks = [self.space.decode(self.space.draw(rng)) for _ in range(REFERENCES)]
        found = [run_score(self._job(network)).score for network in networks]
        return tuple(sorted(score for score in found if math.isfinite(score)))

    def estimate(self, architecture: Architecture, outcomes: Sequence[Outcome]) -> AccuracyEstimate:
        """Return the rank that the score comes to.

        Raises:
            TrainingError: ``TRN03``: the job failed. ``TRN14``: the score is no finite number.
        """
        (outcome,) = outcomes
        if not isinstance(outcome.value, ScoreOutcome):
            why = outcome.error_message or f"the job returned {type(outcome.value).__name__}"
            raise _failure("TRN03", "the network could not be scored", architecture, why)
        if outcome.value.error_message:
            raise _failure("TRN03", "the network could not be scored", architecture, outcome.value.error_message)
        if not math.isfinite(outcome.value.score):
            why = f"{self.score} gave {outcome.value.score}"
            raise _failure("TRN14", "the network's score is no finite number", architecture, why)
        error = share_above(outcome.value.score, self.references)
        return AccuracyEstimate(
            error=error,
            loss=-math.log1p(-error),
            split="train",
            images=BATCH,
            repeats=1,
            std=None,
            cost_s=outcome.value.cost_s,
            fidelity=self.fidelity,
            seeds=(self._job(architecture).seed,),
            source=self.name,
        )


def _failure(code: str, what: str, architecture: Architecture, why: str) -> TrainingError:
    return TrainingError(code, what, value=architecture.arch_id[:12], why=why, fix="use another estimator")


def share_above(score: float, references: Sequence[float]) -> float:
    """Return the share of reference scores above a score, strictly falling in it and strictly between 0 and 1.

    Args:
        score: Finite.
        references: Ascending.
    """
    distinct, counts = np.unique(np.asarray(references, dtype=float), return_counts=True)
    if len(distinct) < 2:
        return float(0.5 - 0.5 * np.arctan(score - (distinct[0] if len(distinct) else 0.0)) / (np.pi / 2 + 1e-9))
    shares = 1 - (np.cumsum(counts) - counts / 2) / counts.sum()
    scale = float(distinct[-1] - distinct[0])
    if score >= distinct[-1]:
        return float(shares[-1] / (1 + (score - distinct[-1]) / scale))
    if score <= distinct[0]:
        return float(1 - (1 - shares[0]) / (1 + (distinct[0] - score) / scale))
    return float(np.interp(score, distinct, shares))
