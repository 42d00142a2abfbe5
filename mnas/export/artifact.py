"""A model file on the disk and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mnas.jsonio import sha256_bytes, sha256_json, write_bytes_atomic

SUFFIXES = {"onnx": ".onnx", "tflite": ".tflite", "pt2": ".pt2"}
WRITER_VERSION = "1"
"""Raised whenever a writer's output changes in a way that could change a latency."""


@dataclass(frozen=True, slots=True)
class ModelArtifact:
    """A model file.

    Attributes:
        path: Where it lies.
        format: ``onnx``, ``tflite`` or ``pt2``.
        dtype: Element type of the first input; ``float32`` for our own exports.
        input_shape: Of the first input, with batch; in our own exports NHWC for TFLite, else NCHW.
        sha256: Of the file.
        size_bytes: Of the file.
        arch_id: Of the architecture, or "" for a fragment or a foreign model.
        writer_version: Version of the writer, or "" for a foreign model.
        input_shapes: Name and full sizes of every input, in the file's order; empty for our own exports, whose one
            input has `input_shape`.
        input_fill: Name of an input -> the number that all of it holds while it is measured; others are random.
    """

    path: Path
    format: str
    dtype: str
    input_shape: tuple[int, ...]
    sha256: str
    size_bytes: int
    arch_id: str
    writer_version: str
    input_shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    input_fill: tuple[tuple[str, float], ...] = ()

    @property
    def identity(self) -> str:
        """What is measured: the file alone (its sha256), or the file with the shapes and numbers that it is fed."""
        if not self.input_shapes and not self.input_fill:
            return self.sha256
        fill = [[[name, number] for name, number in self.input_fill]] if self.input_fill else []
        return sha256_json([self.sha256, [[name, list(sizes)] for name, sizes in self.input_shapes], *fill])


def save_artifact(
    data: bytes,
    path: Path,
    *,
    model_format: str,
    input_shape_chw: tuple[int, int, int],
    arch_id: str = "",
    outlasts_power: bool = True,
) -> ModelArtifact:
    """Write a model's bytes whole or not at all and describe the file.

    Args:
        data: The model.
        path: Where it goes.
        model_format: ``onnx``, ``tflite`` or ``pt2``.
        input_shape_chw: What it is fed.
        arch_id: Of the architecture, or "" for a fragment.
        outlasts_power: As for `mnas.jsonio.write_bytes_atomic`.

    Raises:
        OSError: The folder cannot be written.
    """
    channels, height, width = input_shape_chw
    shape = (1, height, width, channels) if model_format == "tflite" else (1, channels, height, width)
    write_bytes_atomic(path, data, outlasts_power=outlasts_power)
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
