"""Writes a network as ONNX, straight from its layers: batch 1, NCHW, float32, static shapes.

Opset 17 (IR 8) is the newest that holds every operator used here in the form in which phones' older runtimes,
too, run it: ``HardSwish`` came with 14, and nothing after 17 would change a node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, TensorProto, helper

from mnas.export.artifact import WRITER_VERSION
from mnas.export.checks import flat_outputs, layer_weights
from mnas.export.onnx_bytes import model_bytes
from mnas.layers import NETWORK_INPUT, LayerSpec
from mnas.weights import Weights

OPSET = 17
IR_VERSION = 8
PRODUCER = "mnas"
INPUT_NAME = "input"
OUTPUT_NAME = "output"
_DATA_TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


def write_onnx(
    layers: tuple[LayerSpec, ...],
    weights: Weights,
    *,
    name: str = "network",
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Return a network as the bytes of an ONNX model.

    The input ``input`` is float32 ``(1, C, H, W)``; the output ``output`` is ``(1, classes)`` behind a linear layer,
    else ``(1, C, H, W)``. Equal arguments give equal bytes.

    Args:
        layers: As `mnas.layers` gives them.
        weights: Folded weights of every ``conv`` and ``linear`` layer.
        name: The graph's name.
        metadata: Stored as the model's ``metadata_props``.

    Raises:
        ExportError: ``EXP02``: the layers do not fit together, or weights are missing or of another shape.
    """
    flat = flat_outputs(layers)
    model = ModelProto(ir_version=IR_VERSION, producer_name=PRODUCER, producer_version=WRITER_VERSION)
    model.opset_import.add(domain="", version=OPSET)
    # Everything is added in place: the helpers for graphs and models copy all weights each time.
    graph = _Graph(model.graph, layers, weights, flat)
    for layer in layers:
        graph.append(layer)
    shape = layers[-1].out_shape_chw
    output_shape = (1, shape[0]) if flat[layers[-1].index] else (1, *shape)
    # The first layer of a topological order can read nothing but the network's input.
    input_shape = (1, *layers[0].in_shapes_chw[0])
    model.graph.name = name
    model.graph.input.append(helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, input_shape))
    model.graph.output.append(helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, output_shape))
    for key, value in sorted((metadata or {}).items()):
        model.metadata_props.add(key=key, value=value)
    return model_bytes(model, graph.initializers)


class _Graph:
    """Adds nodes and initializers to a graph, one layer after another."""

    def __init__(
        self, proto: GraphProto, layers: tuple[LayerSpec, ...], weights: Weights, flat: Mapping[int, bool]
    ) -> None:
        self._proto = proto
        self._initializers: dict[str, tuple[TensorProto, npt.NDArray[Any]]] = {}
        self._weights = weights
        self._flat = flat
        self._names = {layer.index: layer.name for layer in layers}
        self._names[NETWORK_INPUT] = INPUT_NAME
        self._names[layers[-1].index] = OUTPUT_NAME

    def append(self, layer: LayerSpec) -> None:
        """Append a layer's nodes: its operator, then its activation."""
        out = self._names[layer.index]
        before = out if layer.activation == "none" else f"{layer.name}/linear"
        inputs = [self._names[source] for source in layer.inputs]
        _OPERATORS[layer.op](self, layer, inputs, before)
        self._activate(layer, before, out)

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: object) -> None:
        """Append one node, named after its output."""
        self._proto.node.append(helper.make_node(op, inputs, [output], name=output, **attributes))

    def constant(self, name: str, values: npt.NDArray[Any]) -> str:
        """Store an initializer once and return its name."""
        if name not in self._initializers:
            kind = _DATA_TYPES[str(values.dtype)]
            self._initializers[name] = (TensorProto(name=name, data_type=kind, dims=values.shape), values)
        return name

    @property
    def initializers(self) -> Iterable[tuple[TensorProto, npt.NDArray[Any]]]:
        """Name, type and dims of each constant, with its values, in the order in which they came."""
        return self._initializers.values()

    def ints(self, *values: int) -> str:
        """Store a vector of int64 and return its name; equal vectors share one."""
        return self.constant("int64/" + "_".join(map(str, values)), np.array(values, np.int64))

    def _activate(self, layer: LayerSpec, source: str, out: str) -> None:
        match layer.activation:
            case "relu":
                self.node("Relu", [source], out)
            case "relu6":
                low = self.constant("float32/0", np.array(0, np.float32))
                high = self.constant("float32/6", np.array(6, np.float32))
                self.node("Clip", [source, low, high], out)
            case "hswish":
                self.node("HardSwish", [source], out)
            case "hsigmoid":
                self.node("HardSigmoid", [source], out, alpha=1 / 6, beta=0.5)
            case "sigmoid":
                self.node("Sigmoid", [source], out)
            case "swish":
                self.node("Sigmoid", [source], f"{layer.name}/gate")
                self.node("Mul", [source, f"{layer.name}/gate"], out)

    def conv(self, layer: LayerSpec, inputs: list[str], out: str) -> None:
        """Append ``Conv``; ONNX orders pads as the layers do: top, left, bottom, right."""
        self.node(
            "Conv",
            [inputs[0], *self._weights_of(layer)],
            out,
            kernel_shape=[layer.kernel_size] * 2,
            strides=[layer.stride] * 2,
            dilations=[layer.dilation] * 2,
            pads=list(layer.padding_tlbr),
            group=layer.groups,
        )

    def linear(self, layer: LayerSpec, inputs: list[str], out: str) -> None:
        """Append ``Gemm``, behind a ``Flatten`` if the input still has pixels."""
        source = inputs[0]
        if not self._flat[layer.inputs[0]]:
            self.node("Flatten", [source], f"{layer.name}/flat", axis=1)
            source = f"{layer.name}/flat"
        self.node("Gemm", [source, *self._weights_of(layer)], out, transB=1)

    def window_pool(self, layer: LayerSpec, inputs: list[str], out: str) -> None:
        """Append ``MaxPool``, or ``AveragePool`` that counts the padding's zeros."""
        counted = {"count_include_pad": 1} if layer.op == "avgpool" else {}
        self.node(
            "AveragePool" if counted else "MaxPool",
            inputs,
            out,
            kernel_shape=[layer.kernel_size] * 2,
            strides=[layer.stride] * 2,
            pads=list(layer.padding_tlbr),
            **counted,
        )

    def slice(self, layer: LayerSpec, inputs: list[str], out: str) -> None:
        """Append ``Slice`` along the channels."""
        start, stop = layer.channel_range
        self.node("Slice", [inputs[0], self.ints(start), self.ints(stop), self.ints(1)], out)

    def shuffle(self, layer: LayerSpec, inputs: list[str], out: str) -> None:
        """Append ``Reshape``, ``Transpose``, ``Reshape``."""
        channels, height, width = layer.out_shape_chw
        split = self.ints(1, layer.groups, channels // layer.groups, height * width)
        self.node("Reshape", [inputs[0], split], f"{layer.name}/split")
        self.node("Transpose", [f"{layer.name}/split"], f"{layer.name}/swapped", perm=[0, 2, 1, 3])
        self.node("Reshape", [f"{layer.name}/swapped", self.ints(1, channels, height, width)], out)

    def _weights_of(self, layer: LayerSpec) -> tuple[str, str]:
        found = layer_weights(layer, self._weights)
        return (
            self.constant(f"{layer.name}.weight", found.weight),
            self.constant(f"{layer.name}.bias", found.bias),
        )


def _plain(op: str, **attributes: object) -> Callable[[_Graph, LayerSpec, list[str], str], None]:
    def emit(graph: _Graph, layer: LayerSpec, inputs: list[str], out: str) -> None:
        graph.node(op, inputs, out, **attributes)

    return emit


_OPERATORS: dict[str, Callable[[_Graph, LayerSpec, list[str], str], None]] = {
    "conv": _Graph.conv,
    "linear": _Graph.linear,
    "pool": _plain("GlobalAveragePool"),
    "maxpool": _Graph.window_pool,
    "avgpool": _Graph.window_pool,
    "flatten": _plain("Flatten", axis=1),
    "add": _plain("Add"),
    "scale": _plain("Mul"),
    "concat": _plain("Concat", axis=1),
    "slice": _Graph.slice,
    "shuffle": _Graph.shuffle,
}
