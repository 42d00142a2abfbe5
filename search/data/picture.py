"""One image file as pixels: any mode and size in, uint8 of one size out, damaged and hostile files refused."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from mnas.errors import DataError
from mnas.limits import MOST_PIXELS

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""Of these none runs other programs, as that of PostScript would."""
_GREY = ("1", "L", "LA", "La", "I")
_LEVELS_OF_16_BIT = 257


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What the header of an image file says.

    Attributes:
        mode: As PIL names it, e.g. ``RGB``, ``L``, ``P``, ``RGBA``, ``CMYK``, ``I;16``.
        width_px: Before any rotation.
        height_px: Likewise.
    """

    mode: str
    width_px: int
    height_px: int

    @property
    def is_grey(self) -> bool:
        """Return whether there is no colour in it."""
        return self.mode in _GREY or self.mode.startswith("I;16")


@contextmanager
def strict_pictures() -> Iterator[None]:
    """Make PIL's warning of decompression bombs an error; to be entered once around all threads that read."""
    with warnings.catch_warnings():
        # What else it warns of, e.g. odd metadata, does not touch the pixels.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def read_facts(path: Path) -> PictureFacts:
    """Read an image's header.

    Raises:
        DataError: ``DAT12``: it is no image of the known formats, or too large.
    """
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            return _facts(picture)
    except Exception as error:  # A decoder raises whatever it stumbles over in a damaged file.
        raise _unreadable(path, error) from error


def read_picture(path: Path, px: int, channels: int) -> npt.NDArray[np.uint8]:
    """Read an image: turned as its EXIF tag says, on white where it is transparent, resized.

    Args:
        path: The file.
        px: Side of the result; the image is stretched to a square, bilinearly with antialiasing.
        channels: 1 (grey) or 3 (RGB).

    Returns:
        uint8, ``(channels, px, px)``.

    Raises:
        DataError: ``DAT12``: it cannot be decoded to its end, or is too large.
    """
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            _facts(picture)
            if picture.format == "JPEG":
                picture.draft(None, (px, px))
            flat = _flattened(ImageOps.exif_transpose(picture)).convert("L" if channels == 1 else "RGB")
            if flat.size != (px, px):
                flat = flat.resize((px, px), Image.Resampling.BILINEAR)
            pixels = np.asarray(flat, np.uint8).reshape(px, px, channels)
            return np.ascontiguousarray(pixels.transpose(2, 0, 1))
    except Exception as error:  # As above.
        raise _unreadable(path, error) from error


def _facts(picture: Image.Image) -> PictureFacts:
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than the {MOST_PIXELS:,} that are allowed")
    if picture.mode == "F":
        raise ValueError("its pixels are floats, whose range nobody knows")
    return PictureFacts(picture.mode, width, height)


def _flattened(picture: Image.Image) -> Image.Image:
    """Return an image of 8 bits without transparency."""
    if picture.mode.startswith("I"):
        # 16 bits a pixel: a plain conversion would cut off at 255.
        levels = np.asarray(picture, np.float64) / _LEVELS_OF_16_BIT
        return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        solid = picture.convert("RGBA")
        ground = Image.new("RGBA", solid.size, (255, 255, 255, 255))
        ground.alpha_composite(solid)
        return ground.convert("RGB")
    return picture


def _unreadable(path: Path, error: Exception) -> DataError:
    why = f"{type(error).__name__}: {error}"[:200]
    return DataError("DAT12", "an image cannot be read", value=path.name, why=why, fix="mend or remove the file")
