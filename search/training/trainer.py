"""Training of one network's real weights, equal bit for bit in every process."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from torch.utils import deterministic

from mnas.architecture import Architecture
from mnas.errors import TrainingError
from mnas.modules import LayerModule, build_module
from mnas.seeding import derive_seed
from search.data.dataset import Dataset, tensors
from search.training.schedule import TrainingSchedule

_EVAL_BATCH = 500
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
    """

    module: LayerModule
    train_loss: float
    cost_s: float
    images_seen: int


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
    architecture: Architecture, dataset: Dataset, schedule: TrainingSchedule, seed: int
) -> TrainedNetwork:
    """Train a network from scratch; initialisation and order of the images depend on ``seed`` alone.

    Raises:
        TrainingError: ``TRN01``: the loss became infinite or NaN. ``TRN02``: network and data set do not fit.
    """
    _check_fit(architecture, dataset)
    started = time.process_time()
    with reproducible():
        module = build_module(architecture, seed=derive_seed(seed, "weights"))
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images, labels = tensors(dataset, "train", architecture.input_shape_chw[1], schedule.train_images)
        train_loss, seen = _fit(module, images, labels, schedule, seed)
        if schedule.bn_images:
            estimate_batch_norms(module, images[: schedule.bn_images])
    return TrainedNetwork(module.eval(), train_loss, time.process_time() - started, seen)


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


def _fit(
    module: LayerModule, images: torch.Tensor, labels: torch.Tensor, schedule: TrainingSchedule, seed: int
) -> tuple[float, int]:
    """Train in place; leaves the averaged weights in the module where the schedule has an average."""
    module.train()
    generator = torch.Generator().manual_seed(derive_seed(seed, "order"))
    optimiser = _optimiser(module, schedule)
    batch = min(schedule.batch_size, len(images))
    per_epoch = len(images) // batch
    average = _Average(module, schedule.ema_decay)
    losses: list[torch.Tensor] = []
    for epoch in range(schedule.epochs):
        order = torch.randperm(len(images), generator=generator)
        losses.clear()
        for number in range(per_epoch):
            rate = schedule.learning_rate(epoch * per_epoch + number, schedule.epochs * per_epoch)
            for group in optimiser.param_groups:
                group["lr"] = rate
            chosen = order[number * batch : (number + 1) * batch]
            inputs = _mirrored(images[chosen], generator) if schedule.flip else images[chosen]
            loss = functional.cross_entropy(module(inputs), labels[chosen], label_smoothing=schedule.label_smoothing)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            average.update()
            losses.append(loss.detach())
        _refuse_nan(torch.stack(losses), epoch, schedule)
    average.apply()
    return float(torch.stack(losses).mean()), schedule.epochs * per_epoch * batch


def _optimiser(module: nn.Module, schedule: TrainingSchedule) -> torch.optim.SGD:
    weights = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": schedule.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=schedule.lr, momentum=schedule.momentum, nesterov=True, fused=True)


def _mirrored(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    hit = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(hit[:, None, None, None], images.flip(3), images)


def _refuse_nan(losses: torch.Tensor, epoch: int, schedule: TrainingSchedule) -> None:
    if not bool(torch.isfinite(losses).all()):
        step = int(torch.nonzero(~torch.isfinite(losses))[0])
        raise TrainingError(
            "TRN01",
            "the training loss is no longer a finite number",
            value=f"epoch {epoch}, step {step}",
            why=f"training diverged at a peak learning rate of {schedule.lr}",
            fix="lower the schedule's lr or lengthen its warmup",
        )


class _Average:
    """Moving average of a module's parameters, its decay ramped up so that it forgets the initial weights."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay, self._steps = decay, 0
        self._parameters = list(module.parameters())
        self._averages = [p.detach().clone() for p in self._parameters] if decay else []

    @torch.no_grad()
    def update(self) -> None:
        """Take the current weights in."""
        self._steps += 1
        share = 1 - min(self._decay, self._steps / (self._steps + 10))
        for average, parameter in zip(self._averages, self._parameters, strict=False):
            average.lerp_(parameter, share)

    @torch.no_grad()
    def apply(self) -> None:
        """Write the average into the module."""
        for average, parameter in zip(self._averages, self._parameters, strict=False):
            parameter.copy_(average)


@torch.no_grad()
def estimate_batch_norms(module: nn.Module, images: torch.Tensor) -> None:
    """Set every batch norm's statistics to the mean over batches of the given training images."""
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    module.train()
    for batch in torch.split(images, _EVAL_BATCH):
        module(batch)
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
        TrainingError: ``TRN01``: the loss is infinite or NaN.
    """
    images, labels = tensors(dataset, split, px, limit)
    module.eval()
    wrong, loss = 0, 0.0
    with reproducible(), torch.inference_mode():
        for inputs, truth in zip(torch.split(images, _EVAL_BATCH), torch.split(labels, _EVAL_BATCH), strict=True):
            outputs = module(inputs)
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
