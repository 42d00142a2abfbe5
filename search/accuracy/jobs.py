"""Training and evaluating as plain jobs: picklable in, picklable out, the same result in any process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from mnas.architecture import Architecture
from mnas.errors import DataError, TrainingError
from mnas.modules import LayerModule
from mnas.seeding import derive_seed
from search.data.dataset import Dataset
from search.data.registry import open_dataset
from search.executors.executor import Job, Outcome
from search.executors.files import file_for_caller
from search.training.curve import CurveRecorder
from search.training.reduction import reduced
from search.training.schedule import TrainingSchedule
from search.training.teacher import cached_teacher
from search.training.trainer import EVAL_BATCH, Evaluation, TrainedNetwork, evaluate, train_network
from search.training.weights_file import load_weights, save_weights


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One network to be trained once.

    Attributes:
        architecture_json: Canonical form of the network.
        dataset_name: As `search.data.registry` knows it.
        dataset_folder: Where its files lie; None for the usual places.
        schedule: How to train.
        study_seed: The study's seed.
        repeat: 0 for the first training of this network, 1 for the second.
        evaluate_splits: What to evaluate on after training.
        keep_weights_path: File for the trained weights; None drops them.
        curve_points: Parts of the training after each of which the network is evaluated; 0 for no curve.
        curve_images: Images of the first split that a point is taken on; 0 for all that the schedule evaluates.
        checkpoint_path: File that an interrupted training goes on from; None begins anew. Not with a curve.
        teacher: As `search.training.teacher.open_teacher` knows it; empty without.
        fingerprint: Of the data that are meant; "" takes what is there.
    """

    architecture_json: dict[str, Any]
    dataset_name: str
    dataset_folder: str | None
    schedule: TrainingSchedule
    study_seed: int
    repeat: int = 0
    evaluate_splits: tuple[str, ...] = ("rank-val",)
    keep_weights_path: str | None = None
    curve_points: int = 0
    curve_images: int = 0
    checkpoint_path: str | None = None
    teacher: str = ""
    fingerprint: str = ""

    @property
    def seed(self) -> int:
        """Seed of initialisation and order: of (study seed, network, fidelity, repeat) and of nothing else."""
        arch_id = Architecture.from_json(self.architecture_json).arch_id
        return derive_seed(self.study_seed, "train", arch_id, self.schedule.fidelity, self.repeat)

    def as_job(self) -> Job:
        """Return it as an executor takes it."""
        return Job(run_training, (self,))


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """What came of a `TrainingJob`.

    Attributes:
        errors: Split -> top-1 error, 0..1; empty after a failure.
        losses: Split -> mean cross-entropy, nats.
        images: Split -> images evaluated.
        train_loss: Of the last epoch; 0 after a failure.
        cost_s: CPU seconds, data and evaluation included.
        seed: That the training used.
        error_message: Why there is no result; empty after success.
        diverged: Whether the loss became infinite or NaN: the network's own fault, not worth another try.
        curve: ``[epochs done, error, loss]`` on the first split, at equal distances; the last is the final evaluation.
            Empty unless the job asked for it.
        note: What a person should know of it, e.g. that memory was short; else empty.
    """

    errors: dict[str, float] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    train_loss: float = 0.0
    cost_s: float = 0.0
    seed: int = 0
    error_message: str = ""
    diverged: bool = False
    curve: list[list[float]] = field(default_factory=list)
    note: str = ""

    @property
    def is_ok(self) -> bool:
        """Return whether there is a result."""
        return not self.error_message

    @property
    def is_settled(self) -> bool:
        """Return whether another try would come to the same: it would not where memory was short or a process died."""
        return self.is_ok or self.diverged


@lru_cache(maxsize=2)
def cached_dataset(name: str, folder: str | None, fingerprint: str = "") -> Dataset:
    """Return a data set that this process has opened before, or opens now.

    Raises:
        DataError: It is not to be had. ``DAT05``: it is not the one of that fingerprint.
    """
    dataset = open_dataset(name, Path(folder) if folder else None)
    if fingerprint not in ("", dataset.fingerprint):
        raise DataError(
            "DAT05",
            "the data set is another one than the job is for",
            value=f"{name}: {fingerprint[:12]}, here {dataset.fingerprint[:12]}",
            why="it has changed since, or is another one on this machine, and accuracies on different data do not "
            "compare",
            fix="restore the data, or begin anew",
        )
    return dataset


IsOver = Callable[[list[list[float]]], bool]
"""Is shown a run's curve after each new point; answers whether to stop the run there."""


def run_training(job: TrainingJob) -> TrainingOutcome:
    """Train and evaluate; a network that cannot be trained gives an outcome that says so.

    Raises:
        DataError: The data set is not to be had, which no other network would mend.
    """
    return watched_training(job)


def watched_training(job: TrainingJob, is_over: IsOver | None = None) -> TrainingOutcome:
    """Train and evaluate as `run_training`, unless the run's curve says before that it is over.

    Raises:
        DataError: The data set is not to be had.
    """
    started = time.process_time()
    dataset = cached_dataset(job.dataset_name, job.dataset_folder, job.fingerprint)
    try:
        found, trained, curve = _trained(job, dataset, is_over)
    except TrainingError as error:
        return TrainingOutcome(
            cost_s=time.process_time() - started,
            seed=job.seed,
            error_message=str(error),
            diverged=error.code == "TRN01",
        )
    return TrainingOutcome(
        errors={split: one.error for split, one in found.items()},
        losses={split: one.loss for split, one in found.items()},
        images={split: one.images for split, one in found.items()},
        train_loss=trained.train_loss,
        cost_s=time.process_time() - started,
        seed=job.seed,
        curve=curve,
        note=_memory_note(job, trained),
    )


def _trained(
    job: TrainingJob, dataset: Dataset, is_over: IsOver | None
) -> tuple[dict[str, Evaluation], TrainedNetwork, list[list[float]]]:
    """Return evaluations by split, the trained network and the curve."""
    network = reduced(Architecture.from_json(job.architecture_json), job.schedule)
    px, first = network.input_shape_chw[1], job.evaluate_splits[0]
    recorder = CurveRecorder(dataset, job.schedule, first, px, job.curve_points, job.curve_images)

    def watch(done: int, steps: int, module: LayerModule) -> bool:
        return recorder(done, steps, module) and is_over is not None and is_over(recorder.found)

    # The points of a curve are not in the checkpoint, so a curve is taken of whole trainings.
    kept = Path(job.checkpoint_path) if job.checkpoint_path and not job.curve_points else None
    teacher = cached_teacher(job.teacher, job.dataset_name, job.dataset_folder) if job.teacher else None
    trained = train_network(
        network, dataset, job.schedule, job.seed, watch if job.curve_points else None, kept, teacher
    )
    found = {s: evaluate(trained.module, dataset, s, px, job.schedule.eval_images) for s in job.evaluate_splits}
    if job.keep_weights_path is not None:
        with file_for_caller(Path(job.keep_weights_path)) as path:
            save_weights(trained.module, path)
    end = [trained.images_seen / trained.images_an_epoch, found[first].error, found[first].loss]
    return found, trained, [*recorder.found, end] if job.curve_points else []


def _memory_note(job: TrainingJob, trained: TrainedNetwork) -> str:
    """Return what is told of a training whose batches had to be parted."""
    size, parts, norm_batch = job.schedule.batch_size, trained.batch_parts, trained.norm_batch
    said = [f"batches of {size}: they were computed {size // parts} at a time"] if parts > 1 else []
    if 0 < norm_batch < EVAL_BATCH:
        said.append(f"batches of {EVAL_BATCH}: batch norms were estimated on {norm_batch} at a time")
    return f"memory was too small for {', and for '.join(said)}" if said else ""


def require_training(outcome: Outcome) -> None:
    """Refuse the outcome of a training that was stopped by something outside it, e.g. unreadable data.

    What the network itself brings about is recorded instead: a loss that diverges, or a process that dies twice
    (which is what running out of memory looks like).

    Raises:
        TrainingError: ``TRN05``: the message says what happened.
    """
    if not outcome.is_ok and not outcome.is_lost:
        raise TrainingError(
            "TRN05",
            "a training could not be run",
            value=outcome.error_message,
            why="that is no fault of the network, so nothing is recorded against it",
            fix="mend what the message says and give the same command again, a search with --resume",
        )


def training_outcome(job: TrainingJob, outcome: Outcome) -> TrainingOutcome:
    """Return what an executor gave for a training job; a lost worker becomes a failed outcome."""
    if isinstance(outcome.value, TrainingOutcome):
        return outcome.value
    message = outcome.error_message or f"the job returned {type(outcome.value).__name__}"
    return TrainingOutcome(seed=job.seed, error_message=message)


@dataclass(frozen=True, slots=True)
class EvaluationJob:
    """Kept weights to be evaluated on a split, e.g. on test once the recommended networks are fixed.

    Attributes:
        architecture_json: Canonical form of the network.
        dataset_name: As `search.data.registry` knows it.
        dataset_folder: Where its files lie; None for the usual places.
        weights_path: File that a `TrainingJob` kept.
        split: What to evaluate on.
        eval_images: The first so many of the split; 0 for all.
        fingerprint: Of the data that are meant; "" takes what is there.
    """

    architecture_json: dict[str, Any]
    dataset_name: str
    dataset_folder: str | None
    weights_path: str
    split: str
    eval_images: int = 0
    fingerprint: str = ""

    def as_job(self) -> Job:
        """Return it as an executor takes it."""
        return Job(run_evaluation, (self,), is_local=True)


def run_evaluation(job: EvaluationJob) -> Evaluation:
    """Evaluate kept weights.

    Raises:
        MnasError: The weights or the data cannot be read, or the loss is no finite number.
    """
    architecture = Architecture.from_json(job.architecture_json)
    module = load_weights(architecture, Path(job.weights_path))
    dataset = cached_dataset(job.dataset_name, job.dataset_folder, job.fingerprint)
    return evaluate(module, dataset, job.split, architecture.input_shape_chw[1], job.eval_images)
