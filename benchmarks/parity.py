"""How far the written models are from the torch module: named networks, and random ones of every space.

Claim: the largest difference of any output is at most 1e-4 of the outputs' range, as ONNX and as TFLite, on networks
whose output moves with the input (batch norm statistics are set by a forward pass first), and the export gate passes.
The images are white noise; where that moves an output by less than a tenth of its range, as it does in a network
without batch norm, they are the probes of `mnas export`, and the row says so.

The random networks are drawn uniformly from the spaces at the scale of ImageNet, at the least of their resolutions.
A row is kept for each network as soon as it is there: the same command goes on where it was stopped, as long as the
code that builds, writes, runs and compares a network is the same. Rows of other code stay in the file and do not count.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from _result import write_result

from mnas.architecture import Architecture
from mnas.export.artifact import WRITER_VERSION
from mnas.export.gate import check_file
from mnas.export.metadata import model_metadata
from mnas.export.onnx import write_onnx
from mnas.export.parity import (
    MAX_RELATIVE_DIFFERENCE,
    MIN_MOVES,
    Run,
    check_parity,
    check_parity_on,
    run_onnx,
    run_tflite,
    run_torch,
    settle_batch_norm,
)
from mnas.export.probes import probe_images
from mnas.export.tflite import write_tflite
from mnas.jsonio import sha256_bytes, sha256_json
from mnas.modules import build_module, folded_weights
from mnas.named_networks import NAMED_NETWORKS, named_network
from mnas.seeding import named_rng
from mnas.spaces.presets import FAMILIES, open_space

SEED = 0
LEAST_PX = 32
NAMED = "named"
DRAWING = ("mnas.errors", "mnas.named_networks", "mnas.networks", "mnas.rounding", "mnas.space")
FORMATS = {"onnx": (write_onnx, run_onnx), "tflite": (write_tflite, run_tflite)}


def networks_of(part: str, px: int, count: int) -> Iterator[tuple[str, Architecture]]:
    """Yield the networks of a part with their names: the named ones, or random ones of a family."""
    if part == NAMED:
        yield from ((name, named_network(name, px)) for name in NAMED_NETWORKS)
        return
    resolutions = FAMILIES[part]["imagenet"].resolutions_px
    space = open_space(part, "imagenet", (min(one for one in resolutions if one >= LEAST_PX),))
    rng = named_rng(SEED, "parity", part)
    for _ in range(count):
        architecture = space.decode(space.sample(rng))
        yield architecture.arch_id, architecture


def measure(architecture: Architecture, inputs: int) -> dict[str, Any]:
    """Return a network's reports by format."""
    module, shape = build_module(architecture, seed=SEED), architecture.input_shape_chw
    settle_batch_norm(module, shape, SEED)
    reference, weights = run_torch(module), folded_weights(module)
    row: dict[str, Any] = {"arch_id": architecture.arch_id, "px": shape[1]}
    for kind, (write, run) in FORMATS.items():
        metadata = model_metadata(architecture, kind)
        data = write(module.layers, weights, metadata=metadata)
        found = check_file(data, module.layers, kind, metadata)
        parity, images = compare(reference, run(data), shape, inputs)
        row[kind] = {
            **asdict(parity),
            "images": images,
            "faults": [fault.what for fault in found.faults],
            "warnings": list(found.warnings),
            "partitions": found.partitions and found.partitions.count,
        }
    return row


def compare(reference: Run, candidate: Run, shape: tuple[int, int, int], inputs: int) -> Any:
    """Return the parity and the kind of images that it was seen on."""
    parity = check_parity(reference, candidate, shape, inputs=inputs, seed=SEED)
    if parity.moves >= MIN_MOVES:
        return parity, "noise"
    return check_parity_on(reference, candidate, probe_images(reference, shape, SEED, inputs)), "probes"


def measured(parts: list[str], arguments: argparse.Namespace) -> dict[str, dict[str, dict[str, Any]]]:
    """Return part -> network -> row, measuring those that are not among the rows kept."""
    setting = [arguments.px, arguments.inputs, SEED, WRITER_VERSION, code_hash()]
    rows: dict[str, dict[str, dict[str, Any]]] = {part: {} for part in parts}
    kept = kept_rows(arguments.rows, setting)
    for part in parts:
        for name, architecture in networks_of(part, arguments.px, arguments.networks):
            row = kept.get((part, architecture.arch_id))
            if row is None:
                row = measure(architecture, arguments.inputs)
                if arguments.rows:
                    with arguments.rows.open("a", encoding="utf-8") as file:
                        file.write(json.dumps({"part": part, "setting": setting, **row}) + "\n")
            rows[part][name] = row
        print(f"{part}: {len(rows[part])} networks", file=sys.stderr)
    return rows


def code_hash() -> str:
    """Return a hash of our modules that a row depends on, which are those that this script imports.

    A row names its network by what it consists of, so that spaces and names, which only draw networks, do not count.
    """
    own = [(name, module.__file__) for name, module in sys.modules.items() if name.startswith("mnas.")]
    files = {name: Path(file) for name, file in own if file and not name.startswith(DRAWING)}
    return sha256_json({name: sha256_bytes(file.read_bytes()) for name, file in files.items()})[:16]


def kept_rows(path: Path | None, setting: list[Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows of an earlier run of the same setting; a line that was cut off is none."""
    kept = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path and path.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row.pop("setting") == setting:
            kept[row.pop("part"), row["arch_id"]] = row
    return kept


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the result to this file")
    parser.add_argument(
        "--rows", type=Path, help="keep a line for each network here, and go on from those that are there"
    )
    parser.add_argument("--px", type=int, default=224, help="height and width of a named network's images")
    parser.add_argument("--inputs", type=int, default=8, help="images for each network")
    parser.add_argument("--networks", type=int, default=100, help="random networks of each space")
    parser.add_argument("--parts", default=",".join((NAMED, *FAMILIES)), help="which of them")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # several threads only wait for each other on networks this small
    parts = arguments.parts.split(",")
    figures: dict[str, Any] = {}
    targets: dict[str, tuple[str, float]] = {}
    rows = measured(parts, arguments)
    for part, networks in rows.items():
        for kind in FORMATS:
            found = [row[kind] for row in networks.values()]
            figures[f"{part}_{kind}_networks"] = len(found)
            figures[f"{part}_{kind}_largest_relative_difference"] = max(one["relative_difference"] for one in found)
            figures[f"{part}_{kind}_least_moves"] = min(one["moves"] for one in found)
            figures[f"{part}_{kind}_refused"] = sum(bool(one["faults"]) for one in found)
            figures[f"{part}_{kind}_with_warnings"] = sum(bool(one["warnings"]) for one in found)
            targets[f"{part}_{kind}_largest_relative_difference"] = ("<=", MAX_RELATIVE_DIFFERENCE)
            targets[f"{part}_{kind}_least_moves"] = (">=", MIN_MOVES)
            targets[f"{part}_{kind}_refused"] = ("==", 0)
            worst = max(networks, key=lambda name: networks[name][kind]["relative_difference"])
            figures[f"{part}_{kind}_worst"] = worst[:12] if part != NAMED else worst
    figures["networks"] = rows.get(NAMED, {})
    return 0 if write_result("parity", figures, targets, [SEED], arguments.json) else 1


if __name__ == "__main__":
    sys.exit(main())
