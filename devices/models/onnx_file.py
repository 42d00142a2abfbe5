"""An ONNX file as a description; weights are not read further than their sizes, and no runtime is asked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

from devices.models.description import ModelDescription, TensorSpec
from devices.models.file_bytes import not_a_model, read_model_file
from devices.models.onnx_graph import all_graphs, count_macs, dims_of, operator_name, stored_tensors, with_shapes
from devices.models.shapes import InputSizes, Shapes, fit_shapes, symbol_sizes
from mnas.errors import ModelError

_DTYPES = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.STRING: "string",
    TensorProto.BOOL: "bool",
    TensorProto.UNDEFINED: "undefined",
}
_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})
_NO_WEIGHT = frozenset(
    {TensorProto.INT64, TensorProto.UINT64, TensorProto.UINT32, TensorProto.BOOL, TensorProto.STRING}
)


def describe_onnx(path: Path, shapes: Shapes | None = None) -> ModelDescription:
    """Describe an ONNX file.

    Args:
        path: The file; weights stored outside it are looked for beside it.
        shapes: Sizes for open dimensions. Without (``None``) they stay open, and what depends on them is not counted.

    Raises:
        ModelError: ``MOD02``: the file cannot be read. ``MOD03``: it is no ONNX model. ``MOD04``: weights outside the
            file are missing. ``MOD06``, ``MOD07``: shapes that do not fit, or are wanting.
    """
    model = _read(path)
    try:
        return _describe(model, path, shapes)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        # Protobuf decodes nearly anything; what it decoded to may still hold text that is none, and the like.
        raise not_a_model(path, "onnx", str(error)) from error


def _read(path: Path) -> ModelProto:
    model = ModelProto()
    data = read_model_file(path)
    try:
        model.ParseFromString(data)
    except (DecodeError, RecursionError) as error:
        raise not_a_model(path, "onnx", f"{error or 'it cannot be decoded'}") from error
    if not model.opset_import or not (model.graph.node or model.graph.output):
        raise not_a_model(path, "onnx", "it has no graph, or does not say which operators it means")
    return model


def _describe(model: ModelProto, path: Path, shapes: Shapes | None) -> ModelDescription:
    _check_external_data(model, path)
    inputs = _inputs(model.graph)
    sizes: dict[str, tuple[int, ...]] = {}
    symbols: dict[str, int] = {}
    if shapes is not None:
        sizes = fit_shapes(inputs, shapes, path.name)
        symbols = symbol_sizes(inputs, sizes)
    operators = Counter(operator_name(node) for graph in all_graphs(model.graph) for node in graph.node)
    params = sum(_param_counts(model))
    inferred = with_shapes(model, sizes, symbols)
    graph = inferred.graph if inferred is not None else model.graph
    return ModelDescription(
        inputs=tuple(TensorSpec(one.name, one.dtype, _filled(one, sizes)) for one in inputs),
        outputs=tuple(_spec(output) for output in graph.output),
        operators=dict(sorted(operators.items())),
        macs=None if inferred is None else count_macs(inferred.graph),
        params=params,
    )


def _inputs(graph: GraphProto) -> list[InputSizes]:
    """Return what a run must be given: weights, which older files list as inputs too, are not among it."""
    stored = {one.name for one in graph.initializer} | {one.values.name for one in graph.sparse_initializer}
    return [_input(one) for one in graph.input if one.name not in stored]


def _input(value: ValueInfoProto) -> InputSizes:
    kind = value.type.WhichOneof("value") or "undefined"
    if kind != "tensor_type":
        return InputSizes(value.name, kind.removesuffix("_type"), ())
    tensor = value.type.tensor_type
    dtype = _dtype(tensor.elem_type)
    if not tensor.HasField("shape"):
        return InputSizes(value.name, dtype, None)
    # A size below zero is how some converters write an open one.
    sizes = tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else dim.dim_param for dim in tensor.shape.dim
    )
    return InputSizes(value.name, dtype, sizes)


def _filled(one: InputSizes, sizes: Shapes) -> tuple[int | None, ...]:
    if one.name in sizes:
        return sizes[one.name]
    return (None,) if one.sizes is None else tuple(size if isinstance(size, int) else None for size in one.sizes)


def _spec(value: ValueInfoProto) -> TensorSpec:
    kind = value.type.WhichOneof("value") or "undefined"
    if kind != "tensor_type":
        return TensorSpec(value.name, kind.removesuffix("_type"), ())
    dims = dims_of(value)
    return TensorSpec(value.name, _dtype(value.type.tensor_type.elem_type), (None,) if dims is None else dims)


def _dtype(number: int) -> str:
    if number in _DTYPES:
        return _DTYPES[number]
    try:
        return str(TensorProto.DataType.Name(number)).lower()
    except ValueError:
        return f"type{number}"


def _param_counts(model: ModelProto) -> Iterator[int]:
    """Yield the size of each stored weight.

    Scalars, texts and whole numbers for shapes and indices are none; 32-bit ones are the biases of quantised operators
    only beside weights of 8 bits or fewer.
    """
    tensors = [tensor for tensor in stored_tensors(model) if tensor.dims and min(tensor.dims) >= 0]
    is_quantised = any(
        one.data_type not in _FLOATS | _NO_WEIGHT and one.data_type != TensorProto.INT32 and math.prod(one.dims) > 1
        for one in tensors
    )
    for tensor in tensors:
        is_bias = tensor.data_type == TensorProto.INT32 and is_quantised
        if is_bias or tensor.data_type not in _NO_WEIGHT | {TensorProto.INT32}:
            yield math.prod(tensor.dims)


def _check_external_data(model: ModelProto, path: Path) -> None:
    """Raise ``MOD04`` unless every file with weights lies beside the model and is long enough."""
    for tensor in stored_tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        inside = PurePosixPath(location)
        if not location or inside.is_absolute() or ".." in inside.parts:
            raise _no_weights(path, location, "weights must lie in the model's own folder")
        numbers = [entries.get(key) or "0" for key in ("offset", "length")]
        if not all(number.isascii() and number.isdigit() and len(number) < 20 for number in numbers):
            raise _no_weights(path, location, "where in the file they lie is not said in numbers")
        try:
            size = (path.parent / location).stat().st_size
        except (OSError, ValueError) as error:
            raise _no_weights(path, location, "there is no such file beside the model") from error
        if sum(map(int, numbers)) > size:
            raise _no_weights(path, location, f"the file has only {size} bytes")


def _no_weights(path: Path, location: str, why: str) -> ModelError:
    return ModelError(
        "MOD04",
        f"weights of {path.name} are missing",
        value=location,
        why=why,
        fix="keep the file of the weights beside the model, or export with the weights inside",
    )
