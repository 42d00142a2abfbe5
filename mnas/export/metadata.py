"""What our model files say about themselves."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

from mnas.architecture import Architecture
from mnas.export.artifact import WRITER_VERSION
from mnas.jsonio import canonical_json

ID_LENGTH = 12
"""Digits of an arch_id that name folders and graphs."""

LAYOUTS = {"onnx": "NCHW", "tflite": "NHWC"}
"""Order of the input's axes in each format."""


def model_metadata(
    architecture: Architecture, model_format: str, preprocessing: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Return the texts that a file of a whole network carries; all keys begin with ``mnas.``.

    Args:
        architecture: The network.
        model_format: ``onnx`` or ``tflite``.
        preprocessing: Of its images as in ``card.json``, where it is known.
    """
    known = {} if preprocessing is None else {"mnas.preprocessing": canonical_json(dict(preprocessing))}
    return {
        "mnas.arch_id": architecture.arch_id,
        "mnas.architecture": canonical_json(architecture.to_json()),
        "mnas.input_layout": LAYOUTS[model_format],
        "mnas.version": _version(),
        "mnas.writer_version": WRITER_VERSION,
        **known,
    }


def _version() -> str:
    try:
        return importlib.metadata.version("mnas")
    except importlib.metadata.PackageNotFoundError:  # a checkout that was not installed
        return "unknown"
