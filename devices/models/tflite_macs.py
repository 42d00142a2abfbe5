"""Multiply-accumulates of TFLite operators.

Source of the layouts: TFLite's schema.fbs and kernels; weights are ``OHWI``, depthwise ones ``(1, H, W, C)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from devices.models.tflite_reader import TFLiteOperator, TFLiteSubgraph

_Shapes = Sequence[tuple[int, ...]]
_Counter = Callable[[_Shapes, _Shapes, TFLiteOperator], int]


def _conv(inputs: _Shapes, outputs: _Shapes, _operator: TFLiteOperator) -> int:
    return math.prod(outputs[0]) * math.prod(inputs[1][1:])


def _depthwise(inputs: _Shapes, outputs: _Shapes, _operator: TFLiteOperator) -> int:
    return math.prod(outputs[0]) * math.prod(inputs[1][1:3])


def _fully_connected(inputs: _Shapes, outputs: _Shapes, _operator: TFLiteOperator) -> int:
    return math.prod(outputs[0]) * inputs[1][-1]


def _transpose_conv(weight: int, data: int) -> _Counter:
    def count(inputs: _Shapes, _outputs: _Shapes, _operator: TFLiteOperator) -> int:
        return math.prod(inputs[data]) * math.prod(inputs[weight][:-1])

    return count


def _conv_3d(inputs: _Shapes, outputs: _Shapes, _operator: TFLiteOperator) -> int:
    return math.prod(outputs[0]) * math.prod(inputs[1][:4])  # (D, H, W, I, O)


def _conv_3d_transpose(inputs: _Shapes, _outputs: _Shapes, _operator: TFLiteOperator) -> int:
    return math.prod(inputs[2]) * math.prod(inputs[1][:4])  # (D, H, W, O, I)


def _batch_matmul(inputs: _Shapes, outputs: _Shapes, operator: TFLiteOperator) -> int:
    return math.prod(outputs[0]) * inputs[0][-2 if operator.transposes_left else -1]


_COUNTERS: dict[str, _Counter] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "TRANSPOSE_CONV": _transpose_conv(weight=1, data=2),
    "CONV_3D": _conv_3d,
    "CONV_3D_TRANSPOSE": _conv_3d_transpose,
    "BATCH_MATMUL": _batch_matmul,
    "CUSTOM:Convolution2DTransposeBias": _transpose_conv(weight=1, data=0),
}
_UNCOUNTED = frozenset(
    {
        *("LSTM", "RNN", "SVDF", "UNIDIRECTIONAL_SEQUENCE_RNN", "UNIDIRECTIONAL_SEQUENCE_LSTM"),
        *("BIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_LSTM", "STABLEHLO_CONVOLUTION"),
        *("STABLEHLO_DOT_GENERAL", "STABLEHLO_CUSTOM_CALL", "STABLEHLO_WHILE", "STABLEHLO_COMPOSITE"),
        *("IF", "WHILE", "CALL", "DELEGATE"),
    }
)
"""Operators that multiply, or run other graphs, and have no counter: a model that holds one has no number."""


def count_macs(graph: TFLiteSubgraph) -> int | None:
    """Return the multiply-accumulates of a graph with the shapes that the file holds; ``None`` where one is not known.

    Custom operators have no number, but for MediaPipe's transposed convolution.
    """
    total = 0
    for operator in graph.operators:
        counter = _COUNTERS.get(operator.name)
        if counter is None:
            if operator.name in _UNCOUNTED or ":" in operator.name:
                return None
            continue
        shapes = [graph.tensors[place].shape if place >= 0 else () for place in operator.inputs]
        out = [graph.tensors[place].shape for place in operator.outputs if place >= 0]
        if any(size < 0 for shape in (*shapes, *out) for size in shape):
            return None
        try:
            total += counter(shapes, out, operator)
        except IndexError:  # an input or a dimension is not there
            return None
    return total
