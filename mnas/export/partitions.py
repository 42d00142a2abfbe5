"""How many pieces XNNPACK takes a TFLite model in, and which operators it leaves to TFLite's own slower kernels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from mnas.export.file_facts import damaged
from mnas.export.litert import load_interpreter_class

_DELEGATE = "DELEGATE"


@dataclass(frozen=True, slots=True)
class Partitions:
    """What XNNPACK made of a model.

    Attributes:
        count: Pieces that it runs; 1 is a whole network.
        outside: Operators that it does not take, each as ``NAME -> tensor that it gives``, in the order of running.
    """

    count: int
    outside: tuple[str, ...]


def partitions_of(data: bytes) -> Partitions | None:
    """Let the runtime prepare a model and count; ``None`` where this runtime has no XNNPACK.

    Raises:
        ExportError: ``EXP06``: the runtime refuses the model.
        DeviceError: ``DEV01``: no TFLite runtime is installed.
    """
    return _count(data) if _has_xnnpack() else None


def _count(data: bytes) -> Partitions:
    interpreter_class = load_interpreter_class()[0]
    try:
        interpreter = interpreter_class(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise damaged("tflite", str(error)) from error
    details = interpreter._get_ops_details()
    names = {one["index"]: one["name"] for one in interpreter.get_tensor_details()}
    # Operators that a delegate took stand in the list as well; what runs is what the output is made of.
    makers = {int(place): one for one in details for place in one["outputs"] if one["op_name"] != _DELEGATE}
    makers |= {int(place): one for one in details for place in one["outputs"] if one["op_name"] == _DELEGATE}
    running = _needed(makers, [int(one["index"]) for one in interpreter.get_output_details()])
    outside = [one for one in running if one["op_name"] != _DELEGATE]
    return Partitions(
        len(running) - len(outside), tuple(f"{one['op_name']} -> {names[int(one['outputs'][0])]}" for one in outside)
    )


def _needed(makers: dict[int, Any], wanted: list[int]) -> list[Any]:
    """Return the operators that tensors come from, by the order in which the file has them."""
    found: dict[int, Any] = {}
    while wanted:
        maker = makers.get(wanted.pop())
        if maker is not None and maker["index"] not in found:
            found[maker["index"]] = maker
            wanted += [int(place) for place in maker["inputs"]]
    return [found[index] for index in sorted(found)]


@cache
def _has_xnnpack() -> bool:
    """Tell whether the runtime gives a lone convolution to a delegate."""
    from mnas.export.tflite import write_tflite
    from mnas.layers import LayerBuilder
    from mnas.weights import random_weights

    builder = LayerBuilder((1, 4, 4))
    builder.conv("conv", -1, 1, norm="none")
    layers = tuple(builder.layers)
    return _count(write_tflite(layers, random_weights(layers, np.random.default_rng(0)))).count > 0
