"""The versions that a measurement may depend on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("mnas", "onnxruntime", "ai-edge-litert", "tflite-runtime", "torch", "onnx", "numpy")


def versions() -> dict[str, str]:
    """Return package -> version of what is installed, with those of Python and of the system."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
