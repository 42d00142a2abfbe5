"""A split's images for training and evaluation: all in memory where they fit, else made ready batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from mnas.preprocessing import normalised
from search.data.dataset import Dataset, tensors

MOST_BYTES = 2 << 30
"""Of a split's images as floats; more are made ready when they are asked for, from what is mapped on the disk."""


class SplitImages:
    """Images and labels of a split, in hash order.

    Args:
        dataset: The data set.
        split: One of its splits.
        px: Side of the square images; others are resized bilinearly with antialiasing.
        limit: Only the first so many; 0 for all.
        most_bytes: The most that is held in memory.

    Attributes:
        labels: int64, ``(N,)``.
    """

    def __init__(self, dataset: Dataset, split: str, px: int, limit: int = 0, most_bytes: int = MOST_BYTES) -> None:
        self._dataset, self._px = dataset, px
        self._indices = dataset.indices(split, limit)
        needed = len(self._indices) * dataset.channels * px * px * torch.float32.itemsize
        self._ready: torch.Tensor | None = None
        if needed <= most_bytes:
            self._ready, self.labels = tensors(dataset, split, px, limit)
        else:
            self.labels = dataset.labels[self._indices]

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self._indices)

    def take(self, places: torch.Tensor) -> torch.Tensor:
        """Return the images at some places, float32 NCHW, normalised; not to be written to."""
        return self._ready[places] if self._ready is not None else self._made(self._indices[places])

    def slices(self, size: int, limit: int = 0) -> Iterator[torch.Tensor]:
        """Give the first ``limit`` images (0: all) in order, ``size`` at a time."""
        if self._ready is not None:
            yield from torch.split(self._ready[:limit] if limit else self._ready, size)
        else:
            for indices in torch.split(self._indices[:limit] if limit else self._indices, size):
                yield self._made(indices)

    def _made(self, indices: torch.Tensor) -> torch.Tensor:
        return normalised(self._dataset.images_u8[indices], self._px, self._dataset.mean, self._dataset.std)
