"""What is done to an image before a network sees it, as ``card.json`` and the model files tell it."""

from __future__ import annotations

from typing import Any

from mnas.architecture import Architecture
from search.data.dataset import Dataset


def preprocessing_of(dataset: Dataset, architecture: Architecture) -> dict[str, Any]:
    """Return the preprocessing of a data set's images; docs/contracts.md describes the keys."""
    channels, px, _ = architecture.input_shape_chw
    return {
        "px": px,
        "channels": channels,
        "layout": {"onnx": "NCHW", "tflite": "NHWC"},
        "resize": "bilinear, antialiased",
        "scale": "pixels / 255",
        "mean": [round(value, 6) for value in dataset.mean],
        "std": [round(value, 6) for value in dataset.std],
    }
