"""The steps of a training: batches, gradients, learning rate, average, and what is kept after each epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from mnas.errors import TrainingError
from mnas.modules import LayerModule
from mnas.seeding import derive_seed
from search.data.batches import SplitImages
from search.training.augmentation import Augmentation, Batch
from search.training.averaging import MovingAverage
from search.training.checkpoint import Checkpoint
from search.training.distillation import Teacher, distillation_loss
from search.training.memory import is_out_of_memory
from search.training.schedule import TrainingSchedule

_RMS_DECAY, _RMS_EPSILON = 0.9, 1e-3

Watch = Callable[[int, int, LayerModule], bool]
"""Is told after each step how many are done, of how many, and the network; answers whether to stop there."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a training came to, besides the weights.

    Attributes:
        train_loss: Mean cross-entropy over the last epoch, label smoothing included.
        images_seen: Training images, repeats counted.
        batch_parts: Parts that a batch was computed in; more than 1 where memory was too small for a whole one.
    """

    train_loss: float
    images_seen: int
    batch_parts: int


class TrainingLoop:
    """Trains a module in place.

    Args:
        module: On the schedule's device.
        images: To train on.
        augmentation: Of the training images.
        schedule: How to train.
        seed: Of everything random.
        teacher: Whose outputs count as much as the schedule says.
    """

    def __init__(
        self,
        module: LayerModule,
        images: SplitImages,
        augmentation: Augmentation,
        schedule: TrainingSchedule,
        seed: int,
        teacher: Teacher | None = None,
    ) -> None:
        self._seed, self._teacher = seed, teacher if schedule.distill else None
        self._module, self._images = module, images
        self._augmentation, self._schedule = augmentation, schedule
        self._generator = torch.Generator().manual_seed(derive_seed(seed, "order"))
        self._optimiser = _optimiser(module, schedule)
        self._average = MovingAverage(module, schedule.ema_decay)
        self._batch = min(schedule.batch_size, len(images))
        self._parts = 1

    def run(self, watch: Watch | None = None, checkpoint: Checkpoint | None = None) -> Fitted:
        """Train to the end, and leave the averaged weights in the module where the schedule has an average.

        Args:
            watch: Looks on, and may end the training early.
            checkpoint: Where a training that was interrupted is found, and this one is kept after each epoch.

        Raises:
            TrainingError: ``TRN01``: the loss became infinite or NaN. ``TRN10``: not enough memory even for one image
                at a time. ``TRN11``: the checkpoint is of another training.
        """
        schedule, per_epoch = self._schedule, len(self._images) // self._batch
        first, steps = self._restore(checkpoint), schedule.epochs * per_epoch
        losses: list[torch.Tensor] = []
        done = first * per_epoch
        self._module.train()
        for epoch in range(first, schedule.epochs):
            order = torch.randperm(len(self._images), generator=self._generator)
            losses.clear()
            is_over = False
            for chosen in torch.split(order[: per_epoch * self._batch], self._batch):
                if schedule.dropout:  # torch draws what is dropped; a step's draw depends on its number alone
                    torch.manual_seed(derive_seed(self._seed, "dropout", done))
                losses.append(self._step(chosen, schedule.learning_rate(done, steps)))
                done += 1
                is_over = watch is not None and watch(done, steps, self._module)
                if is_over:
                    break
            _refuse_nan(torch.stack(losses), epoch, schedule)
            if is_over:
                break
            # Before the last epoch: after it there is nothing left to lose but the evaluation.
            if checkpoint is not None and epoch + 1 < schedule.epochs:
                checkpoint.save(epoch + 1, self._module, self._optimiser, self._average, self._generator)
        self._average.apply()
        return Fitted(float(torch.stack(losses).mean()), done * self._batch, self._parts)

    def _restore(self, checkpoint: Checkpoint | None) -> int:
        if checkpoint is None:
            return 0
        whole = self._schedule.epochs
        return checkpoint.restore(self._module, self._optimiser, self._average, self._generator, whole)

    def _step(self, chosen: torch.Tensor, rate: float) -> torch.Tensor:
        """Learn from one batch, in halves and halves of halves where there is no memory for more."""
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        batch = self._augmentation.apply(self._images.take(chosen), self._images.labels[chosen], self._generator)
        while True:
            try:
                loss = self._gradients(batch.parts(self._parts), len(chosen))
                break
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or 2 * self._parts > len(chosen):
                    raise
                self._parts *= 2
        self._optimiser.step()
        self._average.update()
        return loss

    def _gradients(self, parts: Sequence[Batch], count: int) -> torch.Tensor:
        """Return the mean loss over a batch, its gradient left in the parameters."""
        schedule = self._schedule
        self._optimiser.zero_grad()
        losses = []
        for part in parts:
            on_device = part.to(schedule.device)
            with _precision(schedule):
                loss = self._loss(on_device)
            share = len(part.labels) / count
            loss = loss if share == 1 else loss * share
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def _loss(self, batch: Batch) -> torch.Tensor:
        schedule, outputs = self._schedule, self._module(batch.images)
        loss = batch.loss(outputs, schedule.label_smoothing)
        if self._teacher is None:
            return loss
        taught = distillation_loss(outputs, self._teacher.outputs(batch.images), schedule.temperature)
        return (1 - schedule.distill) * loss + schedule.distill * taught


def _precision(schedule: TrainingSchedule) -> AbstractContextManager[object]:
    is_mixed = schedule.amp and schedule.device.startswith("cuda")
    return torch.autocast("cuda", torch.bfloat16) if is_mixed else nullcontext()


def _optimiser(module: nn.Module, schedule: TrainingSchedule) -> torch.optim.Optimizer:
    weights = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": schedule.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if schedule.optimiser == "rmsprop":
        return torch.optim.RMSprop(
            groups, lr=schedule.lr, alpha=_RMS_DECAY, eps=_RMS_EPSILON, momentum=schedule.momentum
        )
    return torch.optim.SGD(groups, lr=schedule.lr, momentum=schedule.momentum, nesterov=True, fused=True)


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
