"""Images that move a network's output, where its own images are not at hand.

White noise does for most; a network without batch norm, or one that was trained, may hardly tell two such images apart.
"""

from __future__ import annotations

import itertools
from statistics import median

import numpy as np

from mnas.export.parity import Image, Run, parity_inputs

COUNT = 6
MIN_MOVES = 0.01
"""Least movement of a trained network on such images, a hundred times the difference that is allowed: noise is not what
it was trained on, and much of it may look alike to it."""

_COARSE = 4


def probe_images(reference: Run, input_shape_chw: tuple[int, int, int], seed: int, count: int = COUNT) -> Image:
    """Return those of several kinds of random images on which the outputs differ most, ``(count, C, H, W)``.

    Args:
        reference: The network.
        input_shape_chw: Channels and pixels of the images.
        seed: Of the images.
        count: Number of images, at least 2.
    """
    return max(_kinds(input_shape_chw, seed, count), key=lambda images: _movement(reference, images))


def _kinds(shape: tuple[int, int, int], seed: int, count: int) -> list[Image]:
    """White noise, coarse patches, and single colours under noise; all of about unit variance."""
    channels, height, width = shape
    white = parity_inputs(shape, count, seed)
    rows, columns = -(-height // _COARSE), -(-width // _COARSE)
    small = parity_inputs((channels, rows, columns), count, seed + 1)
    coarse = np.repeat(np.repeat(small, _COARSE, axis=2), _COARSE, axis=3)[:, :, :height, :width]
    colours = parity_inputs((channels, 1, 1), count, seed + 2) + np.float32(0.3) * white
    return [white, np.ascontiguousarray(coarse), colours]


def _movement(reference: Run, images: Image) -> float:
    outputs = np.stack([reference(image[None]) for image in images])
    span = float(np.ptp(outputs))
    if not np.isfinite(outputs).all() or span == 0.0:
        return 0.0
    return median(float(np.abs(a - b).max()) for a, b in itertools.combinations(outputs, 2)) / span
