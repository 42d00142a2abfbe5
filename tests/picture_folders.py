"""Small folders of images, made by PIL for a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("birnen", "Äpfel", "猫")
"""In the order of their labels: by code points."""


def pattern(label: int, number: int, side: int = 16) -> np.ndarray:
    """Return RGB pixels of a class: a stripe at a place of its own, noise of the image's own."""
    pixels = np.random.default_rng([label, number]).integers(0, 60, (side, side, 3), dtype=np.uint8)
    width = side // 4
    pixels[:, label * width : (label + 1) * width] += 150
    return pixels


def make_folder(
    root: Path, count: int = 40, classes: tuple[str, ...] = CLASSES, side: int = 16, mode: str = "RGB"
) -> Path:
    """Write ``count`` PNG images of each class."""
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(pattern(label, number, side)).convert(mode).save(root / name / f"{number:03}.png")
    return root
