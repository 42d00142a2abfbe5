"""How long it takes to write one block, and a whole network, as ONNX and as TFLite.

Claim: a block takes at most 15 ms as ONNX and 10 ms as TFLite, from `Block` to bytes: layers, random weights, file.
``torch.onnx.export`` writes the same blocks in the same run, from a module built beforehand. A figure is a median.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _result import write_result

from mnas.architecture import Block
from mnas.export.onnx import write_onnx
from mnas.export.tflite import write_tflite
from mnas.layers import Shape, layers_of, layers_of_blocks
from mnas.modules import LayerModule
from mnas.named_networks import mobilenetv3_large
from mnas.weights import random_weights

SEED = 0
# Stage and position in MobileNetV3-Large: small and early, with squeeze-and-excitation, middle, and the largest.
PLACES = ((1, 0), (2, 1), (3, 1), (5, 1))
TARGETS = {"onnx_block_ms_slowest": ("<=", 15.0), "tflite_block_ms_slowest": ("<=", 10.0)}


def representative_blocks() -> list[tuple[Block, Shape]]:
    """Return blocks of MobileNetV3-Large with the shapes of their inputs."""
    architecture = mobilenetv3_large()
    layers = layers_of(architecture)
    first = {place: next(layer for layer in layers if layer.block == place) for place in PLACES}
    return [(architecture.stages[s].blocks[p], first[s, p].in_shapes_chw[0]) for s, p in PLACES]


def median_ms(action: Callable[[], object], repeats: int) -> float:
    """Return the median duration of an action in milliseconds, after one run that is not counted."""
    action()
    durations = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        durations.append((time.perf_counter() - start) * 1000)
    return statistics.median(durations)


def torch_export(module: torch.nn.Module, shape: Shape, *, dynamo: bool) -> None:
    """Export as a user of torch would."""
    image = torch.zeros(1, *shape)
    with warnings.catch_warnings():
        # Both exporters warn of deprecations, their own and those inside them.
        warnings.simplefilter("ignore")
        if dynamo:
            torch.onnx.export(module, (image,), dynamo=True, verbose=False)
        else:
            torch.onnx.export(module, (image,), io.BytesIO(), dynamo=False, opset_version=17)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the result to this file")
    parser.add_argument("--repeats", type=int, default=200, help="runs of each writer for each block")
    arguments = parser.parse_args()
    rng = np.random.default_rng(SEED)
    writers = {"onnx": write_onnx, "tflite": write_tflite}
    blocks = {}
    for block, shape in representative_blocks():
        row = {"input_shape_chw": list(shape)}
        for kind, write in writers.items():

            def from_block(block: Block = block, shape: Shape = shape, write: Callable[..., bytes] = write) -> bytes:
                layers = layers_of_blocks((block,), shape)
                return write(layers, random_weights(layers, rng))

            row[f"{kind}_ms"] = median_ms(from_block, arguments.repeats)
        module = LayerModule(layers_of_blocks((block,), shape)).eval()
        row["torch_legacy_ms"] = median_ms(lambda m=module, s=shape: torch_export(m, s, dynamo=False), 9)
        row["torch_dynamo_ms"] = median_ms(lambda m=module, s=shape: torch_export(m, s, dynamo=True), 3)
        blocks[block.label()] = row
    layers = layers_of(mobilenetv3_large())
    weights = random_weights(layers, rng)
    figures = {}
    for kind in ("onnx", "tflite"):
        figures[f"{kind}_block_ms_slowest"] = max(row[f"{kind}_ms"] for row in blocks.values())
        figures[f"{kind}_block_ms_median"] = statistics.median(row[f"{kind}_ms"] for row in blocks.values())
    for kind in ("legacy", "dynamo"):
        figures[f"torch_{kind}_block_ms_median"] = statistics.median(row[f"torch_{kind}_ms"] for row in blocks.values())
    for kind, write in writers.items():
        figures[f"{kind}_mobilenetv3_large_ms"] = median_ms(lambda w=write: w(layers, weights), 20)
    figures["blocks"] = blocks
    return 0 if write_result("export_speed", figures, TARGETS, [SEED], arguments.json) else 1


if __name__ == "__main__":
    sys.exit(main())
