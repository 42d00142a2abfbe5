"""How large a network or an image may be to be read at all: what nothing could hold is refused by its description."""

from __future__ import annotations

from collections.abc import Iterable

from mnas.errors import ArchitectureError
from mnas.layers import LayerSpec

MOST_BLOCKS = 4096
"""Blocks of a network."""
MOST_PARAMS = 10**12
MOST_FEATURES = 10**12
"""Numbers in the output of one layer."""
MOST_WRITTEN = 1 << 29
"""Parameters of a model file, and numbers in one output: ONNX and TFLite count 2 GiB, and floats have 4 bytes."""
MOST_PIXELS = 64_000_000
"""Of one image; more is taken for a decompression bomb."""


def require_holdable(layers: Iterable[LayerSpec]) -> None:
    """Check parameters and features of layers.

    Raises:
        ArchitectureError: ``ARC06``: there are too many; the message names the number and the layer.
    """
    _require(layers, MOST_PARAMS, MOST_FEATURES, "read")


def require_writable(layers: Iterable[LayerSpec]) -> None:
    """Check that a model file can hold the layers, before anything is built of them.

    Raises:
        ArchitectureError: ``ARC06``: they are too large for one; the message names the number and the layer.
    """
    _require(layers, MOST_WRITTEN, MOST_WRITTEN, "written into a model file or trained")


def _require(layers: Iterable[LayerSpec], most_params: int, most_features: int, done: str) -> None:
    params = 0
    for layer in layers:
        params += layer.params
        if params > most_params:
            raise absurd(f"layer {layer.name}: too many parameters up to here", params, most_params, done)
        channels, height, width = layer.out_shape_chw
        if channels * height * width > most_features:
            seen = channels * height * width
            raise absurd(f"layer {layer.name}: too large an output", seen, most_features, done)


def absurd(what: str, seen: int, most: int, done: str = "read") -> ArchitectureError:
    """Return the error of a network that is too large."""
    return ArchitectureError(
        "ARC06", what, value=f"{seen:.4g}", why=f"at most {most:.4g} are {done}", fix="make the network smaller"
    )
