"""Training of one network's real weights, equal bit for bit in every process."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torch.utils import deterministic

from mnas.architecture import Architecture
from mnas.errors import TrainingError
from mnas.modules import LayerModule, build_module
from mnas.seeding import derive_seed
from search.data.batches import SplitImages
from search.data.dataset import Dataset
from search.training.augmentation import Augmentation
from search.training.checkpoint import Checkpoint
from search.training.distillation import Teacher
from search.training.loop import TrainingLoop, Watch
from search.training.memory import in_halves, is_out_of_memory, memory_told
from search.training.schedule import TrainingSchedule

EVAL_BATCH = 500
"""Images at a time where nothing is learnt, as far as memory allows."""
_LEAST_NORM_BATCH = 2
_FILL = "fill_uninitialized_memory"
"""Torch's setting that writes NaN into fresh tensors; no operation used here reads one, so it would only cost time."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedNetwork:
    """A network with its weights.

    Attributes:
        module: In evaluation mode.
        train_loss: Mean cross-entropy over the last epoch, label smoothing included.
        cost_s: CPU seconds of this process.
        images_seen: Training images, repeats counted.
        batch_parts: Parts that a batch was computed in; more than 1 where memory was too small for a whole one.
        images_an_epoch: Of a whole epoch.
        norm_batch: Images of a batch that batch norms were estimated on in the end; 0 where they were not.
    """

    module: LayerModule
    train_loss: float
    cost_s: float
    images_seen: int
    images_an_epoch: int
    batch_parts: int = 1
    norm_batch: int = 0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a network does on a split.

    Attributes:
        error: Top-1 error, 0..1.
        loss: Mean cross-entropy, nats.
        images: How many were looked at.
    """

    error: float
    loss: float
    images: int


@contextmanager
def reproducible() -> Iterator[None]:
    """Hold torch to one thread and deterministic algorithms; the former settings come back after.

    A sum over two threads is another sum than over one, so the thread count is part of the result.
    """
    # Without it cuBLAS adds up in an order that differs from run to run, and torch refuses to use it.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads, was = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    fill = getattr(deterministic, _FILL)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    setattr(deterministic, _FILL, False)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(was)
        setattr(deterministic, _FILL, fill)


def train_network(
    architecture: Architecture,
    dataset: Dataset,
    schedule: TrainingSchedule,
    seed: int,
    watch: Watch | None = None,
    checkpoint_path: Path | None = None,
    teacher: Teacher | None = None,
) -> TrainedNetwork:
    """Train a network from scratch; initialisation, order and changes of the images depend on ``seed`` alone.

    A batch that memory is too small for is computed in halves, or halves of halves: each part then has batch norm
    statistics of its own, and the gradient is their mean.

    Args:
        architecture: The network.
        dataset: The data set.
        schedule: How to train.
        seed: Of everything random.
        watch: Looks on, and may end the training early; it must leave weights and torch's generators as they are.
        checkpoint_path: File that is written after each epoch; where it is there, the training goes on from it, to the
            same weights as without interruption. It goes at the end.
        teacher: Whose outputs the network learns from as well, as much as the schedule says.

    Raises:
        TrainingError: ``TRN01``: the loss became infinite or NaN. ``TRN02``: network and data set do not fit.
            ``TRN10``: not enough memory. ``TRN11``: the checkpoint is of another training. ``TRN12``: no such device.
    """
    _check_fit(architecture, dataset)
    require_device(schedule.device)
    started = time.process_time()
    px, checkpoint = architecture.input_shape_chw[1], None
    if checkpoint_path is not None:
        training = [architecture.arch_id, dataset.fingerprint, schedule.fidelity, str(seed)]
        training += [teacher.fingerprint] if teacher else []
        checkpoint = Checkpoint(checkpoint_path, "/".join(training))
    with reproducible(), memory_told(f"training {architecture.arch_id[:12]} at {px} px"):
        module = build_module(architecture, seed=derive_seed(seed, "weights"), dropout=schedule.dropout)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        module.to(schedule.device)
        images = SplitImages(dataset, "train", px, schedule.train_images)
        augmentation = Augmentation.of(schedule, dataset.mean, dataset.std)
        with torch.random.fork_rng(enabled=schedule.dropout > 0):
            fitted = TrainingLoop(module, images, augmentation, schedule, seed, teacher).run(watch, checkpoint)
            norm_batch = (
                estimate_batch_norms(module, lambda size: images.slices(size, schedule.bn_images))
                if schedule.bn_images
                else 0
            )
    if checkpoint is not None:
        checkpoint.remove()
    batch = min(schedule.batch_size, len(images.labels))
    return TrainedNetwork(
        module=module.eval().cpu(),
        train_loss=fitted.train_loss,
        cost_s=time.process_time() - started,
        images_seen=fitted.images_seen,
        images_an_epoch=len(images.labels) // batch * batch,
        batch_parts=fitted.batch_parts,
        norm_batch=norm_batch,
    )


def _check_fit(architecture: Architecture, dataset: Dataset) -> None:
    channels, height, width = architecture.input_shape_chw
    seen = (channels, architecture.classes)
    if seen != (dataset.channels, dataset.classes) or height != width:
        raise TrainingError(
            "TRN02",
            f"the network does not fit the data set {dataset.name}",
            value={"input": architecture.input_shape_chw, "classes": architecture.classes},
            why=f"the data set has {dataset.channels} channels, square images and {dataset.classes} classes",
            fix="use the space preset that was made for this data set",
        )


def require_device(device: str) -> None:
    """Refuse a device that is not here.

    Args:
        device: Of torch: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        TrainingError: ``TRN12``: torch cannot compute on it.
    """
    cuda = re.fullmatch(r"cuda(?::(\d+))?", device)
    if device == "cpu" or (cuda and int(cuda.group(1) or 0) < torch.cuda.device_count()):
        return
    raise TrainingError(
        "TRN12",
        "the device cannot be trained on",
        value=device,
        why=f"torch sees {torch.cuda.device_count()} CUDA devices" if cuda else "known are cpu, cuda, cuda:N",
        fix="train on cpu, in fewer processes, or install a build of torch for the machine's GPU",
    )


Batches = Callable[[int], Iterable[torch.Tensor]]
"""Gives training images, NCHW, normalised, so many at a time."""


@torch.no_grad()
def estimate_batch_norms(module: nn.Module, images: torch.Tensor | Batches) -> int:
    """Set every batch norm's statistics to the mean over batches of the given training images; leaves training mode on.

    Where memory is too small for a batch, all of them are halved and the estimate begins anew.

    Args:
        module: The network.
        images: NCHW, normalised; or what gives them in batches.

    Returns:
        Images of a batch.
    """
    size = EVAL_BATCH
    while True:
        try:
            _cumulate(module, torch.split(images, size) if isinstance(images, torch.Tensor) else images(size))
            return size
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or size // 2 < _LEAST_NORM_BATCH:
                raise
        size //= 2


def _cumulate(module: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    module.train()
    device = next(module.parameters()).device
    try:
        for batch in batches:
            module(batch.to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def evaluate(module: nn.Module, dataset: Dataset, split: str, px: int, limit: int = 0) -> Evaluation:
    """Return error and loss of a network on a split, in evaluation mode.

    Args:
        module: The network.
        dataset: The data set.
        split: One of its splits.
        px: Side of the network's input.
        limit: Only the first so many images in hash order; 0 for all.

    Raises:
        TrainingError: ``TRN01``: the loss is infinite or NaN. ``TRN10``: not enough memory.
    """
    images = SplitImages(dataset, split, px, limit)
    labels = images.labels
    module.eval()
    device = next((one.device for one in module.parameters()), torch.device("cpu"))
    wrong, loss = 0, 0.0
    with reproducible(), torch.inference_mode(), memory_told(f"evaluation at {px} px"):
        for inputs, truth in zip(images.slices(EVAL_BATCH), torch.split(labels, EVAL_BATCH), strict=True):
            outputs = in_halves(module, inputs.to(device)).cpu()
            wrong += int((outputs.argmax(1) != truth).sum())
            loss += float(functional.cross_entropy(outputs, truth, reduction="sum"))
    if not math.isfinite(loss):
        raise TrainingError(
            "TRN01",
            f"the loss on {split} is not a finite number",
            value=loss,
            why="the weights hold infinities or NaN",
            fix="lower the schedule's lr",
        )
    return Evaluation(wrong / len(labels), loss / len(labels), len(labels))
