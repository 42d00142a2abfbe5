"""Writes networks with random weights, in each format, in order to measure them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mnas.architecture import Architecture
from mnas.errors import ConfigError
from mnas.export.artifact import SUFFIXES, ModelArtifact, save_artifact
from mnas.jsonio import sha256_json
from mnas.layers import LayerSpec, Shape, layers_of
from mnas.seeding import named_rng
from mnas.weights import Weights, random_weights

Dtype = Literal["float32", "int8"]


def write_network(
    architecture: Architecture, folder: Path, model_format: str, dtype: Dtype = "float32"
) -> ModelArtifact:
    """Write a whole network with random weights, for measuring; the same network gives the same bytes everywhere.

    Args:
        architecture: The network.
        folder: Made when missing.
        model_format: ``onnx``, ``tflite`` or ``pt2``.
        dtype: ``int8`` takes the ranges of white noise; no ``pt2``.

    Raises:
        ConfigError: ``CFG13``: no writer for this format and element type.
        OSError: The folder cannot be written.
    """
    layers = layers_of(architecture)
    shape, arch_id = architecture.input_shape_chw, architecture.arch_id
    return write_layers(layers, shape, folder, model_format, arch_id, dtype=dtype)


def write_layers(
    layers: tuple[LayerSpec, ...],
    shape_chw: Shape,
    folder: Path,
    model_format: str,
    arch_id: str = "",
    *,
    dtype: Dtype = "float32",
) -> ModelArtifact:
    """Write layers with random weights; equal layers give equal bytes.

    Args:
        layers: As `mnas.layers` gives them.
        shape_chw: What they are fed.
        folder: Made when missing.
        model_format: ``onnx``, ``tflite`` or ``pt2``.
        arch_id: Of the architecture, or "" for a fragment.
        dtype: As in `write_network`.

    Raises:
        ConfigError: ``CFG13``: no writer for this format and element type.
        OSError: The folder cannot be written.
    """
    weights = random_weights(layers, named_rng(0, "weights for measuring", len(layers), *shape_chw))
    data = (_bytes_of if dtype == "float32" else _int8_bytes_of)(layers, weights, model_format)
    stem = arch_id or sha256_json([repr(layers)])
    path = folder / f"{stem}{'' if dtype == 'float32' else f'-{dtype}'}{SUFFIXES[model_format]}"
    return save_artifact(
        data, path, model_format=model_format, input_shape_chw=shape_chw, arch_id=arch_id, outlasts_power=False
    )


def _bytes_of(layers: tuple[LayerSpec, ...], weights: Weights, model_format: str) -> bytes:
    # Each writer is loaded when it is needed: together they import onnx, LiteRT's schema and torch.
    if model_format == "onnx":
        from mnas.export.onnx import write_onnx

        return write_onnx(layers, weights, name="network")
    if model_format == "tflite":
        from mnas.export.tflite import write_tflite

        return write_tflite(layers, weights, name="network")
    from mnas.export.pt2 import write_pt2

    return write_pt2(layers, weights, name="network")


def require_writer(model_format: str, dtype: Dtype) -> None:
    """Check that models of a format can have an element type.

    Raises:
        ConfigError: ``CFG13``: they cannot.
    """
    if dtype == "int8" and model_format not in ("onnx", "tflite"):
        raise ConfigError(
            "CFG13",
            "there is no writer of this format for int8",
            value=model_format,
            why="int8 networks are written as ONNX and TFLite alone",
            fix="use host:ort or host:litert, or leave int8 out",
        )


def _int8_bytes_of(layers: tuple[LayerSpec, ...], weights: Weights, model_format: str) -> bytes:
    require_writer(model_format, "int8")
    from mnas.export.activation_ranges import random_ranges

    ranges = random_ranges(layers, weights)
    if model_format == "onnx":
        from mnas.export.int8_onnx import write_int8_onnx

        return write_int8_onnx(layers, weights, ranges, name="network")
    from mnas.export.int8_tflite import write_int8_tflite

    return write_int8_tflite(layers, weights, ranges, name="network")
