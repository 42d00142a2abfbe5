"""Images that a person gives in order to quantise a network: a folder of PNG, JPEG or NPY files."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Pictures

from mnas.errors import DataError
from mnas.export.parity import Image
from mnas.limits import MOST_PIXELS
from mnas.preprocessing import Preprocessing

SUFFIXES = (".png", ".jpg", ".jpeg", ".npy")
DEFAULT_IMAGES = 256
LEAST_IMAGES = 8
"""Fewer say too little of the largest activations."""
HELD_OUT = 4
"""One image of so many is kept to compare on."""
LEAST_TO_HOLD_OUT = 16
"""Of fewer images all calibrate, and networks are compared on the same ones."""
_MOST_CHANNELS = 3
_FORMATS = ("PNG", "JPEG")
"""By content; among PIL's others are some that run programs, as that of PostScript does."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The images of a folder, each float32 ``(n, C, H, W)``.

    Attributes:
        calibration: They set the ranges of activations.
        compared: Both networks are run on them.
        labels: Class of each compared image, ``(n,)``; ``None`` where the folder does not tell of all of them.
        is_held_out: Whether the compared images calibrated nothing.
    """

    calibration: Image
    compared: Image
    labels: npt.NDArray[np.int64] | None
    is_held_out: bool


def read_image_set(
    folder: Path, preprocessing: Preprocessing, class_labels: Sequence[str] = (), limit: int = DEFAULT_IMAGES
) -> ImageSet:
    """Return images to calibrate with and, of `LEAST_TO_HOLD_OUT` or more, every fourth apart to compare on.

    A compared image's class is the folder that it lies in; names are compared in small letters, and whatever is neither
    letter nor digit is alike in them ("T-shirt/top" may be ``t-shirt_top``).

    Args:
        folder: As for `read_calibration_images`.
        preprocessing: Of the network.
        class_labels: Of the network's outputs in order, where they are known.
        limit: At most so many calibrate, and a third as many are compared on.

    Raises:
        DataError: As `read_calibration_images`.
    """
    paths = _chosen_paths(folder, limit + limit // (HELD_OUT - 1))
    images = np.concatenate([_read(path, preprocessing) for path in paths])
    is_held_out = len(paths) >= LEAST_TO_HOLD_OUT
    is_compared = np.arange(len(paths)) % HELD_OUT == HELD_OUT - 1 if is_held_out else np.ones(len(paths), bool)
    labels = _labels([path for path, is_one in zip(paths, is_compared, strict=True) if is_one], folder, class_labels)
    return ImageSet(images[~is_compared] if is_held_out else images, images[is_compared], labels, is_held_out)


def _labels(paths: Sequence[Path], folder: Path, class_labels: Sequence[str]) -> npt.NDArray[np.int64] | None:
    places = {_plain(label): place for place, label in enumerate(class_labels)}
    if len(places) != len(class_labels):
        return None
    folders = [path.parent.name if path.parent != folder else None for path in paths]
    found = [None if name is None else places.get(_plain(name)) for name in folders]
    known = [place for place in found if place is not None]
    return np.array(known, np.int64) if known and len(known) == len(found) else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().casefold()


def read_calibration_images(folder: Path, preprocessing: Preprocessing, limit: int = DEFAULT_IMAGES) -> Image:
    """Return a folder's images, ready for the network, float32 ``(n, C, H, W)``.

    Folders inside it are searched too, but not those that links lead to; a link to an image in the folder is that
    image. Of more images than ``limit`` those are taken that lie evenly spread in the order of their names, so that
    each class folder is heard. An NPY file holds one image: uint8 pixels, ``(H, W)`` or ``(H, W, C)``, or what the
    network takes, float ``(C, H, W)``.

    Args:
        folder: With at least `LEAST_IMAGES` images.
        preprocessing: Of the network.
        limit: At most so many are read.

    Raises:
        DataError: ``DAT08``: a link leads out of the folder. ``DAT11``: no such folder, or no images in it. ``DAT12``:
            a file cannot be read as an image of this network. ``DAT13``: too few images.
    """
    return np.concatenate([_read(path, preprocessing) for path in _chosen_paths(folder, limit)])


def _chosen_paths(folder: Path, limit: int) -> list[Path]:
    paths = _image_paths(folder)
    if len(paths) < LEAST_IMAGES:
        raise DataError(
            "DAT13",
            "too few images to calibrate with",
            value=f"{len(paths)} in {folder}",
            why=f"the ranges of activations need at least {LEAST_IMAGES}, better {DEFAULT_IMAGES}",
            fix="add images of the kind that the network will see",
        )
    step = max(1.0, len(paths) / max(limit, LEAST_IMAGES))
    return [paths[int(place * step)] for place in range(min(len(paths), max(limit, LEAST_IMAGES)))]


def _image_paths(folder: Path) -> list[Path]:
    named = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.is_dir())
    lost = next((path for path in named if not path.is_file()), None)
    if lost is not None:
        raise _unreadable(lost, str(lost), "it is a link to nothing" if lost.is_symlink() else "it is no file")
    _require_inside(folder, named)
    if not named:
        raise DataError(
            "DAT11",
            "there are no calibration images",
            value=str(folder),
            why=f"no file ends in {', '.join(SUFFIXES)}" if folder.is_dir() else "it is no folder",
            fix="name a folder of images of the kind that the network will see",
        )
    return named


def _require_inside(folder: Path, paths: Sequence[Path]) -> None:
    """Refuse links out of the folder: whoever made it may not choose which files of this machine are read."""
    root = folder.resolve()
    stray = next((path for path in paths if path.is_symlink() and not path.resolve().is_relative_to(root)), None)
    if stray is not None:
        raise DataError(
            "DAT08",
            "a calibration image is not followed",
            value=str(stray),
            why=f"the link leads out of {root}",
            fix="copy what is meant into the folder, or remove it",
        )


def _read(path: Path, preprocessing: Preprocessing) -> Image:
    pixels = _array(path) if path.suffix.lower() == ".npy" else _picture(path, preprocessing.channels)
    if np.issubdtype(pixels.dtype, np.floating):
        return _prepared(path, pixels, preprocessing)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != preprocessing.channels or pixels.size == 0:
        raise _unreadable(
            path,
            (str(pixels.dtype), pixels.shape),
            f"pixels must be uint8 (height, width, {preprocessing.channels})",
        )
    chw = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]
    return np.ascontiguousarray(preprocessing.apply(chw).numpy(), dtype=np.float32)


def _prepared(path: Path, values: npt.NDArray[Any], preprocessing: Preprocessing) -> Image:
    shape = (preprocessing.channels, preprocessing.px, preprocessing.px)
    if values.shape != shape or not np.isfinite(values).all():
        raise _unreadable(path, values.shape, f"floats must be finite, prepared already, and of shape {shape}")
    return values[None].astype(np.float32)


def _array(path: Path) -> npt.NDArray[Any]:
    try:
        with path.open("rb") as file:
            _require_holdable(file)
            file.seek(0)
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except Exception as error:  # A header is a Python literal, and damaged ones raise whatever its parser does.
        raise _unreadable(path, str(path), f"{type(error).__name__}: {error}"[:200]) from error


def _require_holdable(file: BinaryIO) -> None:
    """Check that a file holds all that its header says, before memory is asked for."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("only version 1.0 of the format is read, which numpy writes for all arrays of numbers")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    numbers = math.prod(shape)
    if min(shape, default=0) < 0 or numbers > MOST_PIXELS * _MOST_CHANNELS:
        raise ValueError(f"an array of shape {shape} is no image, or one of more than {MOST_PIXELS:,} pixels")
    there = os.fstat(file.fileno()).st_size - file.tell()
    if numbers * dtype.itemsize > there:
        raise ValueError(f"its header says {numbers * dtype.itemsize:,} bytes of data, and {there:,} are there")


def _picture(path: Path, channels: int) -> npt.NDArray[np.uint8]:
    try:
        with Pictures.open(path, formats=_FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} pixels are more than {MOST_PIXELS:,}")
            if picture.mode.startswith("I"):
                # 16 bits a pixel: a plain conversion would cut off at 255.
                shade = (np.asarray(picture, np.float64) / 257).round().clip(0, 255).astype(np.uint8)
                return np.repeat(shade[:, :, None], channels, axis=2)
            return np.asarray(picture.convert("L" if channels == 1 else "RGB"), np.uint8)
    except Exception as error:  # A decoder raises whatever it stumbles over in a damaged file.
        raise _unreadable(path, str(path), f"{type(error).__name__}: {error}"[:200]) from error


def _unreadable(path: Path, value: object, why: str) -> DataError:
    return DataError(
        "DAT12",
        f"the calibration image {path.name} cannot be used",
        value=value,
        why=why,
        fix="mend or remove the file",
    )
