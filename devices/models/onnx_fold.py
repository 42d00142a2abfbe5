"""Small whole-number arithmetic within an ONNX graph, worked out so that the shapes that hang on it become known.

ONNX's own inference follows some of it only; exporters write shapes as Shape, Slice, Cast, Concat, Reshape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper, numpy_helper

_MAX_ELEMENTS = 64
_ARRAY_ERRORS = (ValueError, TypeError, IndexError, OverflowError, KeyError, ArithmeticError, MemoryError)

_Array = npt.NDArray[Any]
_Attributes = Mapping[str, Any]
_Evaluate = Callable[[Sequence[_Array], _Attributes], Any]


def fold_constants(graph: GraphProto, shapes: Mapping[str, tuple[int | None, ...] | None]) -> int:
    """Replace nodes whose small outputs are known by constants, in place.

    Args:
        graph: Its nodes in topological order, as ONNX demands.
        shapes: Tensor -> sizes, as far as they are known.

    Returns:
        How many nodes were replaced.
    """
    known = {tensor.name: value for tensor in graph.initializer if (value := _value(tensor)) is not None}
    replaced = 0
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or len(node.output) != 1:
            continue
        if node.op_type == "Constant":
            value = _constant(node)
        else:
            value = _evaluated(node, known, shapes)
            if value is not None:
                node.CopyFrom(helper.make_node("Constant", [], [node.output[0]], value=numpy_helper.from_array(value)))
                replaced += 1
        if value is not None:
            known[node.output[0]] = value
    return replaced


def _evaluated(
    node: NodeProto, known: Mapping[str, _Array], shapes: Mapping[str, tuple[int | None, ...] | None]
) -> _Array | None:
    attributes = {one.name: _attribute(one) for one in node.attribute}
    if node.op_type == "Shape":
        sizes = shapes.get(node.input[0]) if node.input else None
        if attributes or sizes is None or None in sizes or len(sizes) > _MAX_ELEMENTS:
            return None
        return np.array(sizes, np.int64)
    evaluate = _EVALUATORS.get(node.op_type)
    if evaluate is None or not node.input or not all(name in known for name in node.input if name):
        return None
    try:
        with np.errstate(all="ignore"):
            result = np.asarray(evaluate([known[name] for name in node.input if name], attributes))
    except _ARRAY_ERRORS:
        return None
    return result if _is_small(result.shape) and result.dtype.kind in "iufb" else None


def _constant(node: NodeProto) -> _Array | None:
    for one in node.attribute:
        if one.name == "value" and one.HasField("t"):
            return _value(one.t)
        if one.name in ("value_int", "value_ints") and len(one.ints) <= _MAX_ELEMENTS:
            return np.array(one.i if one.name == "value_int" else list(one.ints), np.int64)
    return None


def _value(tensor: TensorProto) -> _Array | None:
    is_here = tensor.data_location != TensorProto.EXTERNAL and tensor.data_type != TensorProto.STRING
    if not is_here or not _is_small(tensor.dims):
        return None
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (*_ARRAY_ERRORS, NotImplementedError, AttributeError):
        return None


def _is_small(dims: Sequence[int]) -> bool:
    count = 1
    for size in dims:
        count *= size
    return 0 <= count <= _MAX_ELEMENTS and len(dims) <= 8 and min(dims, default=0) >= 0


def _attribute(one: AttributeProto) -> Any:
    if one.type == AttributeProto.INT:
        return int(one.i)
    if one.type == AttributeProto.INTS:
        return [int(value) for value in one.ints[:_MAX_ELEMENTS]]
    return one.t if one.type == AttributeProto.TENSOR else None


def _cast(inputs: Sequence[_Array], attributes: _Attributes) -> _Array:
    return inputs[0].astype(helper.tensor_dtype_to_np_dtype(attributes["to"]))


def _slice(inputs: Sequence[_Array], _attributes: _Attributes) -> _Array:
    data, starts, ends = inputs[:3]
    axes = inputs[3].tolist() if len(inputs) > 3 else range(len(starts))
    steps = inputs[4].tolist() if len(inputs) > 4 else [1] * len(starts)
    place: list[slice] = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps, strict=True):
        # Backwards, an end before the first element is written as a very low number.
        place[axis] = slice(start, None if step < 0 and end < -data.shape[axis] else end, step)
    return data[tuple(place)]


def _axes(inputs: Sequence[_Array], attributes: _Attributes) -> tuple[int, ...] | None:
    if len(inputs) > 1:
        return tuple(inputs[1].tolist())
    return tuple(attributes["axes"]) if attributes.get("axes") else None


def _reshape(inputs: Sequence[_Array], attributes: _Attributes) -> _Array:
    data, to = inputs[0], inputs[1].tolist()
    if not attributes.get("allowzero"):
        to = [data.shape[place] if size == 0 else size for place, size in enumerate(to)]
    return data.reshape(to)


def _constant_of_shape(inputs: Sequence[_Array], attributes: _Attributes) -> _Array:
    dims = inputs[0].tolist()
    if not _is_small(dims):
        raise ValueError("large")
    fill = numpy_helper.to_array(attributes["value"]).flatten()[0] if "value" in attributes else np.float32(0)
    return np.full(dims, fill)


def _divide(inputs: Sequence[_Array], _attributes: _Attributes) -> _Array:
    left, right = inputs
    is_whole = left.dtype.kind in "iu"
    if is_whole and not right.all():
        raise ZeroDivisionError
    return np.asarray(left // right if is_whole else left / right)


_EVALUATORS: dict[str, _Evaluate] = {
    "Cast": _cast,
    "Slice": _slice,
    "Reshape": _reshape,
    "ConstantOfShape": _constant_of_shape,
    "Div": _divide,
    "Identity": lambda inputs, _: inputs[0],
    "Concat": lambda inputs, attributes: np.concatenate(inputs, attributes["axis"]),
    "Transpose": lambda inputs, attributes: np.transpose(inputs[0], attributes.get("perm")),
    "Gather": lambda inputs, attributes: np.take(inputs[0], inputs[1], attributes.get("axis", 0)),
    "Squeeze": lambda inputs, attributes: np.squeeze(inputs[0], _axes(inputs, attributes)),
    "Unsqueeze": lambda inputs, attributes: np.expand_dims(inputs[0], _axes(inputs, attributes) or ()),
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "Floor": lambda inputs, _: np.floor(inputs[0]),
    "Ceil": lambda inputs, _: np.ceil(inputs[0]),
}
