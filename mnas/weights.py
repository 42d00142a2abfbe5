"""The folded weights of a network: what the writers need beside the layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mnas.layers import LayerSpec

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """Weights of one ``conv`` or ``linear`` layer with its batch norm folded in.

    Attributes:
        weight: float32; ``(out, in / groups, k, k)`` for a convolution, ``(out, in)`` for a linear layer.
        bias: float32, ``(out,)``.
    """

    weight: FloatArray
    bias: FloatArray


Weights = Mapping[int, LayerWeights]
"""Layer index -> folded weights, for every ``conv`` and ``linear`` layer."""


def weight_shape(layer: LayerSpec) -> tuple[int, ...]:
    """Return the shape of a ``conv`` or ``linear`` layer's weight."""
    channels, out = layer.in_shapes_chw[0][0], layer.out_shape_chw[0]
    if layer.op == "linear":
        return (out, channels)
    return (out, channels // layer.groups, layer.kernel_size, layer.kernel_size)


def random_weights(layers: Iterable[LayerSpec], rng: np.random.Generator) -> dict[int, LayerWeights]:
    """Draw weights of He's variance, so that activations keep their size and no denormal slows a measurement.

    Source: He et al. 2015 (arXiv 1502.01852), uniform form.
    """
    weights: dict[int, LayerWeights] = {}
    for layer in layers:
        if layer.op in ("conv", "linear"):
            shape = weight_shape(layer)
            bound = np.float32((6.0 / np.prod(shape[1:])) ** 0.5)
            weight = rng.random(shape, dtype=np.float32)
            weight *= 2  # in place: for a whole network, fresh pages would take longer than the numbers
            weight -= 1
            weight *= bound
            bias = (rng.random(shape[0], dtype=np.float32) - np.float32(0.5)) * np.float32(0.2)
            weights[layer.index] = LayerWeights(weight, bias)
    return weights
