"""The two forms of the CIFAR archives' files: fixed binary records, and pickles, which are read without running code.

Source: Krizhevsky 2009 and https://www.cs.toronto.edu/~kriz/cifar.html: an image is 3,072 bytes, 32 x 32 red, green
and blue values in this order; a binary record is a label (CIFAR-100: coarse, then fine) and an image.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.errors import DataError

PX = 32
_IMAGE_BYTES = 3 * PX * PX
Records = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]
"""Images, uint8 NCHW, and labels."""


def parse_binary(data: bytes, labels_each: int, classes: int, source: str) -> Records:
    """Return the images and labels of a file of binary records.

    Args:
        data: The whole file.
        labels_each: Labels before each image, the last of which counts: 1 for CIFAR-10, 2 for CIFAR-100.
        classes: How many there are.
        source: Name of the file, for messages.

    Raises:
        DataError: ``DAT02``: it is no whole number of records, or a label is out of range.
    """
    size = labels_each + _IMAGE_BYTES
    if not data or len(data) % size:
        raise _damaged(source, f"{len(data)} bytes", f"it must be a whole number of records of {size} bytes")
    table = np.frombuffer(data, dtype=np.uint8).reshape(-1, size)
    labels = table[:, labels_each - 1].astype(np.int64)
    return _checked(table[:, labels_each:], labels, classes, source)


class _Array:
    """Stands for numpy's array in a pickle: it keeps what the pickle says and does nothing."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Type(_Array):
    """Likewise for numpy's dtype."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__()
        self.code = arguments[0] if arguments else None


def _new_array(*_: Any) -> _Array:
    return _Array()


_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_STANDINS: dict[tuple[str, str], Any] = {
    **{(module, "_reconstruct"): _new_array for module in _MODULES},
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
}


class _Reader(pickle.Unpickler):
    """Reads plain values and arrays of bytes; every name in a pickle but numpy's three is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in that does nothing."""
        if (module, name) not in _STANDINS:
            raise pickle.UnpicklingError(f"it names {module}.{name}, and no code of a data file is run")
        return _STANDINS[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Refuse what lies elsewhere."""
        raise pickle.UnpicklingError(f"it refers to something outside it: {pid!r}")


def parse_pickle(data: bytes, label_key: str, classes: int, source: str) -> Records:
    """Return the images and labels of a pickled batch of the python version.

    Args:
        data: The whole file.
        label_key: ``labels`` for CIFAR-10, ``fine_labels`` for CIFAR-100.
        classes: How many there are.
        source: Name of the file, for messages.

    Raises:
        DataError: ``DAT02``: it is cut short or holds something else. ``DAT10``: it would run code.
    """
    try:
        found = _Reader(io.BytesIO(data), encoding="bytes").load()
        pixels = _pixels(_entry(found, "data"))
        labels = np.asarray([int(label) for label in _entry(found, label_key)], dtype=np.int64)
    except pickle.UnpicklingError as error:
        if "no code" not in str(error) and "outside it" not in str(error):
            raise _damaged(source, f"{len(data)} bytes", str(error)) from error
        fix = "take the archive from its authors, or its binary version"
        raise DataError("DAT10", f"{source} is not only data", value=source, why=str(error), fix=fix) from error
    except Exception as error:  # A pickle that is cut short can raise anything.
        why = f"{type(error).__name__}: {error}"[:200]
        raise _damaged(source, f"{len(data)} bytes", why) from error
    return _checked(pixels, labels, classes, source)


def _entry(found: Any, key: str) -> Any:
    if not isinstance(found, dict):
        raise ValueError("it is no table of images and labels")
    for name in (key.encode(), key):
        if name in found:
            return found[name]
    raise ValueError(f"it has no {key}")


def _pixels(array: Any) -> npt.NDArray[np.uint8]:
    """Return the bytes that a stand-in kept, as rows of an image each."""
    if not isinstance(array, _Array) or not isinstance(array.state, tuple) or len(array.state) != 5:
        raise ValueError("its data is no array")
    _, shape, kind, is_fortran, raw = array.state
    code = getattr(kind, "code", None)
    if code not in (b"u1", "u1") or is_fortran or not isinstance(raw, bytes) or len(shape) != 2:
        raise ValueError("its data is no plain table of bytes")
    return np.frombuffer(raw, dtype=np.uint8).reshape(int(shape[0]), int(shape[1]))


def _checked(rows: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], classes: int, source: str) -> Records:
    if rows.shape != (len(labels), _IMAGE_BYTES):
        raise _damaged(source, rows.shape, f"{len(labels)} labels need as many rows of {_IMAGE_BYTES} values")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise _damaged(source, [int(labels.min()), int(labels.max())], f"labels must be below {classes}")
    return np.ascontiguousarray(rows).reshape(-1, 3, PX, PX), labels


def _damaged(source: str, value: object, why: str) -> DataError:
    return DataError("DAT02", f"{source} is damaged", value=value, why=why, fix="delete the archive and fetch it again")
