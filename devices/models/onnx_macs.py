"""Multiply-accumulates of ONNX operators.

Convolutions, matrix products and recurrent layers are counted, their quantised variants too; what does one addition or
lookup for each element is not. Source: operator specification of ONNX, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Dims = tuple[int | None, ...] | None
"""Sizes of a tensor; ``None`` inside where a size is not known, ``None`` alone where nothing is."""

Attributes = Mapping[str, Any]
Counter = Callable[[Sequence[Dims], Sequence[Dims], Attributes], "int | None"]


def product(dims: Dims) -> int | None:
    """Return the number of elements, or ``None`` where a size is not known."""
    if dims is None:
        return None
    known = [size for size in dims if size is not None and size >= 0]
    return math.prod(known) if len(known) == len(dims) else None


def times(*factors: int | None) -> int | None:
    """Multiply; one that is not known makes the product unknown."""
    known = [factor for factor in factors if factor is not None]
    return math.prod(known) if len(known) == len(factors) else None


def at(shapes: Sequence[Dims], place: int) -> Dims:
    """Return the shape of one input, or ``None`` where it is left out."""
    return shapes[place] if place < len(shapes) else None


def size_at(dims: Dims, axis: int) -> int | None:
    """Return one size, or ``None`` where it is not known."""
    return dims[axis] if dims is not None and -len(dims) <= axis < len(dims) else None


def _conv(weight: int) -> Counter:
    def count(inputs: Sequence[Dims], outputs: Sequence[Dims], _attributes: Attributes) -> int | None:
        kernel = at(inputs, weight)  # (out, in / groups, kernel sizes)
        return times(product(at(outputs, 0)), product(kernel[1:] if kernel else None))

    return count


def _conv_transpose(inputs: Sequence[Dims], _outputs: Sequence[Dims], _attributes: Attributes) -> int | None:
    kernel = at(inputs, 1)  # (in, out / groups, kernel sizes)
    return times(product(at(inputs, 0)), product(kernel[1:] if kernel else None))


def _gemm(inputs: Sequence[Dims], outputs: Sequence[Dims], attributes: Attributes) -> int | None:
    inner = size_at(at(inputs, 0), 0 if attributes.get("transA") else 1)
    return times(product(at(outputs, 0)), inner)


def _matmul(weight: int) -> Counter:
    def count(inputs: Sequence[Dims], outputs: Sequence[Dims], attributes: Attributes) -> int | None:
        left, right = at(inputs, 0), at(inputs, weight)
        inner = size_at(left, -2 if attributes.get("transA") else -1)
        if inner is None and right is not None:
            rows = -1 if len(right) == 1 or attributes.get("transB") else -2
            inner = size_at(right, rows)
        return times(product(at(outputs, 0)), inner)

    return count


def _matmul_nbits(inputs: Sequence[Dims], outputs: Sequence[Dims], attributes: Attributes) -> int | None:
    inner = attributes.get("K")
    return times(product(at(outputs, 0)), inner if isinstance(inner, int) else size_at(at(inputs, 0), -1))


def _recurrent(inputs: Sequence[Dims], _outputs: Sequence[Dims], _attributes: Attributes) -> int | None:
    steps, weight, recurrence = at(inputs, 0), at(inputs, 1), at(inputs, 2)
    sums = [product(weight), product(recurrence)]
    if None in sums:
        return None
    # With layout 1 the first two sizes change places, and their product stays.
    return times(size_at(steps, 0), size_at(steps, 1), sum(one for one in sums if one is not None))


def _einsum(inputs: Sequence[Dims], _outputs: Sequence[Dims], attributes: Attributes) -> int | None:
    equation = attributes.get("equation")
    if not isinstance(equation, str) or "." in equation:
        return None
    terms = equation.replace(" ", "").split("->")[0].split(",")
    if len(terms) < 2:
        return 0
    sizes: dict[str, int | None] = {}
    for term, dims in zip(terms, inputs, strict=False):
        if dims is None or len(dims) != len(term):
            return None
        sizes.update(zip(term, dims, strict=True))
    return times(*sizes.values())


_COUNTERS: dict[str, Counter] = {
    "Conv": _conv(1),
    "ConvInteger": _conv(1),
    "DeformConv": _conv(1),
    "QLinearConv": _conv(3),
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul(1),
    "MatMulInteger": _matmul(1),
    "QLinearMatMul": _matmul(3),
    "Einsum": _einsum,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
    "com.microsoft:FusedConv": _conv(1),
    "com.microsoft:NhwcFusedConv": _conv(1),
    "com.microsoft:QLinearConv": _conv(3),
    "com.microsoft:FusedGemm": _gemm,
    "com.microsoft:QGemm": _gemm,
    "com.microsoft:GemmFastGelu": _matmul(1),
    "com.microsoft:FusedMatMul": _matmul(1),
    "com.microsoft:TransposeMatMul": _matmul(1),
    "com.microsoft:DynamicQuantizeMatMul": _matmul(1),
    "com.microsoft:MatMulIntegerToFloat": _matmul(1),
    "com.microsoft:MatMulNBits": _matmul_nbits,
}
_UNCOUNTED = frozenset({"Attention", "Loop", "Scan", "SequenceMap"})
"""Operators that multiply and have no counter: a model that holds one has no number."""

_FREE = frozenset(
    "com.microsoft:" + name
    for name in (
        *("BiasAdd", "BiasGelu", "BiasSoftmax", "BiasSplitGelu", "Gelu", "FastGelu", "QuickGelu", "QuantizeLinear"),
        *("DequantizeLinear", "SkipLayerNormalization", "SimplifiedLayerNormalization", "EmbedLayerNormalization"),
        *("SkipSimplifiedLayerNormalization", "GroupNorm", "NhwcMaxPool", "QLinearAdd", "QLinearMul", "QLinearConcat"),
        *("QLinearSoftmax", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearAveragePool", "QLinearGlobalAveragePool"),
        *("QLinearReduceMean", "QLinearWhere", "Pad", "RotaryEmbedding"),
    )
)
_FREE_DOMAINS = ("ai.onnx.ml:",)


def node_macs(operator: str, inputs: Sequence[Dims], outputs: Sequence[Dims], attributes: Attributes) -> int | None:
    """Return the multiply-accumulates of one operator.

    Args:
        operator: ``Conv``, or ``domain:Operator`` outside ONNX's own domain.
        inputs: Shape of each input.
        outputs: Shape of each output.
        attributes: Whole numbers and texts among the operator's attributes.

    Returns:
        A count, 0 for operators that do not multiply matrices, or ``None`` where the operator or its shapes are not
        known.
    """
    counter = _COUNTERS.get(operator)
    if counter is not None:
        return counter(inputs, outputs, attributes)
    if operator in _UNCOUNTED:
        return None
    is_known = ":" not in operator or operator in _FREE or operator.startswith(_FREE_DOMAINS)
    return 0 if is_known else None
