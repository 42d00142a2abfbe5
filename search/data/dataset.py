"""A data set in four disjoint splits, and its images as normalised tensors.

A sample belongs to a split by the hash of its image's bytes, so equal images always fall together, whatever their
labels or their order in the file. The order within a split comes from the same hash: the first ``n`` images of a split
are a well-mixed subset of it, the same one on every machine.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mnas.errors import DataError
from mnas.preprocessing import normalised

SPLITS = ("train", "rank-val", "val", "test")
"""Trained on; what searches rank by; what fixes the recommended networks; read once, after."""

_SPLIT_RULE = 1
_CACHE_ENTRIES = 12
_CACHE_BYTES = 4 << 30
_COUNTED_AT_ONCE = 1024
_cache: OrderedDict[tuple[str, str, int, int], tuple[torch.Tensor, torch.Tensor]] = OrderedDict()


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images, labels and splits.

    Attributes:
        name: As `search.data.registry` knows it.
        images_u8: uint8, NCHW.
        labels: int64, ``(N,)``.
        split_indices: Split -> int64 indices into the images, in hash order.
        class_names: One name for each class.
        mean: Per channel, of the training split with pixels in 0..1.
        std: Likewise.
        fingerprint: SHA-256 of images, labels and splits.
        facts: What was seen of its files: ``modes``, ``sizes``, ``corrupt``, ``files``; empty where nothing is told.
    """

    name: str
    images_u8: torch.Tensor
    labels: torch.Tensor
    split_indices: dict[str, torch.Tensor]
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return int(self.images_u8.shape[1])

    @property
    def left_out(self) -> str:
        """How many of its files could not be read and are missing among the images, in words; "" for none."""
        count = len(self.facts.get("corrupt", ()))
        return f"left out, unreadable: {count} of {self.facts['files']} files of {self.name}" if count else ""

    def size(self, split: str) -> int:
        """Return how many images a split has.

        Raises:
            DataError: ``DAT03``: no such split.
        """
        return len(self._indices(split))

    def _indices(self, split: str) -> torch.Tensor:
        if split not in self.split_indices:
            known = ", ".join(SPLITS)
            raise DataError("DAT03", "no such split", value=split, why=f"known are {known}", fix="use one of them")
        return self.split_indices[split]

    def indices(self, split: str, limit: int = 0) -> torch.Tensor:
        """Return the first ``limit`` indices of a split in hash order, all of them for 0."""
        found = self._indices(split)
        return found[:limit] if limit else found


@dataclass(frozen=True, slots=True)
class SplitRule:
    """Which share of the samples goes where.

    Attributes:
        rank_val: Fraction of the samples that are no fixed test samples.
        val: Likewise.
        test: Likewise; 0 where the test samples are fixed.
    """

    rank_val: float
    val: float
    test: float = 0.0


def make_dataset(
    name: str,
    images_u8: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    class_names: tuple[str, ...],
    rule: SplitRule,
    fixed_test: npt.NDArray[np.bool_] | None = None,
) -> Dataset:
    """Split samples by hash.

    Args:
        name: Name of the data set.
        images_u8: uint8, NCHW.
        labels: int64, ``(N,)``, below the number of class names.
        class_names: One name for each class.
        rule: Shares of the splits.
        fixed_test: Samples that are the test split, ``(N,)``; another sample equal to one of them is dropped.
    """
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images_u8]
    hashes = np.frombuffer(b"".join(digests), dtype=">u8").reshape(len(digests), 4)
    splits = _split_of(hashes[:, 0], rule)
    if fixed_test is not None:
        of_test = {digest for digest, fixed in zip(digests, fixed_test, strict=True) if fixed}
        splits[[digest in of_test for digest in digests]] = -1
        splits[fixed_test] = SPLITS.index("test")
    order = np.argsort(hashes[:, 1], kind="stable")
    indices = {split: order[splits[order] == number] for number, split in enumerate(SPLITS)}
    mean, std = _mean_and_std(images_u8, indices["train"])
    return Dataset(
        name=name,
        images_u8=torch.from_numpy(np.ascontiguousarray(images_u8)),
        labels=torch.from_numpy(labels.astype(np.int64)),
        split_indices={split: torch.from_numpy(found.astype(np.int64)) for split, found in indices.items()},
        class_names=class_names,
        mean=mean,
        std=std,
        fingerprint=_fingerprint(name, images_u8, labels, splits),
    )


def _mean_and_std(
    images_u8: npt.NDArray[np.uint8], chosen: npt.NDArray[np.int64]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of some images' channels, pixels in 0..1, from counts of their levels."""
    channels = images_u8.shape[1]
    counts = np.zeros((channels, 256), dtype=np.int64)
    for part in np.array_split(chosen, max(1, len(chosen) // _COUNTED_AT_ONCE)):
        pixels = images_u8[part]
        for channel in range(channels):
            counts[channel] += np.bincount(pixels[:, channel].ravel(), minlength=256)
    levels, total = np.arange(256) / 255, np.maximum(counts.sum(1, keepdims=True), 1)
    mean = (counts * levels).sum(1, keepdims=True) / total
    std = np.sqrt((counts * (levels - mean) ** 2).sum(1) / total[:, 0])
    # A constant channel has no scale of its own.
    return tuple(round(float(v), 6) for v in mean[:, 0]), tuple(round(float(v), 6) or 1.0 for v in std)


def require_usable(dataset: Dataset) -> Dataset:
    """Return a data set that networks can be trained and compared on.

    Raises:
        DataError: ``DAT06``: it has one class, a split is empty, or there is a class that training never sees.
    """
    empty = [split for split in SPLITS if not dataset.size(split)]
    seen = set(dataset.labels[dataset.indices("train")].tolist())
    unseen = [name for label, name in enumerate(dataset.class_names) if label not in seen]
    if dataset.classes >= 2 and not empty and not unseen:
        return dataset
    if dataset.classes < 2:
        why = "it has one class, so there is nothing to tell apart"
    elif empty:
        why = f"no image falls into {' and '.join(empty)}"
    else:
        why = f"no training image is of {', '.join(unseen[:5])}"
    raise DataError(
        "DAT06",
        f"networks cannot be compared on {dataset.name}",
        value=f"{len(dataset.labels)} images in {dataset.classes} classes",
        why=why,
        fix="give more images of each class; a hundred are few",
    )


def _split_of(hashes: npt.NDArray[np.uint64], rule: SplitRule) -> npt.NDArray[np.int8]:
    shares = hashes.astype(np.float64) / 2.0**64
    edges = np.cumsum([rule.rank_val, rule.val, rule.test])
    splits = np.full(len(hashes), SPLITS.index("train"), dtype=np.int8)
    for edge, split in reversed(list(zip(edges, ("rank-val", "val", "test"), strict=True))):
        splits[shares < edge] = SPLITS.index(split)
    return splits


def _fingerprint(
    name: str, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], splits: npt.NDArray[np.int8]
) -> str:
    digest = hashlib.sha256(f"{name} {_SPLIT_RULE} {images.shape}".encode())
    for part in (images, labels.astype("<i8"), splits):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def tensors(dataset: Dataset, split: str, px: int, limit: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a split's images and labels, ready for a network; kept in memory for the next call.

    Args:
        dataset: The data set.
        split: One of `SPLITS`.
        px: Side of the square images; others are resized bilinearly with antialiasing.
        limit: Only the first so many images in hash order; 0 for all.

    Returns:
        float32 NCHW in channels-last memory, normalised by the training split's mean and std; int64 labels. Both are
        shared between callers and must not be written to.
    """
    key = (dataset.fingerprint, split, px, limit)
    if key in _cache:
        _cache.move_to_end(key)
        return _cache[key]
    indices = dataset.indices(split, limit)
    images = normalised(dataset.images_u8[indices], px, dataset.mean, dataset.std)
    _cache[key] = (images, dataset.labels[indices])
    while len(_cache) > 1 and (len(_cache) > _CACHE_ENTRIES or _cached_bytes() > _CACHE_BYTES):
        _cache.popitem(last=False)
    return _cache[key]


def _cached_bytes() -> int:
    return sum(images.numel() * images.element_size() for images, _ in _cache.values())
