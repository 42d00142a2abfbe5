"""Data sets by name."""

from __future__ import annotations

from pathlib import Path

from mnas.errors import DataError
from search.data.dataset import Dataset
from search.data.digits import open_digits
from search.data.fashion_mnist import open_fashion_mnist

DATASET_NAMES = ("fashion", "digits")


def open_dataset(name: str, folder: Path | None = None) -> Dataset:
    """Return a data set with its four splits.

    Args:
        name: One of `DATASET_NAMES`.
        folder: Where its files lie, for those that have files; None looks in the usual places and fetches.

    Raises:
        DataError: ``DAT04``: no such data set. ``DAT01``, ``DAT02``: it is not to be had or damaged.
    """
    if name == "fashion":
        return open_fashion_mnist(folder)
    if name == "digits":
        return open_digits()
    known = ", ".join(DATASET_NAMES)
    if name == "imagenet":
        raise DataError(
            "DAT04",
            "there is no reader for this data set yet",
            value=name,
            why="the imagenet preset is for latency; networks cannot be trained on it here",
            fix=f"search on one of {known}, or measure the preset with mnas lut build",
        )
    raise DataError("DAT04", "no such data set", value=name, why=f"known are {known}", fix="use one of them")
