"""Finds what would compute in float in a file of 8-bit integers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_ENDS = frozenset({"QUANTIZE", "DEQUANTIZE"})
_LIMITERS = frozenset({"Relu", "Clip"})


def float_operators(data: bytes, model_format: str) -> tuple[str, ...]:
    """Return the operators of a file that would compute in float."""
    return tuple(_floating_onnx(data) if model_format == "onnx" else _floating_tflite(data))


def _floating_tflite(data: bytes) -> Iterator[str]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    for operator in graph.operators:
        name = names[model.operatorCodes[operator.opcodeIndex].builtinCode]
        touched = [graph.tensors[place] for place in [*operator.inputs, *operator.outputs] if place >= 0]
        if name not in _ENDS and any(one.type == schema.TensorType.FLOAT32 for one in touched):
            yield f"{name} -> {graph.tensors[operator.outputs[0]].name.decode()}"


def _floating_onnx(data: bytes) -> Iterator[str]:
    """Convolutions and fully connected layers that do not stand between integers: such a runtime leaves float."""
    from onnx import ModelProto

    nodes = ModelProto.FromString(data).graph.node
    maker = {output: node.op_type for node in nodes for output in node.output}
    readers: dict[str, list[Any]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in nodes:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        behind = readers.get(node.output[0], [])
        while len(behind) == 1 and behind[0].op_type in _LIMITERS:
            behind = readers.get(behind[0].output[0], [])
        is_between = all(maker.get(name) == "DequantizeLinear" for name in node.input)
        if not is_between or [one.op_type for one in behind] != ["QuantizeLinear"]:
            yield f"{node.op_type} -> {node.output[0]}"
