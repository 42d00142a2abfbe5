"""Data sets by name, or by the path of a folder of images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mnas.data_names import canonical_data, folder_and_px, is_image_folder
from mnas.errors import DataError
from search.data.cifar import CIFAR10, CIFAR100, open_cifar
from search.data.dataset import Dataset
from search.data.digits import open_digits
from search.data.fashion_mnist import open_fashion_mnist
from search.data.image_folder import folder_train_images, open_image_folder, scan_folder

DATASET_NAMES = ("fashion", "digits", "cifar10", "cifar100")


@dataclass(frozen=True, slots=True)
class DataShape:
    """What a network must fit.

    Attributes:
        channels: Of an image.
        classes: How many there are.
        px: Side of the images as they are kept.
    """

    channels: int
    classes: int
    px: int

    @classmethod
    def of(cls, dataset: Dataset) -> DataShape:
        """Return the shape of an open data set."""
        return cls(dataset.channels, dataset.classes, int(dataset.images_u8.shape[2]))


_SHAPES = {
    "fashion": DataShape(1, 10, 28),
    "digits": DataShape(1, 10, 8),
    "cifar10": DataShape(3, 10, 32),
    "cifar100": DataShape(3, 100, 32),
}


_TRAIN_IMAGES = {"fashion": 34_893, "digits": 1_014, "cifar10": 35_000, "cifar100": 35_000}
"""Of the training split, which the images' hashes decide; of CIFAR about."""


def open_dataset(name: str, folder: Path | None = None) -> Dataset:
    """Return a data set with its four splits.

    Args:
        name: One of `DATASET_NAMES`, or the path of a folder of images by class, e.g. ``./pets`` or ``./pets@64``.
        folder: Where its files lie, for those that have files; None looks in the usual places and fetches.

    Raises:
        DataError: ``DAT04``: no such data set. ``DAT01``, ``DAT02``, ``DAT15``: it is not to be had or damaged; and
            what `search.data.image_folder.open_image_folder` and `search.data.cifar.open_cifar` raise.
    """
    name = canonical_data(name)
    if is_image_folder(name):
        return open_image_folder(*folder_and_px(name))
    match name:
        case "fashion":
            return open_fashion_mnist(folder)
        case "digits":
            return open_digits()
        case "cifar10":
            return open_cifar(CIFAR10, folder)
        case "cifar100":
            return open_cifar(CIFAR100, folder)
    raise _unknown(name)


def data_shape(name: str) -> DataShape:
    """Return what a network must fit; nothing is fetched or decoded, of a folder the headers are read.

    Raises:
        DataError: ``DAT04``: no such data set; and what `search.data.image_folder.scan_folder` raises.
    """
    name = canonical_data(name)
    if is_image_folder(name):
        scan = scan_folder(*folder_and_px(name))
        return DataShape(scan.channels, len(scan.listing.class_names), scan.px)
    if name not in _SHAPES:
        raise _unknown(name)
    return _SHAPES[name]


def train_images(name: str) -> int:
    """Return about how many images are trained on; nothing is fetched or decoded, a folder is listed.

    Raises:
        DataError: As `data_shape`.
    """
    name = canonical_data(name)
    if is_image_folder(name):
        return folder_train_images(folder_and_px(name)[0])
    if name not in _TRAIN_IMAGES:
        raise _unknown(name)
    return _TRAIN_IMAGES[name]


def _unknown(name: str) -> DataError:
    known = ", ".join(DATASET_NAMES)
    if name == "imagenet":
        return DataError(
            "DAT04",
            "there is no data set of that name",
            value=name,
            why=f"the imagenet preset is for latency; known are {known}",
            fix="name the folder of its images, e.g. --data ./imagenet@64, or measure the preset with mnas lut build",
        )
    fix = f"use one of them, or name a folder of images with a separator, e.g. ./{name or 'images'}"
    return DataError("DAT04", "no such data set", value=name, why=f"known are {known}", fix=fix)
