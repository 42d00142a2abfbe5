"""Weights that a study keeps while it runs: read as any ``weights.pt`` is, with the study's own advice on failure."""

from __future__ import annotations

from pathlib import Path

import torch

from mnas.architecture import Architecture
from mnas.errors import ExportError, TrainingError
from mnas.export import weights_file
from mnas.export.weights_file import save_weights
from mnas.modules import LayerModule

__all__ = ["load_weights", "save_weights"]


def load_weights(architecture: Architecture, path: Path) -> LayerModule:
    """Return an architecture's module, in evaluation mode, with the weights of a file.

    Raises:
        TrainingError: ``TRN04``: the file is not there, is damaged or holds another network's weights.
    """
    try:
        module = weights_file.load_weights(architecture, path)
    except ExportError as error:
        raise TrainingError(
            "TRN04",
            "the weights of a trained network cannot be used",
            value=str(path),
            why=f"{error.what}, {error.value}: {error.why}",
            fix="delete the file and resume the study, which trains the network again",
        ) from error
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module
