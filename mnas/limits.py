"""How large a network may be to be read at all: what nothing could hold is refused while it is still a description."""

from __future__ import annotations

from collections.abc import Iterable

from mnas.errors import ArchitectureError
from mnas.layers import LayerSpec

MOST_BLOCKS = 4096
"""Blocks of a network."""
MOST_PARAMS = 10**12
MOST_FEATURES = 10**12
"""Numbers in the output of one layer."""


def require_holdable(layers: Iterable[LayerSpec]) -> None:
    """Check parameters and features of layers.

    Raises:
        ArchitectureError: ``ARC06``: there are too many; the message names the number and the layer.
    """
    params = 0
    for layer in layers:
        params += layer.params
        if params > MOST_PARAMS:
            raise absurd(f"layer {layer.name}: too many parameters up to here", params, MOST_PARAMS)
        channels, height, width = layer.out_shape_chw
        if channels * height * width > MOST_FEATURES:
            raise absurd(f"layer {layer.name}: too large an output", channels * height * width, MOST_FEATURES)


def absurd(what: str, seen: int, most: int) -> ArchitectureError:
    """Return the error of a network that is too large."""
    return ArchitectureError(
        "ARC06", what, value=f"{seen:.4g}", why=f"at most {most:.4g} are read", fix="make the network smaller"
    )
