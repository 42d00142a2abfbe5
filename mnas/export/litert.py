"""The one place that imports a TFLite interpreter: two packages hold the same library under one interface."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

from mnas.errors import DeviceError

_CANDIDATES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
)


def load_interpreter_class() -> tuple[type[Any], str, str]:
    """Return the interpreter class, the package it came from and that package's version.

    Raises:
        DeviceError: ``DEV01``: neither package can be imported.
    """
    reasons = []
    for module_name, package in _CANDIDATES:
        try:
            module = importlib.import_module(module_name)
            return module.Interpreter, package, importlib.metadata.version(package)
        except (ImportError, AttributeError) as error:
            reasons.append(f"{package}: {error}")
    raise DeviceError(
        "DEV01",
        "no TFLite runtime can be imported",
        value="; ".join(reasons),
        why="a .tflite file needs one to run on this machine",
        fix="pip install ai-edge-litert",
    )
