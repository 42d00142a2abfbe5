"""Model files in memory that passed the gate: nothing is written of a network of which one file is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mnas.architecture import Architecture
from mnas.export.gate import GateReport, check_model, require
from mnas.export.metadata import ID_LENGTH, model_metadata
from mnas.export.onnx import write_onnx
from mnas.export.parity import MIN_MOVES, Image
from mnas.export.tflite import write_tflite
from mnas.modules import LayerModule, folded_weights

_WRITERS = {"onnx": write_onnx, "tflite": write_tflite}


@dataclass(frozen=True, slots=True)
class GatedModel:
    """A model file's bytes and what the gate found.

    Attributes:
        data: The whole file.
        report: Without faults.
    """

    data: bytes
    report: GateReport


def gated_models(
    architecture: Architecture,
    module: LayerModule,
    images: Image,
    places: Mapping[str, str],
    *,
    preprocessing: Mapping[str, Any] | None = None,
    min_moves: float = MIN_MOVES,
) -> dict[str, GatedModel]:
    """Write a network in memory, in every format that is asked for, and have the gate check each.

    Args:
        architecture: The network.
        module: With its weights; it is put into evaluation mode.
        images: Preprocessed images for the gate, ``(n, C, H, W)``, at least 2.
        places: ``onnx`` or ``tflite`` -> where the file is to go, as a person knows it.
        preprocessing: Of its images as in ``card.json``, where it is known; it goes into the files.
        min_moves: How far outputs must differ, see `mnas.export.gate.check_model`.

    Raises:
        ExportError: ``EXP01``, ``EXP03``, ``EXP04``, ``EXP05``, ``EXP06``: a file is refused.
    """
    weights, found = folded_weights(module), {}
    for model_format, place in places.items():
        metadata = model_metadata(architecture, model_format, preprocessing)
        data = _WRITERS[model_format](module.layers, weights, name=architecture.arch_id[:ID_LENGTH], metadata=metadata)
        report = check_model(data, module, model_format, images, metadata, min_moves=min_moves)
        require(report, place)
        found[model_format] = GatedModel(data, report)
    return found
