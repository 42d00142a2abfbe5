"""Where a model file goes wrong: the first layer that does not compute what torch computes from the same inputs.

Each layer is judged by itself. It gets in torch what it got in the file, so a mistake upstream does not count against
what comes behind it, and a small one is not lost in a deep network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mnas.export.intermediates import Values, onnx_values, tflite_values
from mnas.layers import NETWORK_INPUT, LayerSpec
from mnas.modules import LayerModule

_OUTPUT_NAME = "output"


@dataclass(frozen=True, slots=True)
class Divergence:
    """A layer that is not what it should be.

    Attributes:
        layer: Its name.
        op: Its kind.
        relative_difference: Largest difference over the range of what torch gives; NaN where there is no such number.
        why: In words.
    """

    layer: str
    op: str
    relative_difference: float
    why: str


def first_divergence(
    module: LayerModule, data: bytes, model_format: str, image: npt.NDArray[np.float32], limit: float
) -> Divergence | None:
    """Return the first layer of a model file that differs by more than a limit; ``None`` where none does by itself.

    Args:
        module: What the file should compute; it is put into evaluation mode.
        data: The file.
        model_format: ``onnx`` or ``tflite``.
        image: ``(1, C, H, W)``.
        limit: Of a layer's difference, as a share of the range of its output.
    """
    module.eval()
    layers = module.layers
    names = {layer.index: layer.name for layer in layers} | {layers[-1].index: _OUTPUT_NAME}
    read = onnx_values if model_format == "onnx" else tflite_values
    values = read(data, list(names.values()), image)
    for layer in layers:
        found = _judge(module, layer, names, values, image)
        if not found.relative_difference <= limit:
            return found
    return None


def _judge(
    module: LayerModule, layer: LayerSpec, names: dict[int, str], values: Values, image: npt.NDArray[np.float32]
) -> Divergence:
    name = names[layer.index]
    if name not in values:
        return Divergence(layer.name, layer.op, float("nan"), f"the file computes no tensor {name!r}")
    inputs = [image if source == NETWORK_INPUT else values[names[source]] for source in layer.inputs]
    try:
        with torch.no_grad():
            expected = module.run_layer(layer, [torch.from_numpy(np.array(one)) for one in inputs]).numpy()
    except RuntimeError as error:
        return Divergence(layer.name, layer.op, float("nan"), f"its input does not fit: {str(error).splitlines()[0]}")
    seen = values[name]
    if seen.shape != expected.shape:
        return Divergence(layer.name, layer.op, float("nan"), f"it gives {seen.shape}, not {expected.shape}")
    difference = _relative(expected, seen)
    return Divergence(layer.name, layer.op, difference, f"its output differs by {difference:.2g} of its range")


def _relative(expected: npt.NDArray[np.float32], seen: npt.NDArray[np.float32]) -> float:
    if not np.array_equal(np.isfinite(expected), np.isfinite(seen)):
        return float("inf")
    finite = np.isfinite(expected)
    if not finite.any():
        return 0.0
    difference = float(np.abs(expected[finite] - seen[finite]).max())
    span = float(np.ptp(expected[finite])) or float(np.abs(expected[finite]).max()) or 1.0
    return difference / span
