"""Training of a supernet, step by step; equal bit for bit however often it is interrupted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch.nn import functional

from mnas.architecture import Architecture
from mnas.errors import ConfigError, TrainingError
from mnas.seeding import derive_seed, named_rng
from mnas.spaces.staged import StagedSpace
from search.data.batches import SplitImages
from search.data.dataset import Dataset
from search.supernet.checkpoint import Checkpoint, Description
from search.supernet.network import Supernet
from search.supernet.parallel import Alone, Group
from search.supernet.phases import PhaseNetworks
from search.supernet.sorting import put_in_order, sorting_of
from search.training.memory import memory_told

HISTORY_ROWS = 200
_RAMP_STEPS = 10


class SupernetTrainer:
    """A supernet in training.

    Everything random in a step is drawn from the seed and the number of the step, so nothing but weights, momenta and
    averages need be kept to go on. A batch that memory is too small for is computed in halves, or halves of halves,
    whose norms have statistics of their own: only then do other weights come of it.

    Args:
        description: What to train, and how.
        dataset: The data that the description names.
        group: The processes that train together.
        device: Of torch.
        checkpoint: To go on from.

    Attributes:
        network: The supernet.
        step: Steps done.
        steps: Of the whole schedule.
        cost_s: CPU seconds of all processes.
        history: Step, loss of the largest network and mean loss, now and then.
        batch_parts: Parts that a batch is computed in; more than 1 where memory was too small for a whole one.

    Raises:
        SpaceError: ``SPC12``: the space holds a kind of block that has no elastic form.
        ConfigError: ``CFG45``: fewer images than one step takes, or mixed precision without a GPU.
    """

    def __init__(
        self,
        description: Description,
        dataset: Dataset,
        group: Group | None = None,
        device: str = "cpu",
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self._description, self._dataset, self._device = description, dataset, torch.device(device)
        self._schedule, self._seed, self._group = description.schedule, description.seed, group or Alone()
        self._space = StagedSpace(description.definition)
        self._networks = lru_cache(lambda phase: PhaseNetworks(self._space, phase))
        self._images_at = lru_cache(lambda px: SplitImages(dataset, "train", px, description.schedule.train_images))
        self.batch_parts = 1
        self.network = Supernet(self._space, derive_seed(self._seed, "weights")).to(self._device).train()
        self._parameters = dict(self.network.named_parameters())
        self._optimiser = self._make_optimiser()
        decay = self._schedule.ema_decay
        self._averages = {name: p.detach().clone() for name, p in self._parameters.items()} if decay else {}
        self.step, self.cost_s, self.history = 0, 0.0, list[tuple[int, float, float]]()
        self.steps, self._per_epoch = self._count_steps()
        if checkpoint is not None:
            self._restore(checkpoint)

    def _count_steps(self) -> tuple[int, int]:
        schedule = self._schedule
        self._images = len(self._dataset.indices("train", schedule.train_images))
        self._per_step = schedule.batch_size * schedule.accumulate * self._group.size
        per_epoch = self._images // self._per_step
        if not per_epoch or (schedule.amp and self._device.type != "cuda"):
            raise ConfigError(
                "CFG45",
                "the supernet cannot be trained in this way here",
                value={"images": self._images, "images of a step": self._per_step, "amp": schedule.amp},
                why="a step needs its images, and mixed precision a GPU",
                fix="use a smaller --batch, or no --amp",
            )
        return schedule.epochs * per_epoch, per_epoch

    def _make_optimiser(self) -> torch.optim.SGD:
        schedule = self._schedule
        decayed = [p for name, p in self._parameters.items() if p.ndim > 1 and ".transforms." not in name]
        known = set(map(id, decayed))
        others = [p for p in self._parameters.values() if id(p) not in known]
        groups = [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimiser = torch.optim.SGD(groups, lr=schedule.lr, momentum=schedule.momentum, nesterov=True, fused=True)
        for parameter in self._parameters.values():  # all of them, for steps reach some weights later than others
            optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return optimiser

    @torch.no_grad()
    def _restore(self, checkpoint: Checkpoint) -> None:
        self.step, self.cost_s, self.history = checkpoint.step, checkpoint.cost_s, list(checkpoint.history)
        for name, parameter in self._parameters.items():
            parameter.copy_(checkpoint.weights[name])
            self._optimiser.state[parameter]["momentum_buffer"].copy_(checkpoint.momenta[name])
        for name, average in self._averages.items():
            average.copy_(checkpoint.averages[name])

    def checkpoint(self) -> Checkpoint:
        """Return what is needed to go on, copied."""
        return Checkpoint(
            self._description,
            self.step,
            self.steps,
            self.cost_s,
            _copied(self._parameters),
            _copied(self._momenta()),
            _copied(self._averages),
            tuple(self.history),
        )

    def _momenta(self) -> dict[str, torch.Tensor]:
        state = self._optimiser.state
        return {name: state[parameter]["momentum_buffer"] for name, parameter in self._parameters.items()}

    def run(self, is_over: Callable[[], bool], on_step: Callable[[], None] = lambda: None) -> None:
        """Train until the schedule's end or until the first process says that it is over.

        Args:
            is_over: Asked after each step, in the process of rank 0.
            on_step: Called after each step; may take a `checkpoint`.

        Raises:
            TrainingError: ``TRN01``: the loss became infinite or NaN. ``TRN10``: not enough memory even for one image
            at a time. ``TRN20``: another process is gone.
        """
        while self.step < self.steps:
            started = time.process_time()
            must_stop = self._one_step(is_over())
            self.step += 1
            self.cost_s += (time.process_time() - started) * self._group.size
            on_step()
            if must_stop:
                return

    def _one_step(self, is_over: bool) -> bool:
        """Do a step; return whether it is the last one for now, on which all processes agree."""
        self._sort_channels()
        for group in self._optimiser.param_groups:
            group["lr"] = self._schedule.learning_rate(self.step, self.steps)
        largest, mean = self._gradients()
        news = torch.stack([largest, mean, torch.tensor(float(is_over and self._group.rank == 0))])
        told = [float(value) for value in self._share_gradients(news)]
        self._note(told[0], told[1])
        if self._schedule.clip_norm:
            torch.nn.utils.clip_grad_norm_(self._parameters.values(), self._schedule.clip_norm)
        self._optimiser.step()
        self._average()
        return told[2] > 0

    def _gradients(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Leave a step's gradients in the parameters; return the loss of the first network and the mean over all."""
        accumulate = self._schedule.accumulate
        while True:
            self._optimiser.zero_grad()
            largest, mean = torch.zeros(()), torch.zeros(())
            try:
                with memory_told(f"a batch of {self._schedule.batch_size} in {self.batch_parts} parts"):
                    for part in range(accumulate):
                        first, every = self._backward(part)
                        largest, mean = largest + first / accumulate, mean + every / accumulate
                return largest, mean
            except TrainingError as error:
                if error.code != "TRN10" or 2 * self.batch_parts > self._schedule.batch_size:
                    raise
            self.batch_parts *= 2

    def _sort_channels(self) -> None:
        """Sort blocks' inner channels by importance where this step is the first that takes fewer of them."""
        if not self.step or "expand" not in self._elastic(self.step) or "expand" in self._elastic(self.step - 1):
            return
        sorting = sorting_of(self.network)
        weights = {name: parameter.data for name, parameter in self._parameters.items()}
        for own in (weights, self._momenta(), *([self._averages] if self._averages else [])):
            put_in_order(own, sorting)

    def _elastic(self, step: int) -> tuple[str, ...]:
        return self._schedule.phase_at(step, self.steps).elastic

    def _share_gradients(self, news: torch.Tensor) -> torch.Tensor:
        """Average gradients and news over the processes; all have gradients of the same weights."""
        if self._group.size == 1:
            return news
        gradients = [p.grad for p in self._parameters.values() if p.grad is not None]
        flat = torch.cat([*(one.reshape(-1) for one in gradients), news.to(self._device)])
        shared = torch.split(self._group.mean(flat), [one.numel() for one in gradients] + [len(news)])
        for gradient, mean in zip(gradients, shared, strict=False):
            gradient.copy_(mean.view(gradient.shape))
        return shared[-1]

    def _note(self, largest: float, mean: float) -> None:
        if not abs(mean) < float("inf"):
            raise TrainingError(
                "TRN01",
                "the supernet's loss is no longer a finite number",
                value=f"step {self.step}",
                why=f"training diverged at a peak learning rate of {self._schedule.lr}",
                fix="lower --lr or --clip-norm",
            )
        if self.step % max(1, self.steps // HISTORY_ROWS) == 0:
            self.history.append((self.step, largest, mean))

    def _backward(self, part: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Add a batch's gradients; return the loss of the first network and the mean over all."""
        chosen, mirrored = self._batch(part)
        networks, size = self._chosen_networks(part), math.ceil(len(chosen) / self.batch_parts)
        first, every = torch.zeros(()), torch.zeros(())
        for start in range(0, len(chosen), size):
            own, flips = chosen[start : start + size], mirrored if mirrored is None else mirrored[start : start + size]
            share = len(own) / len(chosen)
            losses = self._losses(networks, own, flips, share / self._schedule.accumulate)
            first, every = first + losses[0] * share, every + torch.stack(losses).mean() * share
        return first, every

    def _losses(
        self, networks: Sequence[Architecture], chosen: torch.Tensor, mirrored: torch.Tensor | None, factor: float
    ) -> list[torch.Tensor]:
        """Add the gradients of some images, each loss times a factor; return every network's loss."""
        teacher: torch.Tensor | None = None
        losses = []
        for architecture in networks:
            images = self._images_at(architecture.input_shape_chw[1])
            inputs, truth = images.take(chosen).to(self._device), images.labels[chosen].to(self._device)
            inputs = (
                torch.where(mirrored[:, None, None, None], inputs.flip(3), inputs) if mirrored is not None else inputs
            )
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._schedule.amp):
                logits = self.network(inputs, architecture).float()
            if teacher is None:
                loss = functional.cross_entropy(logits, truth, label_smoothing=self._schedule.label_smoothing)
                teacher = logits.detach().softmax(1)
            else:
                loss = functional.cross_entropy(logits, teacher)
            (loss * factor).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach().cpu())
        return losses

    def _batch(self, part: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return which images this process takes, and which of them are mirrored."""
        epoch, number = divmod(self.step, self._per_epoch)
        size, rank = self._schedule.batch_size, self._group.rank
        start = number * self._per_step + (part * self._group.size + rank) * size
        chosen = _order(self._seed, epoch, self._images)[start : start + size]
        if not self._schedule.flip:
            return chosen, None
        generator = torch.Generator().manual_seed(derive_seed(self._seed, "flip", self.step, part, rank))
        return chosen, (torch.rand(size, generator=generator) < 0.5).to(self._device)

    def _chosen_networks(self, part: int) -> tuple[Architecture, ...]:
        """Return the networks of a batch, the teacher first; the same in every process."""
        networks = self._networks(self._schedule.phase_at(self.step, self.steps))
        rng = named_rng(self._seed, "networks", self.step, part)
        if self._schedule.rule == "single-path":
            return (networks.draw(rng),)
        return networks.sandwich(rng, self._schedule.random_networks)

    @torch.no_grad()
    def _average(self) -> None:
        if self._averages:
            share = 1 - min(self._schedule.ema_decay, (self.step + 1) / (self.step + 1 + _RAMP_STEPS))
            torch._foreach_lerp_(list(self._averages.values()), list(self._parameters.values()), share)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, images: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    return torch.randperm(images, generator=generator)


def _copied(tensors: dict[str, torch.nn.Parameter] | dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}
