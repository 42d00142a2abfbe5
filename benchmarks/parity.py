"""How far the written models are from the torch module: the named networks at 224 pixels, 8 inputs each.

Claim: the largest difference of any output is at most 1e-4 of the outputs' range, as ONNX and as TFLite, on networks
whose output moves with the input (batch norm statistics are set by a forward pass first).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from _result import write_result

from mnas.export.onnx import write_onnx
from mnas.export.parity import (
    MAX_RELATIVE_DIFFERENCE,
    MIN_MOVES,
    check_parity,
    run_onnx,
    run_tflite,
    run_torch,
    settle_batch_norm,
)
from mnas.export.tflite import write_tflite
from mnas.layers import layers_of
from mnas.modules import build_module, folded_weights
from mnas.named_networks import NAMED_NETWORKS, named_network

SEED = 0
FORMATS = {"onnx": (write_onnx, run_onnx), "tflite": (write_tflite, run_tflite)}


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the result to this file")
    parser.add_argument("--px", type=int, default=224, help="height and width of the images")
    parser.add_argument("--inputs", type=int, default=8, help="images for each network")
    arguments = parser.parse_args()
    figures, reports, targets = {}, {}, {}
    for name in NAMED_NETWORKS:
        architecture = named_network(name, arguments.px)
        shape = architecture.input_shape_chw
        module = build_module(architecture, seed=SEED)
        settle_batch_norm(module, shape, SEED)
        layers, weights = layers_of(architecture), folded_weights(module)
        for kind, (write, run) in FORMATS.items():
            report = check_parity(
                run_torch(module), run(write(layers, weights)), shape, inputs=arguments.inputs, seed=SEED
            )
            key = f"{name}_{kind}"
            reports[key] = asdict(report)
            figures[f"{key}_relative_difference"] = report.relative_difference
            targets[f"{key}_relative_difference"] = ("<=", MAX_RELATIVE_DIFFERENCE)
        figures[f"{name}_moves"] = report.moves
        targets[f"{name}_moves"] = (">=", MIN_MOVES)
    figures["reports"] = reports
    return 0 if write_result("parity", figures, targets, [SEED], arguments.json) else 1


if __name__ == "__main__":
    sys.exit(main())
