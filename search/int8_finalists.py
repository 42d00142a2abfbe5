"""Finalists in 8-bit integers, where it is their latency that counts."""

from __future__ import annotations

import numpy as np

from mnas.errors import ExportError
from mnas.export.artifact import ModelArtifact, save_artifact
from mnas.export.folder import export_folder
from mnas.export.int8 import export_int8
from search.candidate import Candidate
from search.context import StudyContext
from search.data.dataset import tensors
from search.data.preprocessing import preprocessing_of
from search.finalists import weights_path
from search.training.weights_file import load_weights

_CALIBRATION_IMAGES = 128
_COMPARED_IMAGES = 256


def int8_files(context: StudyContext, finalists: list[Candidate], model_format: str) -> dict[str, ModelArtifact]:
    """Write each exported finalist as ``model-int8.onnx`` or ``.tflite`` beside its other files.

    Ranges come from images of the training split, and what the integers cost is judged on val. A network whose file
    the gate refuses is told of and left out.

    Args:
        context: The study.
        finalists: Those that are exported.
        model_format: ``onnx`` or ``tflite``.

    Returns:
        arch_id -> file.
    """
    files = {}
    for finalist in finalists:
        event = context.log.payload("exported", finalist.arch_id)
        if event is None:
            continue
        try:
            files[finalist.arch_id] = _file(context, finalist, event["repeat"], model_format)
        except ExportError as failure:
            context.reporter.warn(f"finalist {finalist.arch_id[:12]} is not measured in int8: {failure}")
    return files


def _file(context: StudyContext, finalist: Candidate, repeat: int, model_format: str) -> ModelArtifact:
    architecture = context.architecture(finalist.genome)
    px = architecture.input_shape_chw[1]
    calibration, _ = tensors(context.dataset, "train", px, _CALIBRATION_IMAGES)
    images, labels = tensors(context.dataset, "val", px, _COMPARED_IMAGES)
    path = export_folder(context.exports, finalist.arch_id) / f"model-int8.{model_format}"
    models = export_int8(
        architecture,
        load_weights(architecture, weights_path(context.work, finalist.arch_id, repeat)),
        np.asarray(calibration.contiguous().numpy(), dtype=np.float32),
        {model_format: f"{path.parent.name}/{path.name}"},
        images=np.asarray(images.contiguous().numpy(), dtype=np.float32),
        labels=np.asarray(labels.numpy(), dtype=np.int64),
        preprocessing=preprocessing_of(context.dataset, architecture),
    )
    return save_artifact(
        models[model_format].data,
        path,
        model_format=model_format,
        input_shape_chw=architecture.input_shape_chw,
        arch_id=finalist.arch_id,
    )
