"""How much memory activations take at their peak, by the liveness of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from mnas.layers import NETWORK_INPUT, LayerSpec, Shape


def peak_activation_bytes(layers: Sequence[LayerSpec], element_bytes: int = 4) -> int:
    """Return the greatest sum of the tensors that live at one time, at batch 1, in bytes.

    Layers run one by one in their order. While a layer runs, its output lives, and so does each tensor - outputs of
    other layers and the network's input - that it or a later layer reads. Nothing is computed in place, activations
    belong to their layer, weights and a runtime's scratch memory do not count.

    Args:
        layers: As `mnas.layers` gives them.
        element_bytes: Of one number: 4 for float32, 1 for int8.
    """
    last_use: dict[int, int] = {}
    sizes: dict[int, int] = {layer.index: _numbers(layer.out_shape_chw) for layer in layers}
    for layer in layers:
        for source, shape in zip(layer.inputs, layer.in_shapes_chw, strict=True):
            last_use[source] = layer.index
            sizes.setdefault(source, _numbers(shape))
    peak, living = 0, {NETWORK_INPUT}
    for layer in layers:
        living.add(layer.index)
        peak = max(peak, sum(sizes[one] for one in living))
        living = {one for one in living if last_use.get(one, -1) > layer.index}
    return peak * element_bytes


def _numbers(shape: Shape) -> int:
    return prod(shape)
