"""What an image goes through before a network sees it: the one preprocessing there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from mnas.errors import DataError


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Size and normalisation of a network's images.

    Attributes:
        px: Side of the square input.
        channels: 1 (grey) or 3 (RGB).
        mean: Per channel, of pixels in 0..1.
        std: Likewise.
    """

    px: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        fits = self.px >= 1 and self.channels in (1, 3) and len(self.mean) == len(self.std) == self.channels
        if not fits or min(self.std) <= 0:
            raise DataError(
                "DAT14",
                "this is no preprocessing of images",
                value=self,
                why="it needs pixels, 1 or 3 channels, and for each channel a mean and a positive std",
                fix="correct it",
            )

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Preprocessing:
        """Read the ``preprocessing`` of a ``card.json``.

        Raises:
            DataError: ``DAT14``: it lacks a key or holds something else.
        """
        try:
            mean, std = (tuple(float(value) for value in found[key]) for key in ("mean", "std"))
            return cls(int(found["px"]), int(found["channels"]), mean, std)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                "DAT14",
                "the card does not say how images are prepared",
                value=f"{type(error).__name__}: {error}",
                why="its preprocessing must hold px, channels, mean and std",
                fix="name the card.json that was exported with the network",
            ) from error

    def apply(self, images_u8: torch.Tensor) -> torch.Tensor:
        """Return uint8 NCHW images as float32, resized and normalised."""
        return normalised(images_u8, self.px, self.mean, self.std)


def normalised(images_u8: torch.Tensor, px: int, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """Return uint8 NCHW images as float32, resized to ``px`` (bilinear, antialiased) and normalised."""
    images = images_u8.float() / 255.0
    if images.shape[2:] != (px, px):
        images = functional.interpolate(images, (px, px), mode="bilinear", antialias=True, align_corners=False)
    shift, scale = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std))
    return ((images - shift) / scale).contiguous(memory_format=torch.channels_last)
