"""Writes a network as TFLite, straight from its layers: batch 1, NHWC, float32, static shapes.

Padding is torch's exactly. TFLite's ``SAME`` puts the odd pixel behind, torch puts as many before as behind, so
``SAME`` stands only where both come to the same; elsewhere an explicit ``PAD`` precedes a ``VALID`` convolution.
Operator versions are the least ones that can do what is asked.
Source of the versions: LiteRT, tflite/tools/versioning/op_version.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mnas.export.artifact import WRITER_VERSION
from mnas.export.checks import flat_outputs, layer_weights
from mnas.export.tflite_graph import TFLiteGraph
from mnas.layers import LAYER_OPS, NETWORK_INPUT, LayerSpec
from mnas.weights import Weights

INPUT_NAME = "input"
OUTPUT_NAME = "output"
_WRITER_KEY = "mnas.writer_version"
_FUSED = {
    "none": schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}
_FUSING_OPS = frozenset({"conv", "linear", "maxpool", "avgpool", "add", "scale"})
_NON_NEGATIVE = frozenset({"relu", "relu6", "hsigmoid", "sigmoid"})
_KEEPS_SIGN = frozenset({"pool", "maxpool", "avgpool", "add", "scale", "concat", "slice", "shuffle"})
_LOWEST = float(np.finfo(np.float32).min)
_GROUPED_CONV_VERSION = 6
_DILATED_DEPTHWISE_VERSION = 2


def write_tflite(
    layers: tuple[LayerSpec, ...],
    weights: Weights,
    *,
    name: str = "network",
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Return a network as the bytes of a TFLite model.

    The input ``input`` is float32 ``(1, H, W, C)``; the output ``output`` is ``(1, classes)`` behind a linear layer,
    else ``(1, H, W, C)``. Both are in the signature ``serving_default``. Equal arguments give equal bytes.

    Args:
        layers: As `mnas.layers` gives them.
        weights: Folded weights of every ``conv`` and ``linear`` layer.
        name: The subgraph's name.
        metadata: Each text becomes a metadata buffer.

    Raises:
        ExportError: ``EXP02``: the layers do not fit together, or weights are missing or of another shape.
    """
    return write_to_graph(TFLiteGraph(), layers, weights, name, metadata or {})


def write_to_graph(
    graph: TFLiteGraph, layers: tuple[LayerSpec, ...], weights: Weights, name: str, metadata: Mapping[str, str]
) -> bytes:
    """Append a network to an empty graph and return the model's bytes; see `write_tflite`."""
    writer = _Writer(graph, layers, weights)
    for layer in layers:
        writer.append(layer)
    entries = {_WRITER_KEY: WRITER_VERSION, **metadata}
    return graph.pack(name, writer.tensors[NETWORK_INPUT], writer.tensors[layers[-1].index], entries)


def is_activation_fused(layer: LayerSpec) -> bool:
    """Tell whether a layer's activation is part of its operator; else it is an operator of its own behind it."""
    return layer.activation in _FUSED and (layer.op in _FUSING_OPS or layer.activation == "none")


def same_padding_is_torchs(layer: LayerSpec) -> bool:
    """Tell whether TFLite's ``SAME`` pads a convolution as torch does, for this size of input."""
    reach = layer.dilation * (layer.kernel_size - 1) + 1
    top, left, _, _ = layer.padding_tlbr
    for size, out, before in zip(layer.in_shapes_chw[0][1:], layer.out_shape_chw[1:], (top, left), strict=True):
        total = max((out - 1) * layer.stride + reach - size, 0)
        if out != -(-size // layer.stride) or total // 2 != before:
            return False
    return True


def prolongation(layer: LayerSpec) -> tuple[int, int] | None:
    """Return by how much an image must grow below and to the right for ``SAME`` to pad a maximum as torch does.

    With a size of ``1 mod stride`` ``SAME`` pads alike on both sides; that makes one more window at the end.

    Returns:
        Rows and columns, 0 where the size is such already; ``None`` where a window that counts would reach into them.
    """
    grown = []
    for size, out, pad in zip(layer.in_shapes_chw[0][1:], layer.out_shape_chw[1:], layer.padding_tlbr, strict=False):
        behind = size - 1 - (out - 1) * layer.stride  # pixels behind the centre of the last window
        if 0 < behind < pad:
            return None
        grown.append(layer.stride - behind if behind else 0)
    return grown[0], grown[1]


class _Writer:
    """Appends one layer after another to a graph."""

    def __init__(self, graph: TFLiteGraph, layers: tuple[LayerSpec, ...], weights: Weights) -> None:
        self._flat = flat_outputs(layers)
        self._weights = weights
        self._last = layers[-1].index
        self.graph = graph
        # The first layer of a topological order can read nothing but the network's input.
        channels, height, width = layers[0].in_shapes_chw[0]
        self.tensors = {NETWORK_INPUT: self.graph.tensor(INPUT_NAME, (1, height, width, channels))}
        self._non_negative: set[int] = set()

    def append(self, layer: LayerSpec) -> None:
        """Append a layer's operators; its activation is fused where TFLite can, else it follows."""
        fused = is_activation_fused(layer)
        inputs = [self.tensors[source] for source in layer.inputs]
        name = OUTPUT_NAME if layer.index == self._last else layer.name
        before = self._tensor(layer, name if fused else f"{layer.name}/linear")
        _OPERATORS[layer.op](self, layer, inputs, before)
        if not fused:
            after = self._tensor(layer, name)
            self._activate(layer, before, after)
            before = after
        self.tensors[layer.index] = before
        keeps_sign = layer.op in _KEEPS_SIGN and self._non_negative.issuperset(layer.inputs)
        if layer.activation in _NON_NEGATIVE or (layer.activation == "none" and keeps_sign):
            self._non_negative.add(layer.index)

    def _tensor(self, layer: LayerSpec, name: str) -> int:
        channels, height, width = layer.out_shape_chw
        return self.graph.tensor(name, (1, channels) if self._flat[layer.index] else (1, height, width, channels))

    def _activate(self, layer: LayerSpec, source: int, out: int) -> None:
        graph = self.graph
        match layer.activation:
            case "relu" | "relu6":
                graph.operator(layer.activation.upper(), [source], out)
            case "hswish":
                graph.operator("HARD_SWISH", [source], out, schema.HardSwishOptionsT())
            case "hsigmoid":
                # TFLite has no such operator: relu6(x + 3) / 6.
                inner = self._tensor(layer, f"{layer.name}/relu6")
                options = schema.AddOptionsT(fusedActivationFunction=_FUSED["relu6"])
                graph.operator("ADD", [source, graph.scalar("three", 3.0)], inner, options)
                graph.operator("MUL", [inner, graph.scalar("sixth", 1 / 6)], out, schema.MulOptionsT())
            case "sigmoid":
                graph.operator("LOGISTIC", [source], out)
            case "swish":
                gate = self._tensor(layer, f"{layer.name}/gate")
                graph.operator("LOGISTIC", [source], gate)
                graph.operator("MUL", [source, gate], out, schema.MulOptionsT())

    def conv(self, layer: LayerSpec, inputs: list[int], out: int) -> None:
        """Append ``CONV_2D`` or ``DEPTHWISE_CONV_2D``, behind a ``PAD`` where ``SAME`` would differ."""
        same = any(layer.padding_tlbr) and same_padding_is_torchs(layer)
        source = inputs[0] if same or not any(layer.padding_tlbr) else self._pad(layer, inputs[0], layer.padding_tlbr)
        found = layer_weights(layer, self._weights)
        bias = self.graph.constant(f"{layer.name}.bias", found.bias)
        common: dict[str, Any] = {
            "padding": schema.Padding.SAME if same else schema.Padding.VALID,
            "strideW": layer.stride,
            "strideH": layer.stride,
            "dilationWFactor": layer.dilation,
            "dilationHFactor": layer.dilation,
            "fusedActivationFunction": _FUSED.get(layer.activation, _FUSED["none"]),
        }
        channels = layer.in_shapes_chw[0][0]
        if 1 < layer.groups == channels:
            # (out, 1, k, k) -> (1, k, k, out): output channel c * multiplier + i reads channel c in both.
            weight = self.graph.constant(f"{layer.name}.weight", found.weight.transpose(1, 2, 3, 0))
            options = schema.DepthwiseConv2DOptionsT(depthMultiplier=layer.out_shape_chw[0] // channels, **common)
            version = 1 if layer.dilation == 1 else _DILATED_DEPTHWISE_VERSION
            self.graph.operator("DEPTHWISE_CONV_2D", [source, weight, bias], out, options, version=version)
        else:
            weight = self.graph.constant(f"{layer.name}.weight", found.weight.transpose(0, 2, 3, 1))
            version = 1 if layer.groups == 1 else _GROUPED_CONV_VERSION
            options = schema.Conv2DOptionsT(**common)
            self.graph.operator("CONV_2D", [source, weight, bias], out, options, version=version)

    def window_pool(self, layer: LayerSpec, inputs: list[int], out: int) -> None:
        """Append ``MAX_POOL_2D`` or ``AVERAGE_POOL_2D``; ``SAME`` would leave the padding out of an average."""
        source = inputs[0]
        if not any(layer.padding_tlbr):
            self._pool(layer, source, out, is_same=False)
        elif layer.op == "avgpool":
            self._pool(layer, self._pad(layer, source, layer.padding_tlbr), out, is_same=False)
        else:
            self._padded_maximum(layer, source, out)

    def _padded_maximum(self, layer: LayerSpec, source: int, out: int) -> None:
        """Append a maximum whose padding never wins.

        Zeros do not where nothing is negative. Else the image is prolonged below and to the right, so that ``SAME``
        pads as torch does, and the windows that see the prolongation are cut off: all of that XNNPACK takes over.
        Where that is impossible the padding is the lowest number (``PADV2``, which XNNPACK leaves to TFLite).
        """
        longer = prolongation(layer)
        if longer == (0, 0):
            self._pool(layer, source, out, is_same=True)
        elif layer.inputs[0] in self._non_negative:
            self._pool(layer, self._pad(layer, source, layer.padding_tlbr), out, is_same=False)
        elif longer is None:
            self._pool(layer, self._pad(layer, source, layer.padding_tlbr, _LOWEST), out, is_same=False)
        else:
            channels, height, width = layer.out_shape_chw
            below, right = longer
            shape = (1, height + (below > 0), width + (right > 0), channels)
            whole = self.graph.tensor(f"{layer.name}/longer", shape)
            self._pool(layer, self._pad(layer, source, (0, 0, below, right)), whole, is_same=True)
            self._cut(whole, out, (0, 0, 0, 0))

    def _pool(self, layer: LayerSpec, source: int, out: int, *, is_same: bool) -> None:
        options = schema.Pool2DOptionsT(
            padding=schema.Padding.SAME if is_same else schema.Padding.VALID,
            strideW=layer.stride,
            strideH=layer.stride,
            filterWidth=layer.kernel_size,
            filterHeight=layer.kernel_size,
            fusedActivationFunction=_FUSED.get(layer.activation, _FUSED["none"]),
        )
        self.graph.operator("MAX_POOL_2D" if layer.op == "maxpool" else "AVERAGE_POOL_2D", [source], out, options)

    def flatten(self, layer: LayerSpec, inputs: list[int], out: int) -> None:
        """Append ``RESHAPE``."""
        self._reshape(inputs[0], out, (1, layer.out_shape_chw[0]))

    def _pad(self, layer: LayerSpec, source: int, tlbr: tuple[int, int, int, int], value: float = 0.0) -> int:
        channels, height, width = layer.in_shapes_chw[0]
        top, left, bottom, right = tlbr
        amounts = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        padded = self.graph.tensor(f"{layer.name}/pad", (1, height + top + bottom, width + left + right, channels))
        constant = self.graph.constant(f"int32/pad_{top}_{left}_{bottom}_{right}", amounts)
        if value:
            filling = self.graph.scalar("lowest", value)
            self.graph.operator("PADV2", [source, constant, filling], padded, schema.PadV2OptionsT())
        else:
            self.graph.operator("PAD", [source, constant], padded, schema.PadOptionsT())
        return padded

    def linear(self, layer: LayerSpec, inputs: list[int], out: int) -> None:
        """Append ``FULLY_CONNECTED``, which flattens a ``(1, 1, 1, C)`` input by itself."""
        found = layer_weights(layer, self._weights)
        weight = self.graph.constant(f"{layer.name}.weight", found.weight)
        bias = self.graph.constant(f"{layer.name}.bias", found.bias)
        options = schema.FullyConnectedOptionsT(fusedActivationFunction=_FUSED.get(layer.activation, _FUSED["none"]))
        self.graph.operator("FULLY_CONNECTED", [inputs[0], weight, bias], out, options)

    def pool(self, layer: LayerSpec, inputs: list[int], out: int) -> None:
        """Append ``MEAN`` over height and width."""
        self.graph.operator("MEAN", [inputs[0], self.graph.ints(1, 2)], out, schema.ReducerOptionsT(keepDims=True))

    def add(self, layer: LayerSpec, inputs: list[int], out: int) -> None:
        """Append ``ADD``."""
        fused = _FUSED.get(layer.activation, _FUSED["none"])
        self.graph.operator("ADD", inputs, out, schema.AddOptionsT(fusedActivationFunction=fused))

    def scale(self, layer: LayerSpec, inputs: list[int], out: int) -> None:
        """Append ``MUL``, which broadcasts the gate."""
        fused = _FUSED.get(layer.activation, _FUSED["none"])
        self.graph.operator("MUL", inputs, out, schema.MulOptionsT(fusedActivationFunction=fused))

    def concat(self, layer: LayerSpec, inputs: list[int], out: int) -> None:
        """Append ``CONCATENATION`` along the channels, which come last."""
        axis = len(self.graph.shape(out)) - 1
        self.graph.operator("CONCATENATION", inputs, out, schema.ConcatenationOptionsT(axis=axis))

    def slice(self, layer: LayerSpec, inputs: list[int], out: int) -> None:
        """Append ``SLICE`` along the channels."""
        self._cut(inputs[0], out, (*[0] * (len(self.graph.shape(out)) - 1), layer.channel_range[0]))

    def _cut(self, source: int, out: int, begin: tuple[int, ...]) -> None:
        size = self.graph.ints(*self.graph.shape(out))
        self.graph.operator("SLICE", [source, self.graph.ints(*begin), size], out, schema.SliceOptionsT())

    def shuffle(self, layer: LayerSpec, inputs: list[int], out: int) -> None:
        """Append ``RESHAPE``, ``TRANSPOSE``, ``RESHAPE``; four dimensions, so that version 1 does."""
        channels, height, width = layer.out_shape_chw
        split = (1, height * width, layer.groups, channels // layer.groups)
        swapped = (1, height * width, channels // layer.groups, layer.groups)
        first = self.graph.tensor(f"{layer.name}/split", split)
        second = self.graph.tensor(f"{layer.name}/swapped", swapped)
        self._reshape(inputs[0], first, split)
        self.graph.operator("TRANSPOSE", [first, self.graph.ints(0, 1, 3, 2)], second, schema.TransposeOptionsT())
        self._reshape(second, out, (1, height, width, channels))

    def _reshape(self, source: int, out: int, shape: tuple[int, ...]) -> None:
        options = schema.ReshapeOptionsT(newShape=list(shape))
        self.graph.operator("RESHAPE", [source, self.graph.ints(*shape)], out, options)


_OPERATORS: dict[str, Callable[[_Writer, LayerSpec, list[int], int], None]] = {
    op: getattr(_Writer, "window_pool" if op in ("maxpool", "avgpool") else op) for op in LAYER_OPS
}
