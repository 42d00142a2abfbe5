"""Finalists in 8-bit integers, where it is their latency that counts."""

from __future__ import annotations

from mnas.errors import ExportError
from mnas.export.artifact import ModelArtifact
from mnas.export.folder import export_folder
from search.candidate import Candidate
from search.context import StudyContext
from search.finalists import weights_path
from search.int8_files import write_int8_files
from search.training.weights_file import load_weights


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
    module = load_weights(architecture, weights_path(context.work, finalist.arch_id, repeat))
    folder = export_folder(context.exports, finalist.arch_id)
    return write_int8_files(context.dataset, architecture, module, folder, [model_format])[model_format][0]
