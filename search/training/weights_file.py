"""Trained weights on the disk: tensors only, written whole, read without running code."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import torch
from torch import nn

from mnas.architecture import Architecture
from mnas.errors import TrainingError
from mnas.jsonio import write_bytes_atomic
from mnas.modules import LayerModule, build_module


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a module's ``state_dict`` whole or not at all.

    Raises:
        OSError: The folder cannot be made or written.
    """
    buffer = io.BytesIO()
    torch.save({name: tensor.detach().contiguous() for name, tensor in module.state_dict().items()}, buffer)
    write_bytes_atomic(path, buffer.getvalue())


def load_weights(architecture: Architecture, path: Path) -> LayerModule:
    """Return an architecture's module, in evaluation mode, with the weights of a file.

    Raises:
        TrainingError: ``TRN04``: the file is not there, is damaged or holds another network's weights.
    """
    module = build_module(architecture)
    try:
        module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, TypeError, AttributeError, ValueError) as error:
        raise TrainingError(
            "TRN04",
            "the weights of a trained network cannot be read",
            value=str(path),
            why=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix="delete the file and resume the study, which trains the network again",
        ) from error
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module.eval()
