"""Quantises a TFLite file with ai-edge-quantizer, in the Python of a throw-away environment that holds it.

Called as ``python _ai_edge_quantizer.py MODEL.tflite IMAGES.npy OUT.tflite``; the images are NHWC, float32. Settings
are its own recipe for static int8 of weights and activations.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def main() -> None:
    """Quantise."""
    from ai_edge_quantizer import quantizer, recipe

    model, images, out = sys.argv[1:]
    tool = quantizer.Quantizer(model)
    tool.load_quantization_recipe(recipe.static_wi8_ai8())
    data = {"serving_default": [{"input": image[None]} for image in np.load(images)]}
    result = tool.quantize(tool.calibrate(data))
    Path(out).write_bytes(result.quantized_model)


if __name__ == "__main__":
    main()
