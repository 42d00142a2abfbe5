"""How long it takes to build and write one block, and a whole network, as ONNX and as TFLite.

Claim: the slowest of four blocks takes at most 10 ms as ONNX and 5 ms as TFLite, MobileNetV3-Large at most 150 ms,
from `Block` or `Architecture` to bytes: layers, random weights, file in memory. ``to_file`` adds what a table's build
does with it: its hash and a file below ``--folder``, by default where temporary files go. Beside them in the same run
``torch.onnx.export`` (both exporters) writes the same blocks and network, and litert-torch in an environment of its
own, each to a file and from a torch module that was built beforehand. A figure is a median.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _export_networks import NETWORK, median_ms, network, representative_blocks
from _peers import PeerError, peer_python, peer_version, run_peer
from _result import write_result

from mnas.export.artifact import save_artifact
from mnas.export.onnx import write_onnx
from mnas.export.tflite import write_tflite
from mnas.layers import LayerSpec, Shape, layers_of, layers_of_blocks
from mnas.modules import LayerModule
from mnas.weights import random_weights

SEED = 0
WRITERS = {"onnx": write_onnx, "tflite": write_tflite}
PEER = "litert-torch"
TARGETS = {
    "onnx_block_ms_slowest": ("<=", 10.0),
    "tflite_block_ms_slowest": ("<=", 5.0),
    "onnx_mobilenetv3_large_ms": ("<=", 150.0),
    "tflite_mobilenetv3_large_ms": ("<=", 150.0),
}


def torch_export(module: torch.nn.Module, shape: Shape, path: Path, *, dynamo: bool) -> None:
    """Export as a user of torch would."""
    image = torch.zeros(1, *shape)
    with warnings.catch_warnings():
        # Both exporters warn of deprecations, their own and those inside them.
        warnings.simplefilter("ignore")
        if dynamo:
            torch.onnx.export(module, (image,), path, dynamo=True, verbose=False)
        else:
            torch.onnx.export(module, (image,), str(path), dynamo=False, opset_version=17)


def durations(
    layers_from: Callable[[], tuple[LayerSpec, ...]], shape: Shape, folder: Path, repeats: int, torch_repeats: int
) -> dict[str, float]:
    """Return what ours and torch's exporters take for one block or network, in milliseconds."""
    rng, row = np.random.default_rng(SEED), {}
    for kind, write in WRITERS.items():

        def in_memory(write: Callable[..., bytes] = write) -> bytes:
            layers = layers_from()
            return write(layers, random_weights(layers, rng))

        def to_file(kind: str = kind, in_memory: Callable[[], bytes] = in_memory) -> None:
            path = folder / f"model.{kind}"
            save_artifact(in_memory(), path, model_format=kind, input_shape_chw=shape, outlasts_power=False)

        row[f"{kind}_ms"] = median_ms(in_memory, repeats)
        row[f"{kind}_to_file_ms"] = median_ms(to_file, repeats)
    module = LayerModule(layers_from()).eval()
    for name, dynamo, runs in (("legacy", False, 3 * torch_repeats), ("dynamo", True, torch_repeats)):
        path = folder / f"torch-{name}.onnx"
        row[f"torch_{name}_ms"] = median_ms(lambda d=dynamo, p=path: torch_export(module, shape, p, dynamo=d), runs)
    return row


def measured(folder: Path, repeats: int, torch_repeats: int) -> dict[str, dict[str, Any]]:
    """Return label -> durations, for the blocks and the network."""
    rows: dict[str, dict[str, Any]] = {}
    for block, shape in representative_blocks():
        found = durations(lambda b=block, s=shape: layers_of_blocks((b,), s), shape, folder, repeats, torch_repeats)
        rows[block.label()] = {"input_shape_chw": list(shape), **found}
    whole = network()
    few = max(1, repeats // 10)
    rows[NETWORK] = durations(lambda: layers_of(whole), whole.input_shape_chw, folder, few, torch_repeats)
    return rows


def add_peer(rows: dict[str, dict[str, Any]], folder: Path, repeats: int) -> dict[str, Any]:
    """Add what litert-torch takes to each row; return its version, or why there is none."""
    try:
        python = peer_python(folder, PEER, pinned=("torch",))
        found = run_peer(python, "_peer_litert_torch.py", {"repeats": repeats, "network_repeats": repeats})
        for label, ms in found.items():
            rows[label]["litert_torch_ms"] = ms  # to a file, as all peers'
        return {"litert_torch_version": peer_version(python, PEER)}
    except PeerError as error:
        return {"litert_torch_error": str(error)}


def figures_of(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the slowest and the median block, and the network, of each writer."""
    whole, figures = rows[NETWORK], dict[str, Any]()
    blocks = [row for label, row in rows.items() if label != NETWORK]
    for name in [key for key in whole if key.endswith("_ms")]:
        stem = name.removesuffix("_ms")
        figures[f"{stem}_block_ms_slowest"] = max(row[name] for row in blocks)
        figures[f"{stem}_block_ms_median"] = statistics.median(row[name] for row in blocks)
        figures[f"{stem}_{NETWORK}_ms"] = whole[name]
    for kind, peer in (("onnx", "torch_legacy"), ("onnx", "torch_dynamo"), ("tflite", "litert_torch")):
        if f"{peer}_ms" in whole:
            figures[f"{peer}_over_{kind}_{NETWORK}"] = whole[f"{peer}_ms"] / whole[f"{kind}_to_file_ms"]
    return figures


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result to this file")
    parser.add_argument("--repeats", type=int, default=200, help="runs of our writers for each block")
    parser.add_argument("--torch-repeats", type=int, default=3, help="runs of torch's and litert-torch's exporters")
    parser.add_argument("--folder", type=Path, help="where the files are written")
    parser.add_argument("--peer-folder", type=Path, help="environment of litert-torch, made when it is not there")
    parser.add_argument("--no-peer", action="store_true", help="leave litert-torch out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as own:
        rows = measured(Path(own), arguments.repeats, arguments.torch_repeats)
        about = {}
        if not arguments.no_peer:
            about = add_peer(rows, arguments.peer_folder or Path(own) / "peer", arguments.torch_repeats)
    figures = {**figures_of(rows), **about, "rows": rows}
    return 0 if write_result("export_speed", figures, TARGETS, [SEED], arguments.json) else 1


if __name__ == "__main__":
    sys.exit(main())
