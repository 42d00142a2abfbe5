"""How many bytes a network's numbers take in a model file."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from mnas.layers import LayerSpec
from mnas.weights import weight_shape

_BIAS_BYTES = 4


def stored_bytes(layers: Iterable[LayerSpec], weight_bytes: int = 4) -> int:
    """Return the bytes of all weights and biases of a model file, batch norms folded in.

    A file has names, operators and shapes beside them, some 340 bytes a layer in either format.

    Args:
        layers: As `mnas.layers` gives them.
        weight_bytes: Of each weight: 4 for float32, 1 for int8. A bias - one for each output channel - has 4 in both.
    """
    weighted = (layer for layer in layers if layer.op in ("conv", "linear"))
    return sum(weight_bytes * prod(weight_shape(layer)) + _BIAS_BYTES * layer.out_shape_chw[0] for layer in weighted)
