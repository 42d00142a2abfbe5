"""A model file on the disk and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mnas.jsonio import sha256_bytes, write_bytes_atomic

SUFFIXES = {"onnx": ".onnx", "tflite": ".tflite"}
WRITER_VERSION = "1"
"""Raised whenever a writer's output changes in a way that could change a latency."""


@dataclass(frozen=True, slots=True)
class ModelArtifact:
    """A model file.

    Attributes:
        path: Where it lies.
        format: ``onnx`` or ``tflite``.
        dtype: ``float32`` (others come with their writers).
        input_shape: With batch; NCHW for ONNX, NHWC for TFLite.
        sha256: Of the file.
        size_bytes: Of the file.
        arch_id: Of the architecture, or "" for a fragment or a foreign model.
        writer_version: Version of the writer, or "" for a foreign model.
    """

    path: Path
    format: str
    dtype: str
    input_shape: tuple[int, ...]
    sha256: str
    size_bytes: int
    arch_id: str
    writer_version: str


def save_artifact(
    data: bytes,
    path: Path,
    *,
    model_format: str,
    input_shape_chw: tuple[int, int, int],
    arch_id: str = "",
) -> ModelArtifact:
    """Write a model's bytes whole or not at all and describe the file.

    Raises:
        OSError: The folder cannot be written.
    """
    channels, height, width = input_shape_chw
    shape = (1, channels, height, width) if model_format == "onnx" else (1, height, width, channels)
    write_bytes_atomic(path, data)
    return ModelArtifact(
        path=path,
        format=model_format,
        dtype="float32",
        input_shape=shape,
        sha256=sha256_bytes(data),
        size_bytes=len(data),
        arch_id=arch_id,
        writer_version=WRITER_VERSION,
    )
