"""Decoded images on the disk, mapped into memory: written whole, found by what they were made from."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs

from mnas.errors import DataError
from mnas.jsonio import sha256_json, write_json_atomic

_RULE = 1
_SPARE_BYTES = 256 << 20
Pixels = npt.NDArray[np.uint8]


def dataset_folder(name: str) -> Path:
    """Return the folder in the user's cache where what belongs to a data set is kept."""
    return Path(platformdirs.user_cache_dir("mnas")) / "datasets" / name


class ImageCache:
    """Arrays of images, ``<content>.npy``, and what was found beside them, ``<key>.json``.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, source: Any) -> tuple[Pixels, dict[str, Any]] | None:
        """Return what was made from a source, or None; what is damaged counts as not there.

        Args:
            source: A value of JSON that stands for everything that the images were made from.

        Returns:
            uint8, NCHW, mapped copy-on-write; and what was kept beside.
        """
        try:
            kept = json.loads(self._index(source).read_text(encoding="utf-8"))
            name, shape = kept["content"], tuple(kept["shape"])
            if not re.fullmatch(r"[0-9a-f]{64}", name):
                return None
            images = np.load(self.folder / f"{name}.npy", mmap_mode="c", allow_pickle=False)
            # A plain view: each index into a memory map would make a new object of its class, slowly.
            pixels = images.view(np.ndarray)[: shape[0]]
            facts = kept["facts"]
        except (OSError, ValueError, KeyError, TypeError, EOFError):
            return None
        is_whole = pixels.dtype == np.uint8 and pixels.shape == shape and content_of(pixels) == name
        return (pixels, facts) if is_whole and isinstance(facts, dict) else None

    def make(
        self, source: Any, shape: tuple[int, int, int, int], fill: Callable[[Pixels], tuple[int, dict[str, Any]]]
    ) -> tuple[Pixels, dict[str, Any]]:
        """Make an array and keep it.

        Args:
            source: As for `load`.
            shape: NCHW, with as many images as there can be.
            fill: Fills the array; returns how many images there are, and what to keep beside them.

        Raises:
            DataError: ``DAT09``: the disk has no room for it, or cannot be written.
        """
        with _room(self.folder, shape) as temporary:
            images = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
            count, facts = fill(images.view(np.ndarray))
            images.flush()
            content = content_of(images.view(np.ndarray)[:count])
            os.replace(temporary, self.folder / f"{content}.npy")
            kept = {"content": content, "shape": [count, *shape[1:]], "facts": facts}
            write_json_atomic(self._index(source), kept)
        return images.view(np.ndarray)[:count], facts

    def _index(self, source: Any) -> Path:
        return self.folder / f"{sha256_json([_RULE, source])}.json"


def content_of(images: Pixels) -> str:
    """Return the SHA-256 of images and their shape."""
    digest = hashlib.sha256(str(images.shape).encode())
    for start in range(0, len(images), 1024):
        digest.update(np.ascontiguousarray(images[start : start + 1024]).data)
    return digest.hexdigest()


@contextmanager
def _room(folder: Path, shape: tuple[int, ...]) -> Iterator[Path]:
    """Give a temporary file in a folder that has room for an array; it goes when it was not moved away."""
    needed = int(np.prod(shape, dtype=np.float64))
    temporary: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if needed + _SPARE_BYTES > free:
            raise _no_room(folder, f"{needed / 2**20:,.0f} MiB are needed and {free / 2**20:,.0f} MiB are free")
        handle, name = tempfile.mkstemp(dir=folder, prefix=".images.", suffix=".npy")
        os.close(handle)
        temporary = Path(name)
        yield temporary
    except OSError as error:
        raise _no_room(folder, error.strerror or str(error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _no_room(folder: Path, why: str) -> DataError:
    return DataError(
        "DAT09",
        "the decoded images cannot be kept",
        value=str(folder),
        why=why,
        fix="make room, keep them smaller (DIR@64), or set XDG_CACHE_HOME to a larger disk",
    )
