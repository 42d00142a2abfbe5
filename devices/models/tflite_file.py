"""A TFLite file as a description, read from the file itself; no runtime is asked."""

from __future__ import annotations

import math
import struct
from collections import Counter
from pathlib import Path

from devices.models.description import ModelDescription, TensorSpec
from devices.models.file_bytes import not_a_model, read_model_file
from devices.models.shapes import InputSizes, Shapes, fit_shapes
from devices.models.tflite_macs import count_macs
from devices.models.tflite_reader import TFLiteSubgraph, TFLiteTensor, read_subgraphs

_DAMAGED = (ValueError, TypeError, IndexError, OverflowError, AttributeError, KeyError, struct.error)
_WEIGHT_DTYPES = frozenset(
    {"float16", "float32", "float64", "bfloat16", "int8", "uint8", "int16", "int4", "uint4", "int2"}
)
_BIASED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "CONV_3D"})


def describe_tflite(path: Path, shapes: Shapes | None = None) -> ModelDescription:
    """Describe a TFLite file.

    The file holds shapes for the sizes that it was converted with. With other sizes for its open dimensions the shapes
    inside are not known, and neither are the multiply-accumulates.

    Args:
        path: The file.
        shapes: Sizes for open dimensions. Without (``None``) they stay open.

    Raises:
        ModelError: ``MOD02``: the file cannot be read. ``MOD03``: it is no TFLite model. ``MOD06``, ``MOD07``: shapes
            that do not fit, or are wanting.
    """
    data = read_model_file(path)
    try:
        graph = read_subgraphs(data)[0]
    except _DAMAGED as error:
        raise not_a_model(path, "tflite", str(error)) from error
    inputs = [graph.tensors[place] for place in graph.inputs]
    sizes: dict[str, tuple[int, ...]] = {}
    if shapes is not None:
        sizes = fit_shapes([_input(one) for one in inputs], shapes, path.name)
    is_as_converted = all(sizes.get(one.name, one.shape) == one.shape for one in inputs)
    return ModelDescription(
        inputs=tuple(TensorSpec(one.name, one.dtype, sizes.get(one.name, _open(one))) for one in inputs),
        outputs=tuple(
            TensorSpec(one.name, one.dtype, one.shape if sizes and is_as_converted else _open(one))
            for one in (graph.tensors[place] for place in graph.outputs)
        ),
        operators=dict(sorted(Counter(one.name for one in graph.operators).items())),
        macs=count_macs(graph) if is_as_converted else None,
        params=_params(graph),
    )


def _input(tensor: TFLiteTensor) -> InputSizes:
    sizes = tuple("" if size < 0 else size for size in tensor.signature)
    return InputSizes(tensor.name, tensor.dtype, sizes)


def _open(tensor: TFLiteTensor) -> tuple[int | None, ...]:
    return tuple(None if size < 0 else size for size in tensor.signature)


def _params(graph: TFLiteSubgraph) -> int:
    """Return how many weights are stored, each buffer once.

    Single numbers are none, and neither are whole numbers but for 8-bit weights and their biases.
    """
    biases = {place for one in graph.operators if one.name in _BIASED for place in one.inputs[2:3]}
    counted: dict[int, int] = {}
    for place, tensor in enumerate(graph.tensors):
        is_bias = place in biases and tensor.dtype in ("int32", "int64")
        is_single = tensor.shape in ((), (1,)) and place not in biases
        if tensor.stored_bytes and not is_single and (is_bias or tensor.dtype in _WEIGHT_DTYPES):
            counted[tensor.buffer] = math.prod(max(size, 0) for size in tensor.shape)
    return sum(counted.values())
