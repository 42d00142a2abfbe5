"""How a network is put into 8-bit integers: scale and zero point of each tensor, and weights made ready for it.

The rules are those of LiteRT's quantisation specification (https://ai.google.dev/edge/litert/models/quantization_spec),
which ONNX can express as well: activations int8, asymmetric, one scale a tensor; weights int8 in -127..127, symmetric,
one scale an output channel (one in all for a fully connected layer); biases int32 in units of input scale times weight
scale. Four things are done beside it:

- What makes no difference is left out of a range: below -3 a hard swish gives 0, whatever the number.
- A hard sigmoid behind a convolution costs nothing: with weights / 6 and bias / 6 + 1/2 the limits of int8, laid on
  0 and 1, cut the output off as the hard sigmoid would.
- A hard swish is x times that gate, in integers, wherever a runtime has no fast hard swish of them.
- Rounded weights shift the mean of each output channel; the bias takes that back. Source: Nagel et al. 2019
  (arXiv 1906.04721), section 4.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mnas.export.activation_ranges import INPUT, ActivationRanges, linear_name, tensor_name
from mnas.export.checks import layer_weights
from mnas.export.range_choice import STEPS, Limits
from mnas.export.tflite import is_activation_fused
from mnas.layers import LayerSpec
from mnas.weights import LayerWeights, Weights

LOWEST, HIGHEST = -128, 127
_SAME_IN_AND_OUT = frozenset({"concat", "slice", "shuffle", "maxpool", "avgpool", "flatten"})
"""These move numbers or average them: LiteRT's kernels want one scale for inputs and output."""
_MATTERS: Mapping[str, Limits] = {
    "hswish": (-3.0, np.inf),
    "hsigmoid": (-3.0, 3.0),
    "sigmoid": (-6.0, 6.0),
    "swish": (-8.0, np.inf),
}
"""Activation -> what of its input makes a difference to its output; for the smooth ones, one of less than 1/256."""
_LEAST_WIDTH = 1e-6
_LARGEST_BIAS = 2.0**30
_LEAST_RATIO = 2.0**-24


@dataclass(frozen=True, slots=True)
class TensorParameters:
    """What an int8 number stands for: ``scale * (number - zero_point)``."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class Int8Plan:
    """A network ready to be written.

    Attributes:
        layers: Some hard sigmoids are left to the limits of int8.
        weights: Float32, to be rounded by `rounded_weight`.
        tensors: Name of a tensor -> its parameters, under the names that the writers use.
    """

    layers: tuple[LayerSpec, ...]
    weights: Weights
    tensors: Mapping[str, TensorParameters]


@dataclass(frozen=True, slots=True)
class RoundedWeights:
    """Integer weights of a layer.

    Attributes:
        weight: int8, shaped as the float weight.
        bias: int32, ``(out,)``.
        scales: float32, ``(out,)``, or ``(1,)`` where all channels share one.
        bias_scales: float32, likewise: the input's scale times these.
    """

    weight: npt.NDArray[np.int8]
    bias: npt.NDArray[np.int32]
    scales: npt.NDArray[np.float32]
    bias_scales: npt.NDArray[np.float32]


UNIT = TensorParameters(1 / STEPS, LOWEST)
"""0..1."""
UNIT_OF_SIX = TensorParameters(6 / STEPS, LOWEST)
"""0..6 with the numbers that stand for 0..1 in `UNIT`."""
LOGISTIC = TensorParameters(1 / 256, LOWEST)
"""The output that LiteRT prescribes for a sigmoid."""


def parameters_of(limits: Limits) -> TensorParameters:
    """Return the finest parameters that span a range; zero is always in it, and exact."""
    low, high = min(limits[0], 0.0), max(limits[1], 0.0)
    scale = float(np.float32(max(high - low, _LEAST_WIDTH) / STEPS))
    return TensorParameters(scale, int(np.clip(round(LOWEST - low / scale), LOWEST, HIGHEST)))


def plan_int8(
    layers: tuple[LayerSpec, ...], weights: Weights, ranges: ActivationRanges, *, corrects_bias: bool = True
) -> Int8Plan:
    """Choose parameters for every tensor and prepare the weights.

    Args:
        layers: As `mnas.layers` gives them.
        weights: Folded weights of every ``conv`` and ``linear`` layer.
        ranges: Of `calibrate`, for the same layers and weights.
        corrects_bias: Take back what rounding the weights does to the mean.
    """
    groups = _groups(layers)
    gates = {
        layer.index
        for layer in layers
        if layer.op in ("conv", "linear") and layer.activation == "hsigmoid" and len(groups[layer.name]) == 1
    }
    planned = tuple(replace(one, activation="none") if one.index in gates else one for one in layers)
    ready = {index: _as_gate(found) if index in gates else found for index, found in weights.items()}
    tensors = _group_parameters(layers, groups, ranges)
    tensors |= {layers[index].name: UNIT for index in gates}
    for layer in planned:
        tensors |= _cut_off(layer, tensors[layer.name], ranges)
        for name, parameters in _inner(layer, tensors[tensor_name(layers, layer.inputs[0])]):
            tensors[name] = parameters
    if corrects_bias:
        for layer in planned:
            if layer.op in ("conv", "linear"):
                ready[layer.index] = _corrected(layer, ready, tensors[tensor_name(layers, layer.inputs[0])], ranges)
    return Int8Plan(planned, ready, tensors)


def _groups(layers: tuple[LayerSpec, ...]) -> dict[str, set[str]]:
    """Return for each tensor those that must share its parameters, itself among them."""
    groups: dict[str, set[str]] = {INPUT: {INPUT}}
    for layer in layers:
        before = layer.name if is_activation_fused(layer) else linear_name(layer)
        for name in {before, layer.name}:
            groups[name] = {name}
        if layer.op in _SAME_IN_AND_OUT:
            for source in layer.inputs:
                merged = groups[before] | groups[tensor_name(layers, source)]
                for name in merged:
                    groups[name] = merged
    return groups


def _group_parameters(
    layers: tuple[LayerSpec, ...], groups: Mapping[str, set[str]], ranges: ActivationRanges
) -> dict[str, TensorParameters]:
    limits = dict(ranges.limits)
    for layer in layers:
        if layer.activation in _MATTERS:
            least, most = _MATTERS[layer.activation]
            low, high = limits[linear_name(layer)]
            limits[linear_name(layer)] = max(low, least), min(high, most)
    return {
        name: parameters_of((min(limits[one][0] for one in group), max(limits[one][1] for one in group)))
        for name, group in groups.items()
    }


def _cut_off(layer: LayerSpec, output: TensorParameters, ranges: ActivationRanges) -> dict[str, TensorParameters]:
    """Where the output's own limits do not act as its ReLU, what the ReLU is applied to needs limits that do."""
    if not is_activation_fused(layer) or layer.activation == "none":
        return {}
    top = 6.0 if layer.activation == "relu6" else np.inf
    if output.zero_point == LOWEST and output.scale * STEPS <= top + _LEAST_WIDTH:
        return {}
    return {linear_name(layer): parameters_of((0.0, min(top, ranges.limits[layer.name][1])))}


def _inner(layer: LayerSpec, source: TensorParameters) -> Iterator[tuple[str, TensorParameters]]:
    """Yield the tensors that a writer needs inside a layer."""
    for part in ("pad", "longer", "flat", "split", "swapped"):
        yield f"{layer.name}/{part}", source
    yield f"{layer.name}/gate", LOGISTIC
    yield f"{layer.name}/relu6", parameters_of((0.0, 6.0))


def _as_gate(found: LayerWeights) -> LayerWeights:
    return LayerWeights(found.weight / np.float32(6), found.bias / np.float32(6) + np.float32(0.5))


def rounded_weight(found: LayerWeights, source: TensorParameters, *, is_per_channel: bool) -> RoundedWeights:
    """Round a layer's weights.

    Args:
        found: Its float32 weights.
        source: Parameters of its input.
        is_per_channel: One scale for each output channel.
    """
    rows = found.weight.reshape(len(found.weight), -1)
    # A channel of tiny weights may still have a bias, which must fit into 32 bits in its units.
    needed = np.maximum(np.abs(rows).max(1) / HIGHEST, np.abs(found.bias) / (source.scale * _LARGEST_BIAS))
    needed = np.maximum(needed, max(float(needed.max()) * _LEAST_RATIO, float(np.finfo(np.float32).tiny)))
    scales = (needed if is_per_channel else needed.max(keepdims=True)).astype(np.float32)
    weight = np.clip(np.rint(rows / scales[:, None]), -HIGHEST, HIGHEST).astype(np.int8)
    bias_scales = np.float32(source.scale) * scales
    bias = np.rint(found.bias.astype(np.float64) / bias_scales).astype(np.int32)
    return RoundedWeights(weight.reshape(found.weight.shape), bias, scales, bias_scales)


def has_channel_scales(layer: LayerSpec) -> bool:
    """Tell whether each output channel has a scale: in convolutions, whose batch norms were folded in."""
    return layer.op == "conv"


def _corrected(layer: LayerSpec, weights: Weights, source: TensorParameters, ranges: ActivationRanges) -> LayerWeights:
    found = layer_weights(layer, weights)
    rounded = rounded_weight(found, source, is_per_channel=has_channel_scales(layer))
    scales = rounded.scales.reshape(-1, *[1] * (found.weight.ndim - 1))
    error = rounded.weight * scales - found.weight
    per_input = error.reshape(*error.shape[:2], -1).sum(2, dtype=np.float64)
    means = ranges.input_means[layer.index].reshape(layer.groups, -1)
    group = np.arange(len(per_input)) * layer.groups // len(per_input)
    shift = (per_input * means[group]).sum(1)
    return LayerWeights(found.weight, (found.bias - shift).astype(np.float32))
