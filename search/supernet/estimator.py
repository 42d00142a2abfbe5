"""Accuracy by a supernet: a network inherits its weights, its norms are calibrated, and it is evaluated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mnas.architecture import Architecture
from mnas.errors import SupernetError, TrainingError
from mnas.modules import LayerModule
from mnas.seeding import named_rng
from mnas.space import SearchSpace
from mnas.spaces.staged import StagedSpace
from search.accuracy.estimator import AccuracyEstimate
from search.accuracy.setting import AccuracySetting
from search.data.batches import SplitImages
from search.data.dataset import Dataset
from search.data.registry import open_dataset
from search.executors.executor import Job, Outcome
from search.supernet.checkpoint import checkpoint_path, read_checkpoint
from search.supernet.network import CALIBRATION_BATCH, Supernet
from search.training.memory import memory_told
from search.training.trainer import estimate_batch_norms, evaluate, reproducible

EVAL_IMAGES = 5000
"""Of the split. Source: a binomial error of 0.4 points at 90 %, below what networks differ by."""
_TRIED = 64


@dataclass(frozen=True, slots=True)
class InheritanceJob:
    """One network to be evaluated with inherited weights.

    Attributes:
        architecture_json: Canonical form of the network.
        path: The supernet's file.
        sha256: Of its weights: another supernet in the same place is refused.
        dataset_name: As `search.data.registry` knows it.
        dataset_folder: Where its files lie; None for the usual places.
        calibration_images: Training images that its norms are calibrated on, the first in hash order.
        split: What to evaluate on.
        eval_images: The first so many of it; 0 for all.
    """

    architecture_json: dict[str, Any]
    path: str
    sha256: str
    dataset_name: str
    dataset_folder: str | None
    calibration_images: int
    split: str
    eval_images: int

    def as_job(self) -> Job:
        """Return it as an executor takes it."""
        return Job(run_inheritance, (self,))


@dataclass(frozen=True, slots=True)
class InheritanceOutcome:
    """What came of an `InheritanceJob`.

    Attributes:
        error: Top-1 error, 0..1.
        loss: Mean cross-entropy, nats.
        images: Images evaluated.
        cost_s: CPU seconds.
        error_message: Why there is no result; empty after success.
        diverged: Whether the loss is infinite or NaN: the weights' own fault.
    """

    error: float = 1.0
    loss: float = 0.0
    images: int = 0
    cost_s: float = 0.0
    error_message: str = ""
    diverged: bool = False


@lru_cache(maxsize=2)
def _supernet(path: str, sha256: str) -> tuple[Supernet, str]:
    """Return a supernet and the fingerprint of the data it was trained on."""
    checkpoint = read_checkpoint(Path(path))
    if checkpoint.sha256 != sha256:
        raise SupernetError(
            "SUP04",
            "the supernet has changed since the search began",
            value=f"{path}: {checkpoint.sha256[:12]}, then {sha256[:12]}",
            why="estimates of two supernets do not compare",
            fix="put the former file back, or start a new study",
        )
    return checkpoint.supernet(), checkpoint.description.fingerprint


@lru_cache(maxsize=2)
def _dataset(name: str, folder: str | None, fingerprint: str) -> Dataset:
    dataset = open_dataset(name, Path(folder) if folder else None)
    if dataset.fingerprint != fingerprint:
        raise _other_data(f"{name} {dataset.fingerprint[:12]}", f"fingerprint {fingerprint[:12]}")
    return dataset


def _other_data(seen: str, trained: str) -> SupernetError:
    return SupernetError(
        "SUP05",
        "the supernet was trained on other data",
        value=f"{seen}, trained on {trained}",
        why="its norms and its outputs fit these alone, and its training images might be among those it is judged by",
        fix="train one on this data: mnas supernet train",
    )


def run_inheritance(job: InheritanceJob) -> InheritanceOutcome:
    """Evaluate a network with inherited weights; where its loss is no number, or memory too small, the outcome says so.

    Raises:
        SpaceError: ``SPC03``: the network is none of the supernet's space.
        SupernetError: ``SUP01``, ``SUP04``, ``SUP05``: the supernet cannot be read, has changed or is of other data.
        DataError: The data set is not to be had.
    """
    supernet, fingerprint = _supernet(job.path, job.sha256)
    dataset = _dataset(job.dataset_name, job.dataset_folder, fingerprint)
    architecture = Architecture.from_json(job.architecture_json)
    supernet.space.encode(architecture)
    px = architecture.input_shape_chw[1]
    images = SplitImages(dataset, "train", px, job.calibration_images)
    SplitImages(dataset, job.split, px, job.eval_images)  # made ready, where they fit into memory, before time counts
    started = time.process_time()
    try:
        with reproducible(), memory_told(f"inherited weights at {px} px"):
            module = supernet.extract(architecture)
            estimate_batch_norms(module, images.slices)
            found = evaluate(folded(module), dataset, job.split, px, job.eval_images)
    except TrainingError as error:
        spent = time.process_time() - started
        return InheritanceOutcome(cost_s=spent, error_message=str(error), diverged=error.code == "TRN01")
    return InheritanceOutcome(found.error, found.loss, found.images, time.process_time() - started)


@torch.no_grad()
def folded(module: LayerModule) -> LayerModule:
    """Fold every norm into its convolution, in place; what is left runs faster and is for evaluation alone."""
    module.eval()
    for name, part in module.parts.items():
        if isinstance(part, nn.Sequential):
            module.parts[name] = fuse_conv_bn_eval(cast(nn.Conv2d, part[0]), cast(nn.BatchNorm2d, part[1]))
    return module


@dataclass(frozen=True, slots=True)
class SupernetEstimator:
    """Evaluates each network with the weights that it inherits from a supernet.

    Attributes:
        path: The supernet's file.
        sha256: Of its weights.
        dataset_name: As `search.data.registry` knows it.
        dataset_folder: Where its files lie; None for the usual places.
        seed: That the supernet was trained from; it stands for the estimates' own, which have none.
        calibration_images: Training images that norms are calibrated on.
        split: What estimates are taken on.
        eval_images: The first so many images of it; 0 for all.
        trained_share: Of the supernet's training that is done, 0..1.
    """

    path: str
    sha256: str
    dataset_name: str
    dataset_folder: str | None
    seed: int
    calibration_images: int = CALIBRATION_BATCH
    split: str = "rank-val"
    eval_images: int = EVAL_IMAGES
    trained_share: float = 1.0

    @property
    def mark(self) -> str:
        """That the supernet is half trained, where it is."""
        if self.trained_share >= 1:
            return ""
        return (
            f"the supernet {self.path} is trained to {self.trained_share:.0%} of its schedule alone: its ranking may "
            "still change; mnas supernet train --resume goes on"
        )

    @property
    def name(self) -> str:
        """What the estimate's ``source`` says."""
        return "supernet"

    @property
    def fidelity(self) -> str:
        """The supernet's weights, and the images."""
        return (
            f"{self.dataset_name}/supernet-{self.sha256[:12]}/bn{self.calibration_images}/"
            f"{self.split}{self.eval_images or ''}"
        )

    def jobs(self, architecture: Architecture) -> tuple[Job, ...]:
        """Return the one evaluation."""
        job = InheritanceJob(
            architecture.to_json(),
            self.path,
            self.sha256,
            self.dataset_name,
            self.dataset_folder,
            self.calibration_images,
            self.split,
            self.eval_images,
        )
        return (job.as_job(),)

    def estimate(self, architecture: Architecture, outcomes: Sequence[Outcome]) -> AccuracyEstimate:
        """Return what the evaluation came to.

        Raises:
            TrainingError: ``TRN01``: the loss is infinite or NaN. ``TRN03``: the job failed otherwise.
        """
        (outcome,) = outcomes
        found = outcome.value
        if not isinstance(found, InheritanceOutcome) or found.error_message:
            is_own = isinstance(found, InheritanceOutcome) and found.diverged
            raise TrainingError(
                "TRN01" if is_own else "TRN03",
                "the network could not be evaluated with inherited weights",
                value=architecture.arch_id[:12],
                why=found.error_message if isinstance(found, InheritanceOutcome) else outcome.error_message,
                fix="train the supernet with a lower lr" if is_own else "mend what the message says",
            )
        return AccuracyEstimate(
            error=found.error,
            loss=found.loss,
            split=self.split,
            images=found.images,
            repeats=1,
            std=None,
            cost_s=found.cost_s,
            fidelity=self.fidelity,
            seeds=(self.seed,),
            source=self.name,
        )


def open_supernet_estimator(path: str | Path, setting: AccuracySetting) -> SupernetEstimator:
    """Return the estimator of a supernet's file; a supernet gives a network the same estimate in every study.

    Args:
        path: The file, or the folder of ``mnas supernet train --out``.
        setting: Space and data of the search.

    Raises:
        SupernetError: ``SUP01``: it cannot be read. ``SUP05``: it was trained on other data. ``SUP06``: it was trained
            for another space.
    """
    file = checkpoint_path(Path(path)).resolve()
    checkpoint = read_checkpoint(file)
    about = checkpoint.description
    # By content: a folder of images has its path for a name, and another one on another machine.
    if about.fingerprint != setting.fingerprint:
        seen, trained = (setting.dataset_name, setting.fingerprint), (about.dataset, about.fingerprint)
        raise _other_data(f"{seen[0]} {seen[1][:12]}", f"{trained[0]} {trained[1][:12]}")
    _require_space(StagedSpace(about.definition), setting.space)
    return SupernetEstimator(
        str(file),
        checkpoint.sha256,
        setting.dataset_name,
        setting.dataset_folder,
        about.seed,
        trained_share=checkpoint.step / max(1, checkpoint.steps),
    )


def _require_space(own: StagedSpace, searched: SearchSpace) -> None:
    """Refuse a search in a space that the supernet has no weights for: its two ends and networks drawn from it show it.

    Raises:
        SupernetError: ``SUP06``.
    """
    rng = named_rng(0, "networks of the supernet's space", searched.name)
    genomes = [*searched.extremes(), *(searched.draw(rng) for _ in range(_TRIED))]
    outside = sum(not own.contains(searched.decode(genome)) for genome in genomes)
    if outside:
        raise SupernetError(
            "SUP06",
            "the supernet was trained for another space",
            value=f"{own.name}; {outside} of {len(genomes)} networks of {searched.name} are not in it",
            why="it has no weights for them",
            fix="train one for this space (mnas supernet train), or search in the supernet's own",
        )
