"""Puts model files in their places: whole, and over nothing that was there unless that is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from mnas.architecture import Architecture
from mnas.errors import ExportError
from mnas.export.artifact import ModelArtifact, save_artifact
from mnas.jsonio import remove_unfinished


class InMemory(Protocol):
    """A model file that passed its gate."""

    @property
    def data(self) -> bytes:
        """The whole file."""


def require_places(paths: Iterable[Path], *, may_replace: bool) -> None:
    """Refuse places that are taken or cannot be written, before any work is done.

    Raises:
        ExportError: ``EXP07``: a file is there. ``EXP08``: nothing can be written there.
    """
    for path in paths:
        if path.is_dir():
            raise _unwritable(path, "it is a folder")
        if not may_replace and os.path.lexists(path):
            raise ExportError(
                "EXP07",
                "the file exists",
                value=os.fspath(path),
                why="it may be of other weights",
                fix="replace it with --force, or name another folder with --out",
            )
        standing = next((one for one in path.absolute().parents if one.exists()), Path("/"))
        if not standing.is_dir():
            raise _unwritable(path, f"{os.fspath(standing)} is no folder")
        if not os.access(standing, os.W_OK | os.X_OK):
            raise _unwritable(path, f"{os.fspath(standing)} may not be written")


def place_models(
    models: Mapping[str, InMemory], paths: Mapping[str, Path], architecture: Architecture, *, may_replace: bool
) -> dict[str, ModelArtifact]:
    """Write files that passed the gate.

    Args:
        models: ``onnx`` or ``tflite`` -> the file.
        paths: Where each goes.
        architecture: The network.
        may_replace: Also over a file that came there in the meantime.

    Raises:
        ExportError: ``EXP07``, ``EXP08``: as `require_places`; a full disk, too.
    """
    require_places(paths.values(), may_replace=may_replace)
    files = {}
    for model_format, model in models.items():
        path = paths[model_format]
        try:
            remove_unfinished(path)
            files[model_format] = save_artifact(
                model.data,
                path,
                model_format=model_format,
                input_shape_chw=architecture.input_shape_chw,
                arch_id=architecture.arch_id,
            )
        except OSError as error:
            raise _unwritable(path, error.strerror or str(error)) from error
    return files


def _unwritable(path: Path, why: str) -> ExportError:
    return ExportError(
        "EXP08", "the file cannot be written", value=os.fspath(path), why=why, fix="name another folder with --out"
    )
