"""The parts of a TFLite file that describe it, read with a bound on the work that a damaged file can cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

_MAX_STEPS = 2_000_000
_MIN_STEPS = 10_000
_MAX_NAME_BYTES = 4096
_NO_BUFFER = 0
_PLACEHOLDER_CODE = 127
"""The old, small field for operator codes ends here; later operators stand in the new field alone."""

_OPERATORS = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
_DTYPES = {number: name.lower() for name, number in vars(schema.TensorType).items() if isinstance(number, int)}


@dataclass(frozen=True, slots=True)
class TFLiteTensor:
    """One tensor.

    Attributes:
        name: As the file has it.
        dtype: numpy's name of the element type.
        shape: Sizes that the file was converted with.
        signature: The same with -1 where a size is open.
        buffer: Index of its stored values.
        stored_bytes: How many there are; 0 for a tensor that is computed.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    buffer: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class TFLiteOperator:
    """One operator: its name (``CUSTOM:name`` for custom ones), its tensors (-1 where left out), its options."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    transposes_left: bool


@dataclass(frozen=True, slots=True)
class TFLiteSubgraph:
    """One graph of the file; the first is the network."""

    tensors: tuple[TFLiteTensor, ...]
    operators: tuple[TFLiteOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_subgraphs(data: bytes) -> tuple[TFLiteSubgraph, ...]:
    """Read the graphs of a TFLite file.

    Args:
        data: The whole file.

    Raises:
        ValueError: It is no TFLite file, or damaged. Other exceptions of flatbuffers may come too: ``struct.error``,
            ``TypeError``, ``IndexError``, ``OverflowError``, ``AttributeError``.
    """
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise ValueError("it does not begin as a TFLite file does")
    return _Reader(data).subgraphs()


class _Reader:
    """Walks the tables, counting every step: tables may be shared, so a small file can spell a huge model."""

    def __init__(self, data: bytes) -> None:
        self._size = len(data)
        self._steps = min(max(self._size, _MIN_STEPS), _MAX_STEPS)
        self._model = schema.Model.GetRootAs(data, 0)
        self._codes = [
            _code_name(code) for code in self._each(self._model.OperatorCodesLength, self._model.OperatorCodes)
        ]
        self._stored = [
            self._length(buffer.DataLength()) or int(buffer.Size())
            for buffer in self._each(self._model.BuffersLength, self._model.Buffers)
        ]

    def subgraphs(self) -> tuple[TFLiteSubgraph, ...]:
        model = self._model
        found = tuple(self._subgraph(one) for one in self._each(model.SubgraphsLength, model.Subgraphs))
        if not found:
            raise ValueError("it has no graph")
        return found

    def _subgraph(self, graph: Any) -> TFLiteSubgraph:
        tensors = tuple(self._tensor(one) for one in self._each(graph.TensorsLength, graph.Tensors))
        operators = tuple(self._operator(one) for one in self._each(graph.OperatorsLength, graph.Operators))
        places = [self._numbers(graph.InputsLength, graph.InputsAsNumpy)]
        places.append(self._numbers(graph.OutputsLength, graph.OutputsAsNumpy))
        if not all(0 <= place < len(tensors) for part in places for place in part):
            raise ValueError("an input or output is a tensor that is not there")
        used = (place for one in operators for place in (*one.inputs, *one.outputs))
        if not all(-1 <= place < len(tensors) for place in used):
            raise ValueError("an operator uses a tensor that is not there")
        return TFLiteSubgraph(tensors, operators, *places)

    def _tensor(self, tensor: Any) -> TFLiteTensor:
        shape = self._numbers(tensor.ShapeLength, tensor.ShapeAsNumpy)
        signature = self._numbers(tensor.ShapeSignatureLength, tensor.ShapeSignatureAsNumpy)
        buffer = int(tensor.Buffer())
        if not 0 <= buffer < max(len(self._stored), 1):
            raise ValueError("a tensor's values are not there")
        return TFLiteTensor(
            name=_text(tensor.Name()),
            dtype=_DTYPES.get(tensor.Type(), f"type{tensor.Type()}"),
            shape=shape,
            signature=signature if len(signature) == len(shape) else shape,
            buffer=buffer,
            stored_bytes=self._stored[buffer] if self._stored and buffer != _NO_BUFFER else 0,
        )

    def _operator(self, operator: Any) -> TFLiteOperator:
        code = int(operator.OpcodeIndex())
        if code >= len(self._codes):
            raise ValueError("an operator has a code that is not there")
        transposes = False
        if self._codes[code] == "BATCH_MATMUL" and (table := operator.BuiltinOptions()) is not None:
            options = schema.BatchMatMulOptions()
            options.Init(table.Bytes, table.Pos)
            transposes = bool(options.AdjX())
        return TFLiteOperator(
            name=self._codes[code],
            inputs=self._numbers(operator.InputsLength, operator.InputsAsNumpy),
            outputs=self._numbers(operator.OutputsLength, operator.OutputsAsNumpy),
            transposes_left=transposes,
        )

    def _each(self, length: Callable[[], int], item: Callable[[int], Any]) -> Iterator[Any]:
        for place in range(self._length(length())):
            self._spend(1)
            yield item(place)

    def _numbers(self, length: Callable[[], int], values: Callable[[], Any]) -> tuple[int, ...]:
        count = self._length(length())
        self._spend(count)
        return tuple(int(value) for value in values().tolist()) if count else ()

    def _length(self, length: int) -> int:
        if length > self._size:
            raise ValueError("it is cut off or damaged: a list is longer than the file")
        return length

    def _spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise ValueError("it is damaged: its tables hold more than its bytes could")


def _code_name(code: Any) -> str:
    small, large = int(code.DeprecatedBuiltinCode()), int(code.BuiltinCode())
    number = large if small == _PLACEHOLDER_CODE else max(small, large)
    name = _OPERATORS.get(number, f"BUILTIN:{number}")
    return f"CUSTOM:{_text(code.CustomCode())}" if name == "CUSTOM" else name


def _text(value: bytes | None) -> str:
    return (value or b"")[:_MAX_NAME_BYTES].decode("utf-8", "replace")
