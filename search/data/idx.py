"""The idx format of the MNIST family, read strictly.

Source: http://yann.lecun.com/exdb/mnist/ ("The IDX file format"): two zero bytes, a type (8 = unsigned byte), the
number of dimensions, each dimension as a big-endian 32-bit integer, then the values.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from mnas.errors import DataError

_UNSIGNED_BYTE = 0x08


def parse_idx(data: bytes, dimensions: int, source: str) -> npt.NDArray[np.uint8]:
    """Return the array of an uncompressed idx file of unsigned bytes.

    Args:
        data: The whole file.
        dimensions: How many it must have: 3 for images, 1 for labels.
        source: Name of the file, for messages.

    Raises:
        DataError: ``DAT02``: another magic number or shape, or the file is cut short or too long.
    """
    header = 4 + 4 * dimensions
    magic = bytes((0, 0, _UNSIGNED_BYTE, dimensions))
    if data[:4] != magic:
        raise _damaged(source, data[:4].hex(), f"its first four bytes must be {magic.hex()}")
    if len(data) < header:
        raise _damaged(source, f"{len(data)} bytes", f"its header alone has {header}")
    shape = struct.unpack(f">{dimensions}I", data[4:header])
    expected = header
    values = 1
    for size in shape:
        values *= size
    expected += values
    if len(data) != expected:
        raise _damaged(source, f"{len(data)} bytes", f"sizes {shape} need {expected}")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def _damaged(source: str, value: object, why: str) -> DataError:
    return DataError(
        "DAT02", f"{source} is not a whole idx file", value=value, why=why, fix="delete it and let it be fetched again"
    )
