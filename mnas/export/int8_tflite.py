"""Writes a network as TFLite in 8-bit integers: the float writer drives a graph that rounds whatever it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from mnas.export.activation_ranges import ActivationRanges
from mnas.export.int8_plan import LOGISTIC, LOWEST, UNIT, Int8Plan, TensorParameters, plan_int8, rounded_weight
from mnas.export.tflite import write_to_graph
from mnas.export.tflite_graph import TFLiteGraph
from mnas.layers import LayerSpec
from mnas.weights import LayerWeights, Weights

INTERFACES = ("float32", "int8")
_CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}
# Source: LiteRT, tflite/tools/versioning/op_version.cc; whatever is not named here is version 1 or 2.
_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "QUANTIZE": 1, "RESHAPE": 1}
_OTHER_VERSION = 2
_ENLARGING_MUL_VERSION = 3


def write_int8_tflite(
    layers: tuple[LayerSpec, ...],
    weights: Weights,
    ranges: ActivationRanges,
    *,
    name: str = "network",
    metadata: Mapping[str, str] | None = None,
    interface: str = "float32",
) -> bytes:
    """Return a network as the bytes of a TFLite model that computes in int8.

    Input and output are those of `mnas.export.tflite.write_tflite`; equal arguments give equal bytes.

    Args:
        layers: As `mnas.layers` gives them.
        weights: Folded weights of every ``conv`` and ``linear`` layer.
        ranges: Of `mnas.export.activation_ranges.calibrate`.
        name: The subgraph's name.
        metadata: Each text becomes a metadata buffer.
        interface: ``float32``: input and output are float, a ``QUANTIZE`` and a ``DEQUANTIZE`` stand at the ends, and
            the file takes the place of a float one. ``int8``: they are integers, as between the parts of a network.

    Raises:
        ExportError: ``EXP02``: the layers do not fit together, or weights are missing or of another shape.
    """
    if interface not in INTERFACES:
        raise ValueError(f"interface must be one of {INTERFACES}")
    plan = plan_int8(layers, weights, ranges)
    entries = {"mnas.dtype": "int8", "mnas.interface_dtype": interface, **(metadata or {})}
    return write_to_graph(_Int8Graph(plan, interface), plan.layers, plan.weights, name, entries)


class _Int8Graph(TFLiteGraph):
    """Makes int8 of every float tensor, and of every float constant once it is known what it is for."""

    def __init__(self, plan: Int8Plan, interface: str) -> None:
        super().__init__()
        self._parameters = dict(plan.tensors) | {"output": plan.tensors[plan.layers[-1].name]}
        self._interface = interface
        self._of: dict[int, TensorParameters] = {}
        self._floats: dict[int, tuple[str, npt.NDArray[Any]]] = {}

    def tensor(
        self, name: str, shape: Sequence[int], dtype: str = "float32", buffer: int = 0, quantization: Any = None
    ) -> int:
        """Append a tensor; a float one becomes int8."""
        if dtype != "float32":
            return super().tensor(name, shape, dtype, buffer, quantization)
        return self._int8(name, shape, self._parameters[name])

    def _int8(self, name: str, shape: Sequence[int], parameters: TensorParameters) -> int:
        index = super().tensor(name, shape, "int8", 0, _quantization([parameters.scale], [parameters.zero_point]))
        self._of[index] = parameters
        return index

    def constant(self, name: str, values: npt.NDArray[Any], quantization: Any = None) -> int:
        """Store an array; a float one is kept aside, and a number that stands for it is returned."""
        if values.dtype != np.float32:
            return super().constant(name, values, quantization)
        stand_in = -2 - len(self._floats)
        self._floats[stand_in] = (name, values)
        return stand_in

    def operator(self, op: str, inputs: Sequence[int], output: int, options: Any = None, *, version: int = 1) -> None:
        """Append an operator in its form for int8."""
        if op == "HARD_SWISH":
            self._hard_swish(inputs[0], output)
            return
        ready = list(inputs)
        if op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            ready[1:] = self._weights(op, inputs)
        elif op == "PADV2":
            lowest = np.full(1, LOWEST, np.int8)
            pad = self._of[inputs[0]]
            ready[2] = self._stored(f"int8/lowest_{inputs[0]}", lowest, [pad.scale], [pad.zero_point])
        else:
            ready = [self._scalar(one) if one in self._floats else one for one in inputs]
        version = max(version, _VERSIONS.get(op, _OTHER_VERSION))
        if op == "MUL" and self._of[ready[0]].scale * self._of[ready[1]].scale >= self._of[output].scale:
            version = _ENLARGING_MUL_VERSION
        if op == "LOGISTIC" and self._of[output] != LOGISTIC:
            # Its output's scale is prescribed; another one costs an operator more.
            inner = self._int8(f"{self._name(output)}/logistic", self.shape(output), LOGISTIC)
            super().operator(op, ready, inner, options, version=version)
            super().operator("QUANTIZE", [inner], output, schema.QuantizeOptionsT(), version=_VERSIONS["QUANTIZE"])
            return
        super().operator(op, ready, output, options, version=version)

    def _hard_swish(self, source: int, output: int) -> None:
        """Append x * limited(x / 6 + 1/2): XNNPACK takes no int8 ``HARD_SWISH``, and TFLite's own kernel is slower.

        The sixth is exact, since only its scale differs; the limits of int8 limit the sum to 0..1.
        """
        name, shape, of = self._name(output), self.shape(output), self._of[source]
        sixth = self._int8(f"{name}/sixth", shape, TensorParameters(of.scale / 6, of.zero_point))
        gate = self._int8(f"{name}/gate", shape, UNIT)
        self.operator("MUL", [source, self.scalar("sixth", 1 / 6)], sixth, schema.MulOptionsT())
        self.operator("ADD", [sixth, self.scalar("half", 1 / 2)], gate, schema.AddOptionsT())
        self.operator("MUL", [source, gate], output, schema.MulOptionsT())

    def _weights(self, op: str, inputs: Sequence[int]) -> tuple[int, int]:
        source = self._of[inputs[0]]
        (name, values), (bias_name, bias) = self._floats[inputs[1]], self._floats[inputs[2]]
        axis = _CHANNEL_AXIS.get(op)
        rows = values if axis is None else np.moveaxis(values, axis, 0)
        rounded = rounded_weight(LayerWeights(rows, bias), source, is_per_channel=axis is not None)
        weight = rounded.weight if axis is None else np.moveaxis(rounded.weight, 0, axis)
        return (
            self._stored(name, weight, rounded.scales, [0] * len(rounded.scales), axis or 0),
            self._stored(bias_name, rounded.bias, rounded.bias_scales, [0] * len(rounded.scales)),
        )

    def _scalar(self, stand_in: int) -> int:
        """A positive constant is the highest number in units of its 127th part, and so exact."""
        name, values = self._floats[stand_in]
        scale = float(values[0]) / 127
        index = self._stored(name, np.full(1, 127, np.int8), [scale], [0])
        self._of[index] = TensorParameters(scale, 0)
        return index

    def _stored(
        self, name: str, values: npt.NDArray[Any], scales: npt.ArrayLike, zero_points: Sequence[int], axis: int = 0
    ) -> int:
        return super().constant(name, values, _quantization(scales, zero_points, axis))

    def _name(self, tensor: int) -> str:
        return str(self._tensors[tensor].name)

    def pack(self, name: str, source: int, output: int, metadata: Mapping[str, str]) -> bytes:
        """Return the model's bytes, with float ends if it has these."""
        if self._interface == "float32":
            ends = [TFLiteGraph.tensor(self, self._name(end), self.shape(end)) for end in (source, output)]
            for end in (source, output):
                self._tensors[end].name += "/int8"
            super().operator("QUANTIZE", [ends[0]], source, schema.QuantizeOptionsT(), version=_VERSIONS["QUANTIZE"])
            self._operators.insert(0, self._operators.pop())
            super().operator("DEQUANTIZE", [output], ends[1], schema.DequantizeOptionsT(), version=_OTHER_VERSION)
            source, output = ends
        return super().pack(name, source, output, metadata)


def _quantization(scales: npt.ArrayLike, zero_points: Sequence[int], axis: int = 0) -> Any:
    return schema.QuantizationParametersT(
        scale=np.asarray(scales, np.float32), zeroPoint=np.asarray(zero_points, np.int64), quantizedDimension=axis
    )
