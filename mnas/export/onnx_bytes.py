"""The bytes of an ONNX model whose weights are copied once, from their arrays to their place in the file.

Protobuf's own way, through ``raw_data`` and ``SerializeToString``, copies them three times, to fresh pages each time.
The fields stand in the order in which protobuf writes them, so that the bytes are the same.
Source: Protocol Buffers, "Encoding"; the numbers of fields: onnx.proto of ONNX.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, TensorProto

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
_LENGTH_DELIMITED = 2
_LAST_MODEL_FIELDS = ("opset_import", "metadata_props")


def model_bytes(model: ModelProto, initializers: Iterable[tuple[TensorProto, npt.NDArray[Any]]]) -> bytes:
    """Return a model with initializers that its graph does not hold yet.

    Args:
        model: Its graph has nodes, a name, inputs and outputs; the model is used up.
        initializers: Name, type and dims of each, with its values.
    """
    last_of_graph, last_of_model = GraphProto(), ModelProto()
    last_of_graph.input.extend(model.graph.input)
    last_of_graph.output.extend(model.graph.output)
    for name in _LAST_MODEL_FIELDS:
        getattr(last_of_model, name).extend(getattr(model, name))
        model.ClearField(name)
    graph = GraphProto()
    graph.CopyFrom(model.graph)
    model.ClearField("graph")
    graph.ClearField("input")
    graph.ClearField("output")
    parts: list[bytes | memoryview] = [_serialized(graph)]
    for tensor, values in initializers:
        raw = np.ascontiguousarray(values).data.cast("B")
        parts += _field(_INITIALIZER, [_serialized(tensor), *_field(_RAW_DATA, [raw])])
    whole = _field(_GRAPH, [*parts, _serialized(last_of_graph)])
    return b"".join([_serialized(model), *whole, _serialized(last_of_model)])


def _serialized(message: Any) -> bytes:
    return bytes(message.SerializeToString(deterministic=True))


def _field(number: int, parts: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    """Return a field that holds the parts one behind another: its tag, its length, and they."""
    return [_varint(number << 3 | _LENGTH_DELIMITED), _varint(sum(map(len, parts))), *parts]


def _varint(value: int) -> bytes:
    """Return a number in groups of seven bits, the lowest first; the highest bit says that more follow."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
