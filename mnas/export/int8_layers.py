"""Which layer of a network 8-bit integers harm most: where a person who is refused a file may begin to look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mnas.export.int8_report import centred_cosine
from mnas.export.intermediates import onnx_values, tflite_values
from mnas.export.parity import Image
from mnas.export.program import module_of
from mnas.layers import NETWORK_INPUT, LayerSpec
from mnas.weights import Weights

MOST_IMAGES = 8
"""The whole of every layer's output is kept for each of them."""
_OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class HarmedLayer:
    """A layer, and how far integers change what it tells of images.

    Attributes:
        name: Of the layer.
        op: Its kind.
        cosine: Of its outputs in both networks, each less its mean over the images; NaN where the integers are the same
            for every image.
    """

    name: str
    op: str
    cosine: float


def most_harmed_layer(
    layers: tuple[LayerSpec, ...], weights: Weights, data: bytes, model_format: str, images: Image
) -> HarmedLayer | None:
    """Return the layer of least cosine between the float and the integer network, the first of equal ones.

    Harm adds up along a network: the layer named is where it is greatest, not where it begins.

    Args:
        layers: As `mnas.layers` gives them.
        weights: Folded weights of the float network.
        data: The file of integers.
        model_format: ``onnx`` or ``tflite``.
        images: ``(n, C, H, W)``, at least 2; the first `MOST_IMAGES` are used.

    Returns:
        ``None`` where no layer's outputs can be had, or images move none in the float network.
    """
    few = images[:MOST_IMAGES]
    try:
        integers = _integer_outputs(layers, data, model_format, few)
    except Exception:  # whatever a runtime says of further outputs: the search for a reason hides no refusal
        return None
    expected = _float_outputs(layers, weights, few)
    found = []
    for layer in layers:
        if layer.name in integers and np.ptp(expected[layer.name], axis=0).any():
            cosine = centred_cosine(expected[layer.name], integers[layer.name])
            found.append(HarmedLayer(layer.name, layer.op, cosine))
    return min(found, key=lambda one: -1.0 if np.isnan(one.cosine) else one.cosine, default=None)


def _integer_outputs(
    layers: tuple[LayerSpec, ...], data: bytes, model_format: str, images: Image
) -> dict[str, npt.NDArray[np.float64]]:
    """Return each layer's integers as they are: neither scale nor zero point changes a cosine less the mean."""
    names = {layer.name: layer.name for layer in layers} | {layers[-1].name: _OUTPUT}
    suffix = "/int8" if model_format == "onnx" else ""
    tensors = {f"{tensor}{suffix}": name for name, tensor in names.items()}
    read = onnx_values if model_format == "onnx" else tflite_values
    runs = [read(data, list(tensors), one[None]) for one in images]
    return {
        name: np.stack([run[tensor].astype(np.float64).ravel() for run in runs])
        for tensor, name in tensors.items()
        if all(tensor in run for run in runs)
    }


def _float_outputs(
    layers: tuple[LayerSpec, ...], weights: Weights, images: Image
) -> dict[str, npt.NDArray[np.float64]]:
    with torch.random.fork_rng(devices=[]):
        module = module_of(layers, weights)
    values = {NETWORK_INPUT: torch.from_numpy(np.ascontiguousarray(images))}
    with torch.no_grad():
        for layer in layers:
            values[layer.index] = module.run_layer(layer, [values[one] for one in layer.inputs])
    return {layer.name: values[layer.index].reshape(len(images), -1).numpy().astype(np.float64) for layer in layers}
