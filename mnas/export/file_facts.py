"""What a lint needs to know of a model file: operators, dtypes and shapes, read from the bytes alone."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mnas.errors import ExportError

_DAMAGED = (ValueError, TypeError, IndexError, OverflowError, AttributeError, KeyError, struct.error)


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator.

    Attributes:
        name: As the format has it, e.g. ``Conv`` or ``CONV_2D``.
        output: Name of the tensor that it gives.
    """

    name: str
    output: str


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor.

    Attributes:
        name: As the file has it.
        dtype: numpy's name of the element type.
        shape: Sizes; ``None`` for an open one.
        is_stored: Its values are in the file; else it is an input or computed.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    is_stored: bool


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A model file as a lint sees it.

    Attributes:
        operators: In the order in which they run.
        tensors: All of them.
        inputs: Names of the network's inputs.
        outputs: Names of the network's outputs.
    """

    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_facts(data: bytes, model_format: str) -> FileFacts:
    """Read a model file.

    Args:
        data: The whole file.
        model_format: ``onnx`` or ``tflite``.

    Raises:
        ExportError: ``EXP06``: it is no such file, or damaged.
    """
    try:
        return _read_onnx(data) if model_format == "onnx" else _read_tflite(data)
    except _DAMAGED as error:
        raise damaged(model_format, str(error)) from error


def damaged(model_format: str, why: str) -> ExportError:
    """Return the error for a file that is no model."""
    return ExportError(
        "EXP06",
        "the model file is damaged, or the runtime refuses it",
        value=model_format,
        why=why.strip()[:300] or "it ends early",
        fix="write it again",
    )


def _read_onnx(data: bytes) -> FileFacts:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(data)
        onnx.checker.check_model(model)
        graph = onnx.shape_inference.infer_shapes(model).graph
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ValueError(str(error)) from error
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    computed = [*inputs, *graph.value_info, *graph.output]
    tensors = [_onnx_tensor(value) for value in computed]
    tensors += [
        Tensor(one.name, _onnx_dtype(one.data_type), tuple(one.dims), is_stored=True) for one in graph.initializer
    ]
    return FileFacts(
        tuple(Operator(node.op_type, node.output[0] if node.output else "") for node in graph.node),
        tuple(tensors),
        tuple(value.name for value in inputs),
        tuple(value.name for value in graph.output),
    )


def _onnx_tensor(value: Any) -> Tensor:
    kind = value.type.tensor_type
    shape = tuple(one.dim_value if one.HasField("dim_value") else None for one in kind.shape.dim)
    return Tensor(
        value.name, _onnx_dtype(kind.elem_type), shape if kind.HasField("shape") else (None,), is_stored=False
    )


def _onnx_dtype(number: int) -> str:
    from onnx import TensorProto

    name = str(TensorProto.DataType.Name(number)).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _read_tflite(data: bytes) -> FileFacts:
    from ai_edge_litert import schema_py_generated as schema

    if data[4:8] != b"TFL3":
        raise ValueError("it does not begin as a TFLite file does")
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    operators, dtypes = _names(schema.BuiltinOperator), _names(schema.TensorType)
    codes = [operators.get(max(code.builtinCode, code.deprecatedBuiltinCode), "CUSTOM") for code in model.operatorCodes]
    graph = model.subgraphs[0]
    names = [tensor.name.decode("utf-8", "replace") for tensor in graph.tensors]
    tensors = [
        Tensor(name, dtypes[one.type].lower(), _tflite_shape(one), is_stored=model.buffers[one.buffer].data is not None)
        for name, one in zip(names, graph.tensors, strict=True)
    ]
    return FileFacts(
        tuple(Operator(codes[one.opcodeIndex], names[one.outputs[0]]) for one in graph.operators),
        tuple(tensors),
        tuple(names[place] for place in graph.inputs),
        tuple(names[place] for place in graph.outputs),
    )


def _tflite_shape(tensor: Any) -> tuple[int | None, ...]:
    sizes: Iterable[int] = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    return tuple(int(size) if size >= 0 else None for size in ([] if sizes is None else sizes))


def _names(enumeration: type[Any]) -> dict[int, str]:
    return {number: name for name, number in vars(enumeration).items() if isinstance(number, int)}
