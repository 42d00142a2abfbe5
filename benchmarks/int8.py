"""What 8-bit integers cost in accuracy, and save in time, on a Fashion-MNIST network, as ONNX and as TFLite.

Claim: of a network with at least 90 % test accuracy, at most one point is lost in at least one format. Calibrated on
images of the training split, compared on all 10,000 test images; cosine is that of the outputs less their mean.
Latency is measured in one session for each runtime: integers over float32, beside the same network quantised by
onnxruntime (its defaults, and its documentation's advice) and, where ``--peer-python`` names a Python that has it, by
ai-edge-quantizer. The network is trained once (minutes on one core) and kept in ``work/``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _fashion_network import PX, trained_network
from _int8_peers import ORT_BEST, ORT_DEFAULTS, by_ai_edge_quantizer, by_onnxruntime, run_int8_ends
from _result import write_result

from devices.bench import BENCH_COMPONENTS, Bench
from mnas.export.activation_ranges import calibrate
from mnas.export.int8 import float_outputs, quantize
from mnas.export.int8_report import compare_outputs, outputs_of
from mnas.export.int8_tflite import write_int8_tflite
from mnas.export.onnx import write_onnx
from mnas.export.parity import Image, run_onnx, run_tflite
from mnas.export.range_choice import RANGE_CHOICES
from mnas.export.tflite import write_tflite
from mnas.modules import LayerModule, folded_weights
from mnas.store import FILE_NAME, Store
from search.data.dataset import tensors
from search.data.registry import open_dataset
from search.training.trainer import evaluate

SEED = 0
CHOICE = "mse"
TARGETS = {"float32_test_accuracy": (">=", 0.9), "loss_points_best": ("<=", 1.0)}


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the result to this file")
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / "work", help="where weights are kept")
    parser.add_argument("--calibration", type=int, default=256, help="images of the training split")
    parser.add_argument("--images", type=int, default=0, help="test images; 0 for all")
    parser.add_argument("--peer-python", default="", help="a Python that has ai-edge-quantizer")
    parser.add_argument("--no-latency", action="store_true", help="accuracy alone")
    arguments = parser.parse_args()
    dataset = open_dataset("fashion")
    module = trained_network(dataset, arguments.work, SEED)
    test = evaluate(module, dataset, "test", PX, arguments.images)
    figures: dict[str, Any] = {"float32_test_accuracy": 1 - test.error, "test_images": test.images}
    calibration = as_numpy(tensors(dataset, "train", PX, arguments.calibration)[0])
    images, labels = (as_numpy(one) for one in tensors(dataset, "test", PX, arguments.images))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures |= own(module, calibration, images, labels, folder)
        figures |= peers(module, calibration, images, labels, folder, arguments.peer_python)
        if not arguments.no_latency:
            for model_format, runtime in (("onnx", "ort"), ("tflite", "litert")):
                figures |= latency(folder, model_format, runtime)
    losses = [figures[f"{one}_loss_points"] for one in ("onnx", "tflite")]
    figures["loss_points_best"] = min(losses)
    return 0 if write_result("int8", figures, TARGETS, [SEED], arguments.json) else 1


def as_numpy(tensor: Any) -> Any:
    """Return a tensor as an array of its own."""
    return np.ascontiguousarray(tensor.contiguous().numpy())


def own(module: LayerModule, calibration: Image, images: Image, labels: Any, folder: Path) -> dict[str, Any]:
    """Return the figures of our own files, which are left in the folder beside the float ones."""
    layers, weights = module.layers, folded_weights(module)
    figures: dict[str, Any] = {}
    started = time.perf_counter()
    ranges = calibrate(layers, weights, calibration, choice=CHOICE)
    figures["calibration_s"] = time.perf_counter() - started
    expected = float_outputs(layers, weights, images)
    for model_format, write in (("onnx", write_onnx), ("tflite", write_tflite)):
        path = folder / f"float32.{model_format}"
        path.write_bytes(write(layers, weights))
        model = quantize(layers, weights, model_format, ranges, images, labels)
        (folder / f"int8.{model_format}").write_bytes(model.data)
        figures |= accuracy_figures(model_format, model.report.accuracy)
        figures[f"{model_format}_faults"] = [fault.what for fault in model.report.faults]
        figures[f"{model_format}_size_ratio"] = len(model.data) / path.stat().st_size
    for choice in RANGE_CHOICES:
        if choice != CHOICE:
            other = calibrate(layers, weights, calibration, choice=choice)
            seen = outputs_of(run_tflite(write_int8_tflite(layers, weights, other)), images)
            figures |= accuracy_figures(f"tflite_by_{choice}", compare_outputs(expected, seen, labels))
    return figures


def accuracy_figures(name: str, found: Any) -> dict[str, Any]:
    """Return what `compare_outputs` gave under a name."""
    return {
        f"{name}_test_accuracy": found.top1_int8,
        f"{name}_loss_points": found.loss_points,
        f"{name}_cosine": found.cosine,
        f"{name}_agreement": found.agreement,
    }


def peers(
    module: LayerModule, calibration: Image, images: Image, labels: Any, folder: Path, python: str
) -> dict[str, Any]:
    """Return the figures of the same network quantised by others; an error takes their place."""
    figures: dict[str, Any] = {}
    expected = float_outputs(module.layers, folded_weights(module), images)
    for name, settings in (("ort_defaults", ORT_DEFAULTS), ("ort_best", ORT_BEST)):
        path = by_onnxruntime(folder / "float32.onnx", folder / f"{name}.onnx", calibration, settings)
        figures |= accuracy_figures(name, compare_outputs(expected, outputs_of(run_onnx(path), images), labels))
    if python:
        path = folder / "ai_edge_quantizer.tflite"
        error = by_ai_edge_quantizer(python, folder / "float32.tflite", path, calibration)
        if error:
            return {**figures, "ai_edge_quantizer_error": error}
        found = compare_outputs(expected, outputs_of(run_int8_ends(path), images), labels)
        figures |= accuracy_figures("ai_edge_quantizer", found)
    return figures


def latency(folder: Path, model_format: str, runtime: str) -> dict[str, Any]:
    """Measure every file of a format in one session; ratios are to float32."""
    files = sorted(folder.glob(f"*.{model_format}"))
    with Store(folder / FILE_NAME, BENCH_COMPONENTS) as store, Bench(f"host:{runtime}", store, seed=SEED) as bench:
        run = bench.run([str(path) for path in files])
    found = {path.stem: model.latency_ms for path, model in zip(files, run.models, strict=True)}
    plain = found["float32"]
    figures: dict[str, Any] = {f"{runtime}_float32_ms": plain}
    for name, ms in found.items():
        if name != "float32":
            figures[f"{runtime}_{name}_latency_ratio"] = None if ms is None or not plain else ms / plain
    return figures


if __name__ == "__main__":
    sys.exit(main())
