"""Writes a network as ONNX in 8-bit integers: pairs of QuantizeLinear and DequantizeLinear, which runtimes fuse.

Each tensor of the plan is rounded by such a pair, weights and biases are integers behind a DequantizeLinear. A runtime
turns ``DequantizeLinear, Conv, QuantizeLinear`` into one integer convolution; operators that it has no integers for
(onnxruntime: HardSwish) stay float between two pairs. Activations are unsigned (the plan's numbers + 128), weights
signed: on x86 onnxruntime makes signed activations unsigned, but for tensors of several readers, and a convolution
between the two kinds it leaves float.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper

from mnas.export.activation_ranges import ActivationRanges
from mnas.export.int8_plan import LOWEST, UNIT, UNIT_OF_SIX, Int8Plan, has_channel_scales, plan_int8, rounded_weight
from mnas.export.onnx import INPUT_NAME, OUTPUT_NAME, write_onnx
from mnas.layers import LayerSpec
from mnas.weights import Weights

_DATA_TYPES = {
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "int32": TensorProto.INT32,
    "float32": TensorProto.FLOAT,
}


def write_int8_onnx(
    layers: tuple[LayerSpec, ...],
    weights: Weights,
    ranges: ActivationRanges,
    *,
    name: str = "network",
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Return a network as the bytes of an ONNX model that computes in int8; input and output stay float32.

    Input and output are those of `mnas.export.onnx.write_onnx`; equal arguments give equal bytes.

    Args:
        layers: As `mnas.layers` gives them.
        weights: Folded weights of every ``conv`` and ``linear`` layer.
        ranges: Of `mnas.export.activation_ranges.calibrate`.
        name: The graph's name.
        metadata: Stored as the model's ``metadata_props``.

    Raises:
        ExportError: ``EXP02``: the layers do not fit together, or weights are missing or of another shape.
    """
    plan = plan_int8(layers, weights, ranges)
    entries = {"mnas.dtype": "int8", "mnas.interface_dtype": "float32", **(metadata or {})}
    model = ModelProto.FromString(write_onnx(plan.layers, plan.weights, name=name, metadata=entries))
    _Rounding(model, plan).rewrite()
    return bytes(model.SerializeToString(deterministic=True))


class _Rounding:
    """Rewrites a float model's graph."""

    def __init__(self, model: ModelProto, plan: Int8Plan) -> None:
        self._graph = model.graph
        self._tensors = dict(plan.tensors) | {OUTPUT_NAME: plan.tensors[plan.layers[-1].name]}
        self._plan = plan
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._scalars: dict[tuple[float, int], tuple[str, str]] = {}
        self._reads: dict[str, int] = {}

    def rewrite(self) -> None:
        """Put a pair behind each tensor of the plan, and integers in place of weights and biases."""
        weighted = {f"{one.name}.weight": one for one in self._plan.layers if one.op in ("conv", "linear")}
        nodes = list(self._graph.node)
        dropped = set(weighted) | {f"{one.name}.bias" for one in weighted.values()}
        kept = [one for one in self._graph.initializer if one.name not in dropped]
        self._round(INPUT_NAME, INPUT_NAME)
        for node in nodes:
            layer = weighted.get(node.input[1]) if len(node.input) == 3 else None
            output = node.output[0]
            if output in self._tensors:
                node.output[0] = f"{output}/float"
            if node.op_type == "HardSwish":
                self._hard_swish(node.input[0], node.output[0])
            else:
                node.input[:] = [self._read(one) if one in self._tensors else one for one in node.input]
                if layer is not None:
                    self._weights(node, layer)
                self._nodes.append(node)
            if output in self._tensors:
                self._round(output, node.output[0])
        self._read(OUTPUT_NAME, OUTPUT_NAME)
        del self._graph.node[:], self._graph.initializer[:]
        self._graph.node.extend(self._nodes)
        self._graph.initializer.extend([*kept, *self._constants])

    def _round(self, name: str, source: str) -> None:
        self._node("QuantizeLinear", [source, *self._numbers(name)], f"{name}/int8")

    def _read(self, name: str, out: str = "") -> str:
        """Append a tensor's way back to float: one for each reader, since runtimes fuse none that is shared."""
        self._reads[name] = self._reads.get(name, 0) + 1
        out = out or f"{name}/rounded{self._reads[name]}"
        self._node("DequantizeLinear", [f"{name}/int8", *self._numbers(name)], out)
        return out

    def _numbers(self, name: str) -> tuple[str, str]:
        parameters = self._tensors[name]
        key = (parameters.scale, parameters.zero_point)
        if key not in self._scalars:
            stem = f"int8/{len(self._scalars)}"
            scale = self._store(f"{stem}/scale", np.array(parameters.scale, np.float32))
            zero = np.array(parameters.zero_point - LOWEST, np.uint8)
            self._scalars[key] = (scale, self._store(f"{stem}/zero", zero))
        return self._scalars[key]

    def _hard_swish(self, source: str, out: str) -> None:
        """Append x * limited(x + 3) / 6; the sixth costs nothing, being in the scale that the sum is read with."""
        self._tensors |= {f"{out}/sum": UNIT_OF_SIX, f"{out}/gate": UNIT}
        three = self._three()
        self._node("Add", [self._read(source), three], f"{out}/sum")
        self._round(f"{out}/sum", f"{out}/sum")
        self._node("DequantizeLinear", [f"{out}/sum/int8", *self._numbers(f"{out}/gate")], f"{out}/gate")
        self._node("Mul", [self._read(source), f"{out}/gate"], out)

    def _three(self) -> str:
        """Append the constant 3, as 255 in units of its 255th part."""
        self._reads["three"] = self._reads.get("three", 0) + 1
        name = f"three{self._reads['three']}"
        inputs = [
            self._store(f"{name}/int", np.array(255, np.uint8)),
            self._store(f"{name}/scale", np.array(3 / 255, np.float32)),
            self._store(f"{name}/zero", np.array(0, np.uint8)),
        ]
        self._node("DequantizeLinear", inputs, name)
        return name

    def _weights(self, node: NodeProto, layer: LayerSpec) -> None:
        source = "input" if layer.inputs[0] < 0 else self._plan.layers[layer.inputs[0]].name
        is_per_channel = has_channel_scales(layer)
        rounded = rounded_weight(
            self._plan.weights[layer.index], self._plan.tensors[source], is_per_channel=is_per_channel
        )
        for place, part, values, scales in (
            (1, "weight", rounded.weight, rounded.scales),
            (2, "bias", rounded.bias, rounded.bias_scales),
        ):
            name = f"{layer.name}.{part}"
            numbers = scales if is_per_channel else scales[0]
            zeros = np.zeros(numbers.shape, values.dtype)
            inputs = [
                self._store(f"{name}/int", values),
                self._store(f"{name}/scale", np.asarray(numbers)),
                self._store(f"{name}/zero", zeros),
            ]
            axis = {"axis": 0} if is_per_channel else {}
            self._node("DequantizeLinear", inputs, name, **axis)
            node.input[place] = name

    def _node(self, op: str, inputs: list[str], output: str, **attributes: object) -> None:
        self._nodes.append(helper.make_node(op, inputs, [output], name=f"{output}/{op}", **attributes))

    def _store(self, name: str, values: npt.NDArray[Any]) -> str:
        kind = _DATA_TYPES[str(values.dtype)]
        self._constants.append(TensorProto(name=name, data_type=kind, dims=values.shape, raw_data=values.tobytes()))
        return name
