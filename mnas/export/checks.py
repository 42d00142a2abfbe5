"""What both writers ask of a network before they write it: shapes that fit together and weights that are there."""

from __future__ import annotations

from collections.abc import Mapping

from mnas.errors import ExportError
from mnas.layers import NETWORK_INPUT, LayerSpec
from mnas.weights import LayerWeights, Weights, weight_shape

KNOWN_ACTIVATIONS = frozenset({"none", "relu", "relu6", "hswish", "hsigmoid", "sigmoid", "swish"})
_NEEDS_IMAGE = frozenset({"conv", "pool", "maxpool", "avgpool", "scale", "shuffle"})


def _refuse(layer: LayerSpec | str, value: object, why: str) -> ExportError:
    name = layer if isinstance(layer, str) else f"layer {layer.name}"
    return ExportError("EXP02", f"{name} cannot be written", value=value, why=why, fix="correct the network")


def flat_outputs(layers: tuple[LayerSpec, ...]) -> Mapping[int, bool]:
    """Return for every tensor whether it is 2-D, ``(1, channels)``, as it is behind a linear layer.

    Args:
        layers: As `mnas.layers` gives them.

    Returns:
        Layer index, or -1 for the network's input, -> 2-D or not.

    Raises:
        ExportError: ``EXP02``: no layers, an unknown activation, a name used twice, a layer that is not behind its
            inputs, or one that needs pixels behind one that has none left.
    """
    if not layers:
        raise _refuse("an empty network", "no layers", "a model file needs at least one operation")
    flat = {NETWORK_INPUT: False}
    names = {"input", "output"}
    for index, layer in enumerate(layers):
        if layer.name in names:
            raise _refuse(layer, layer.name, "its name is taken, and tensors are known by their names")
        names.add(layer.name)
        if layer.index != index or not layer.inputs or not set(layer.inputs) <= flat.keys():
            raise _refuse(layer, (layer.index, layer.inputs), "layers must be in topological order")
        if layer.activation not in KNOWN_ACTIVATIONS:
            raise _refuse(layer, layer.activation, "no such activation")
        behind = {flat[source] for source in layer.inputs}
        if len(behind) > 1 or (True in behind and layer.op in _NEEDS_IMAGE):
            raise _refuse(layer, layer.inputs, "behind a linear layer a tensor has no pixels any more")
        flat[index] = layer.op in ("linear", "flatten") or True in behind
    return flat


def layer_weights(layer: LayerSpec, weights: Weights) -> LayerWeights:
    """Return the weights of a ``conv`` or ``linear`` layer.

    Raises:
        ExportError: ``EXP02``: they are missing, or of another shape or type than the layer's.
    """
    found = weights.get(layer.index)
    if found is None:
        raise _refuse(layer, layer.index, "it has no weights")
    expected = weight_shape(layer)
    seen = (found.weight.shape, found.bias.shape, str(found.weight.dtype), str(found.bias.dtype))
    if seen != (expected, expected[:1], "float32", "float32"):
        raise _refuse(layer, seen, f"its weight must be float32 of shape {expected}, with a bias for each output")
    return found
