"""Quantises a network: from trained weights and a few hundred images to files of 8-bit integers that were checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mnas.architecture import Architecture
from mnas.export.activation_ranges import ActivationRanges, calibrate
from mnas.export.int8_layers import most_harmed_layer
from mnas.export.int8_onnx import write_int8_onnx
from mnas.export.int8_plan import plan_int8
from mnas.export.int8_report import (
    TRAINED,
    Int8Report,
    RankingLimits,
    check_int8,
    compare_outputs,
    outputs_of,
    require_int8,
)
from mnas.export.int8_tflite import write_int8_tflite
from mnas.export.metadata import ID_LENGTH, model_metadata
from mnas.export.parity import Image, Outputs, Run, run_onnx, run_tflite, run_torch
from mnas.export.program import module_of
from mnas.layers import LayerSpec
from mnas.modules import LayerModule, folded_weights
from mnas.weights import Weights

INTERFACE = {"mnas.dtype": "int8", "mnas.interface_dtype": "float32"}
"""What a file says of itself: it computes in integers and takes and gives floats, as the float32 file does."""
_BATCH = 64
_WRITERS: Mapping[str, Callable[..., bytes]] = {"onnx": write_int8_onnx, "tflite": write_int8_tflite}
_RUNS: Mapping[str, Callable[[bytes], Run]] = {"onnx": run_onnx, "tflite": run_tflite}


@dataclass(frozen=True, slots=True)
class Int8Model:
    """A model file of integers and what the gate found.

    Attributes:
        data: The whole file.
        report: Its faults included.
    """

    data: bytes
    report: Int8Report


def quantize(
    layers: tuple[LayerSpec, ...],
    weights: Weights,
    model_format: str,
    ranges: ActivationRanges,
    images: Image,
    labels: npt.NDArray[np.int64] | None = None,
    *,
    name: str = "network",
    metadata: Mapping[str, str] | None = None,
    limits: RankingLimits = TRAINED,
) -> Int8Model:
    """Write a network in 8-bit integers and compare it with the float one.

    Args:
        layers: As `mnas.layers` gives them.
        weights: Folded weights of every ``conv`` and ``linear`` layer.
        model_format: ``onnx`` or ``tflite``.
        ranges: Of `mnas.export.activation_ranges.calibrate`; one calibration serves both formats.
        images: To compare on, ``(n, C, H, W)``, at least 2; others than those of the calibration tell more.
        labels: Of the images, ``(n,)``, where they are known.
        name: The graph's name.
        metadata: Stored in the file.
        limits: See `mnas.export.int8_report.check_int8`.

    Raises:
        ExportError: ``EXP02``: layers and weights do not fit together, or too few images.
    """
    texts = {**INTERFACE, **(metadata or {})}
    data = _WRITERS[model_format](layers, weights, ranges, name=name, metadata=texts)
    seen = outputs_of(_RUNS[model_format](data), images)
    accuracy = compare_outputs(float_outputs(layers, weights, images), seen, labels)
    planned = plan_int8(layers, weights, ranges).layers
    report = check_int8(
        data,
        planned,
        model_format,
        accuracy,
        texts,
        limits=limits,
        harmed=lambda: most_harmed_layer(layers, weights, data, model_format, images),
    )
    return Int8Model(data, report)


def float_outputs(layers: tuple[LayerSpec, ...], weights: Weights, images: Image) -> Outputs:
    """Return what the float network makes of images, float64 ``(n, outputs)``."""
    # Building a module draws weights that are replaced at once; the caller's generator must not notice.
    with torch.random.fork_rng(devices=[]):
        run = run_torch(module_of(layers, weights))
    batches = (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
    outputs = [np.asarray(run(np.ascontiguousarray(batch)), np.float64) for batch in batches]
    return np.concatenate([batch.reshape(len(batch), -1) for batch in outputs]) if outputs else np.zeros((0, 1))


def export_int8(
    architecture: Architecture,
    module: LayerModule,
    calibration_images: Image,
    places: Mapping[str, str],
    *,
    images: Image | None = None,
    labels: npt.NDArray[np.int64] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    limits: RankingLimits = TRAINED,
) -> dict[str, Int8Model]:
    """Quantise a network in every format that is asked for; nothing is given of which one file is refused.

    Args:
        architecture: The network.
        module: With its trained weights.
        calibration_images: As the network takes them, ``(n, C, H, W)``.
        places: ``onnx`` or ``tflite`` -> where the file is to go, as a person knows it.
        images: To compare on; those of the calibration where there are no others.
        labels: Of these images, where they are known.
        preprocessing: Of its images as in ``card.json``, where it is known; it goes into the files.
        limits: See `mnas.export.int8_report.check_int8`.

    Raises:
        ExportError: ``EXP11``: the images cannot calibrate it. ``EXP03``, ``EXP04``, ``EXP05``, ``EXP12``: a file is
            refused.
    """
    weights, found = folded_weights(module), {}
    ranges = calibrate(module.layers, weights, calibration_images)
    for model_format, place in places.items():
        found[model_format] = quantize(
            module.layers,
            weights,
            model_format,
            ranges,
            calibration_images if images is None else images,
            labels,
            name=architecture.arch_id[:ID_LENGTH],
            metadata=model_metadata(architecture, model_format, preprocessing),
            limits=limits,
        )
        require_int8(found[model_format].report, place)
    return found
