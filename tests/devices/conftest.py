from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mnas.architecture import Block
from mnas.export.artifact import SUFFIXES, ModelArtifact, save_artifact
from mnas.layers import layers_of_blocks
from mnas.weights import random_weights

MakeNet = Callable[[str, int], ModelArtifact]


@pytest.fixture(scope="session")
def make_net(tmp_path_factory: pytest.TempPathFactory) -> MakeNet:
    """Write a small real net: ``make_net("onnx", 8)`` has 8 channels."""
    from mnas.export.onnx import write_onnx
    from mnas.export.pt2 import write_pt2
    from mnas.export.tflite import write_tflite

    folder = tmp_path_factory.mktemp("nets")

    def make(model_format: str, channels: int) -> ModelArtifact:
        shape = (3, 16, 16)
        blocks = (
            Block(op="conv", kernel_size=3, stride=2, out_channels=channels, activation="relu"),
            Block(op="pool", out_channels=channels),
            Block(op="linear", out_channels=10),
        )
        layers = layers_of_blocks(blocks, shape)
        write = {"onnx": write_onnx, "tflite": write_tflite, "pt2": write_pt2}[model_format]
        data = write(layers, random_weights(layers, np.random.default_rng(channels)), name=f"net{channels}")
        path = folder / f"net{channels}{SUFFIXES[model_format]}"
        return save_artifact(data, path, model_format=model_format, input_shape_chw=shape)

    return make


@pytest.fixture
def make_bad(tmp_path: Path) -> Callable[[str, bytes], ModelArtifact]:
    """Save bytes that are no model."""

    def make(model_format: str, data: bytes) -> ModelArtifact:
        path = tmp_path / f"bad{SUFFIXES[model_format]}"
        return save_artifact(data, path, model_format=model_format, input_shape_chw=(3, 16, 16))

    return make
