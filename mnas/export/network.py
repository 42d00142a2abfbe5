"""Writes networks with random weights, in each format, in order to measure them."""

from __future__ import annotations

from pathlib import Path

from mnas.architecture import Architecture
from mnas.export.artifact import SUFFIXES, ModelArtifact, save_artifact
from mnas.jsonio import sha256_json
from mnas.layers import LayerSpec, Shape, layers_of
from mnas.seeding import named_rng
from mnas.weights import Weights, random_weights


def write_network(architecture: Architecture, folder: Path, model_format: str) -> ModelArtifact:
    """Write a whole network with random weights, for measuring; the same network gives the same bytes everywhere.

    Args:
        architecture: The network.
        folder: Made when missing.
        model_format: ``onnx``, ``tflite`` or ``pt2``.

    Raises:
        OSError: The folder cannot be written.
    """
    layers = layers_of(architecture)
    return write_layers(layers, architecture.input_shape_chw, folder, model_format, architecture.arch_id)


def write_layers(
    layers: tuple[LayerSpec, ...], shape_chw: Shape, folder: Path, model_format: str, arch_id: str = ""
) -> ModelArtifact:
    """Write layers with random weights; equal layers give equal bytes.

    Args:
        layers: As `mnas.layers` gives them.
        shape_chw: What they are fed.
        folder: Made when missing.
        model_format: ``onnx``, ``tflite`` or ``pt2``.
        arch_id: Of the architecture, or "" for a fragment.

    Raises:
        OSError: The folder cannot be written.
    """
    weights = random_weights(layers, named_rng(0, "weights for measuring", len(layers), *shape_chw))
    data = _bytes_of(layers, weights, model_format)
    path = folder / f"{arch_id or sha256_json([repr(layers)])}{SUFFIXES[model_format]}"
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
