"""A trained network as files of 8-bit integers, calibrated and judged on its own data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnas.architecture import Architecture
from mnas.export.artifact import ModelArtifact, save_artifact
from mnas.export.int8 import export_int8
from mnas.export.int8_report import Int8Report
from mnas.modules import LayerModule
from search.data.dataset import Dataset, tensors
from search.data.preprocessing import preprocessing_of

_CALIBRATION_IMAGES = 128
COMPARED_IMAGES = 256


def write_int8_files(
    dataset: Dataset,
    architecture: Architecture,
    module: LayerModule,
    folder: Path,
    formats: Sequence[str],
    compared_images: int = COMPARED_IMAGES,
) -> dict[str, tuple[ModelArtifact, Int8Report]]:
    """Write ``model-int8.onnx`` and ``.tflite``; ranges come from images of train, the integers are judged on val.

    Args:
        dataset: Of the network.
        architecture: The network.
        module: With its trained weights.
        folder: Where the files go.
        formats: ``onnx``, ``tflite``.
        compared_images: Of val, that both networks are compared on; 0 for all.

    Raises:
        ExportError: ``EXP11``: the images cannot calibrate it. ``EXP03``, ``EXP04``, ``EXP05``, ``EXP12``: a file is
            refused; then none is written.
    """
    px = architecture.input_shape_chw[1]
    calibration, _ = tensors(dataset, "train", px, _CALIBRATION_IMAGES)
    images, labels = tensors(dataset, "val", px, compared_images)
    paths = {model_format: folder / f"model-int8.{model_format}" for model_format in formats}
    models = export_int8(
        architecture,
        module,
        np.asarray(calibration.contiguous().numpy(), dtype=np.float32),
        {model_format: f"{path.parent.name}/{path.name}" for model_format, path in paths.items()},
        images=np.asarray(images.contiguous().numpy(), dtype=np.float32),
        labels=np.asarray(labels.numpy(), dtype=np.int64),
        preprocessing=preprocessing_of(dataset, architecture),
    )
    found = {}
    for model_format, path in paths.items():
        file = save_artifact(
            models[model_format].data,
            path,
            model_format=model_format,
            input_shape_chw=architecture.input_shape_chw,
            arch_id=architecture.arch_id,
        )
        found[model_format] = (file, models[model_format].report)
    return found
