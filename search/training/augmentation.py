"""Batches of images changed at random so that their classes stay: mirrored, cut out, recoloured, mixed.

All draws come from one generator that is passed in, so a batch depends on its state alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from mnas.errors import ConfigError
from search.training.schedule import TrainingSchedule

_GREY_OF_RGB = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Images and what they show.

    Attributes:
        images: float32 NCHW, normalised.
        labels: int64, ``(N,)``.
        others: Labels of what is mixed in; the same as ``labels`` where nothing is.
        share: Of ``labels`` in each image, 0..1; the rest is of ``others``.
    """

    images: torch.Tensor
    labels: torch.Tensor
    others: torch.Tensor
    share: float = 1.0

    def loss(self, outputs: torch.Tensor, label_smoothing: float = 0.0) -> torch.Tensor:
        """Return the mean cross-entropy of a network's outputs ``(N, classes)``, nats."""
        own = functional.cross_entropy(outputs, self.labels, label_smoothing=label_smoothing)
        if self.share == 1.0:
            return own
        other = functional.cross_entropy(outputs, self.others, label_smoothing=label_smoothing)
        return self.share * own + (1 - self.share) * other

    def parts(self, count: int) -> list[Batch]:
        """Return the batch in so many parts of about equal size."""
        if count == 1:
            return [self]
        pieces = zip(*(torch.tensor_split(one, count) for one in (self.images, self.labels, self.others)), strict=True)
        return [Batch(images, labels, others, self.share) for images, labels, others in pieces]

    def to(self, device: str) -> Batch:
        """Return the batch on a device; itself where it is there already."""
        if self.images.device == torch.device(device):
            return self
        return Batch(self.images.to(device), self.labels.to(device), self.others.to(device), self.share)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What a schedule does to training images.

    Attributes:
        mean: Per channel, that the images are normalised by.
        std: Likewise.
        flip: As of `TrainingSchedule`.
        crop: As of `TrainingSchedule`.
        colour: As of `TrainingSchedule`.
        mixup: As of `TrainingSchedule`.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool = False
    crop: float = 0.0
    colour: float = 0.0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.crop <= 0.5 and 0 <= self.colour <= 1 and 0 <= self.mixup < float("inf")):
            raise ConfigError(
                "CFG01",
                "a schedule's augmentation is out of range",
                value={"crop": self.crop, "colour": self.colour, "mixup": self.mixup},
                why="crop goes from 0 to 0.5, colour from 0 to 1, and mixup from 0 on",
                fix="correct it",
            )

    @classmethod
    def of(cls, schedule: TrainingSchedule, mean: tuple[float, ...], std: tuple[float, ...]) -> Augmentation:
        """Return the augmentation of a schedule."""
        return cls(mean, std, schedule.flip, schedule.crop, schedule.colour, schedule.mixup)

    def apply(self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> Batch:
        """Return a changed batch; where nothing is switched on, the images are those given and nothing is drawn.

        Args:
            images: float32 NCHW, normalised, square.
            labels: int64, ``(N,)``.
            generator: Of the processor's memory.
        """
        if self.flip:
            images = mirrored(images, generator)
        padding = round(self.crop * images.shape[2])
        if padding:
            images = cropped(images, padding, generator)
        if self.colour:
            images = recoloured(images, self.colour, self.mean, self.std, generator)
        if self.mixup:
            return mixed(images, labels, self.mixup, generator)
        return Batch(images, labels, labels)


def mirrored(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return images of which about half are mirrored left to right."""
    hit = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(hit[:, None, None, None], images.flip(3), images)


def cropped(images: torch.Tensor, padding: int, generator: torch.Generator) -> torch.Tensor:
    """Return images moved by up to ``padding`` px each way; what comes in from outside is 0, the mean colour."""
    count, channels, height, width = images.shape
    wide = functional.pad(images, (padding,) * 4)
    top, left = torch.randint(2 * padding + 1, (2, count, 1), generator=generator)
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    which = torch.arange(count)[:, None, None, None]
    found = wide[which, torch.arange(channels)[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]
    return found.contiguous(memory_format=torch.channels_last)


def recoloured(
    images: torch.Tensor,
    strength: float,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    generator: torch.Generator,
) -> torch.Tensor:
    """Return images whose brightness, contrast and saturation are changed by factors of ``1 +- strength`` each."""
    shift, scale = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std))
    bright, contrast, saturation = 1 + strength * (2 * torch.rand((3, len(images), 1, 1, 1), generator=generator) - 1)
    pixels = ((images * scale + shift) * bright).clamp(0, 1)
    level = _grey(pixels).mean((2, 3), keepdim=True)
    pixels = (level + (pixels - level) * contrast).clamp(0, 1)
    if pixels.shape[1] == len(_GREY_OF_RGB):
        grey = _grey(pixels)
        pixels = (grey + (pixels - grey) * saturation).clamp(0, 1)
    normalised: torch.Tensor = (pixels - shift) / scale
    return normalised.contiguous(memory_format=torch.channels_last)


def _grey(pixels: torch.Tensor) -> torch.Tensor:
    if pixels.shape[1] != len(_GREY_OF_RGB):
        return pixels.mean(1, keepdim=True)
    weighted: torch.Tensor = pixels * torch.tensor(_GREY_OF_RGB).view(1, 3, 1, 1)
    return weighted.sum(1, keepdim=True)


def mixed(images: torch.Tensor, labels: torch.Tensor, alpha: float, generator: torch.Generator) -> Batch:
    """Return each image mixed with another of the batch, by one share drawn from Beta(alpha, alpha)."""
    seed = int(torch.randint(2**62, (), generator=generator))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    partner = torch.randperm(len(images), generator=generator)
    return Batch(share * images + (1 - share) * images[partner], labels, labels[partner], share)
