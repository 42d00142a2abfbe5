"""A TFLite graph under construction: tensors, constants and operators, packed into a flatbuffer at the end."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
SIGNATURE_KEY = "serving_default"
_ALIGNMENT = 16
_MOST_KEPT_BYTES = 1 << 26
_TENSOR_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int32": schema.TensorType.INT32,
    "int8": schema.TensorType.INT8,
}


class AlignedBuffer:
    """Bytes packed at a multiple of 16, as the schema demands (``force_align: 16``) and the object API forgets.

    Kernels may load whole vectors from a memory-mapped file. The values, transposed or not, are copied once, straight
    to their place: fresh pages for intermediate copies would take most of a writer's time.
    """

    def __init__(self, values: npt.NDArray[Any] | None) -> None:
        self._values = values

    def Pack(self, builder: flatbuffers.Builder) -> int:
        """Pack as the schema's own ``BufferT`` does; the name is the object API's."""
        values = self._values
        if values is None:
            return int(schema.BufferT().Pack(builder))
        builder.StartVector(1, values.nbytes, _ALIGNMENT)
        builder.head = builder.Head() - values.nbytes
        place = np.frombuffer(builder.Bytes, values.dtype, values.size, builder.Head())
        place.reshape(values.shape)[...] = values
        del place  # a bytearray that is looked at cannot grow
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))


class _Scratch(threading.local):
    """What a thread packs files in, kept from one file to the next.

    Of a block with large weights the fresh pages took as long as all the rest of writing it. Nothing of an earlier file
    can stay in a later one: the builder writes every byte that it counts, its padding, too.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()

    def packed(self, model: Any, size_bytes: int) -> bytes:
        """Return a model's bytes; the buffer is kept unless it is very large.

        Args:
            model: The schema's object.
            size_bytes: About as large as the file will be; growing copies all that was written before.
        """
        if len(self._bytes) < size_bytes:
            self._bytes = bytearray(size_bytes)
        builder = flatbuffers.Builder(0)
        builder.Bytes, builder.head = self._bytes, len(self._bytes)
        builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
        if len(self._bytes) > _MOST_KEPT_BYTES:
            self._bytes = bytearray()
        return bytes(memoryview(builder.Bytes)[builder.Head() :])


_SCRATCH = _Scratch()


class TFLiteGraph:
    """Collects what a model of one subgraph consists of; tensors are known by their index."""

    def __init__(self) -> None:
        # Buffer 0 is empty by convention: whatever is computed at run time refers to it.
        self._buffers = [AlignedBuffer(None)]
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[tuple[int, int], int] = {}
        self._constants: dict[str, int] = {}
        self._content_bytes = 0

    def tensor(
        self, name: str, shape: Sequence[int], dtype: str = "float32", buffer: int = 0, quantization: Any = None
    ) -> int:
        """Append a tensor, with the schema's object of its quantisation if it has one, and return its index."""
        self._tensors.append(
            schema.TensorT(
                shape=list(shape),
                type=_TENSOR_TYPES[dtype],
                buffer=buffer,
                name=name,
                quantization=quantization,
                hasRank=True,
            )
        )
        return len(self._tensors) - 1

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return tuple(self._tensors[tensor].shape)

    def constant(self, name: str, values: npt.NDArray[Any], quantization: Any = None) -> int:
        """Store a float32, int32 or int8 array once and return its tensor's index."""
        if name not in self._constants:
            buffer = self._add_buffer(values)
            self._constants[name] = self.tensor(name, values.shape, str(values.dtype), buffer, quantization)
        return self._constants[name]

    def ints(self, *values: int) -> int:
        """Store a vector of int32 and return its tensor's index; equal vectors share one."""
        return self.constant("int32/" + "_".join(map(str, values)), np.array(values, np.int32))

    def scalar(self, name: str, value: float) -> int:
        """Store one float32 that broadcasts over any tensor, and return its tensor's index."""
        return self.constant(f"float32/{name}", np.array([value], np.float32))

    def operator(self, op: str, inputs: Sequence[int], output: int, options: Any = None, *, version: int = 1) -> None:
        """Append an operator.

        Args:
            op: Its name in the schema, e.g. ``CONV_2D``.
            inputs: Tensor indices.
            output: Tensor index.
            options: The schema's options object, if the operator has one.
            version: The least version that can do what is asked, so that old runtimes take the file.
        """
        key = (getattr(schema.BuiltinOperator, op), version)
        kind = getattr(schema.BuiltinOptions, type(options).__name__[:-1]) if options is not None else 0
        self._operators.append(
            schema.OperatorT(
                opcodeIndex=self._codes.setdefault(key, len(self._codes)),
                inputs=list(inputs),
                outputs=[output],
                builtinOptionsType=kind,
                builtinOptions=options,
            )
        )

    def pack(self, name: str, source: int, output: int, metadata: Mapping[str, str]) -> bytes:
        """Return the model's bytes.

        Args:
            name: The subgraph's name.
            source: Tensor index of the input, which the signature calls ``input``.
            output: Tensor index of the output, which the signature calls ``output``.
            metadata: Each text becomes a metadata buffer.
        """
        entries = [
            schema.MetadataT(name=key, buffer=self._add_buffer(np.frombuffer(value.encode() or b"\0", np.uint8)))
            for key, value in sorted(metadata.items())
        ]
        model = schema.ModelT(
            version=SCHEMA_VERSION,
            operatorCodes=[_operator_code(code, version) for code, version in self._codes],
            subgraphs=[
                schema.SubGraphT(
                    tensors=self._tensors, inputs=[source], outputs=[output], operators=self._operators, name=name
                )
            ],
            description=name,
            buffers=self._buffers,
            metadata=entries,
            signatureDefs=[
                schema.SignatureDefT(
                    inputs=[schema.TensorMapT(name="input", tensorIndex=source)],
                    outputs=[schema.TensorMapT(name="output", tensorIndex=output)],
                    signatureKey=SIGNATURE_KEY,
                    subgraphIndex=0,
                )
            ],
        )
        parts = len(self._tensors) + len(self._operators)
        return _SCRATCH.packed(model, self._content_bytes + 512 * parts + 4096)

    def _add_buffer(self, values: npt.NDArray[Any]) -> int:
        self._buffers.append(AlignedBuffer(values))
        self._content_bytes += values.nbytes + _ALIGNMENT
        return len(self._buffers) - 1


def _operator_code(code: int, version: int) -> Any:
    # Runtimes from before 2020 read the 8-bit field alone; every operator used here is below its limit of 127.
    return schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code, version=version)
