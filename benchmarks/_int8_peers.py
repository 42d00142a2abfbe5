"""The same network quantised by others: onnxruntime, and ai-edge-quantizer in an environment of its own."""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from mnas.export.parity import Image, Run

ORT_DEFAULTS: dict[str, Any] = {}
ORT_BEST: dict[str, Any] = {"per_channel": True, "activation_type": "QUInt8", "calibrate_method": "MinMax"}
"""What its documentation recommends for convolutions on x86 with VNNI."""


def by_onnxruntime(model: Path, out: Path, images: Image, settings: dict[str, Any]) -> Path:
    """Quantise an ONNX file by ``quantize_static``."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._images: Iterator[Image] = iter(images)

        def get_next(self) -> dict[str, Image] | None:
            image = next(self._images, None)
            return None if image is None else {"input": image[None]}

    chosen = dict(settings)
    if "activation_type" in chosen:
        chosen["activation_type"] = quantization.QuantType[chosen["activation_type"]]
    if "calibrate_method" in chosen:
        chosen["calibrate_method"] = quantization.CalibrationMethod[chosen["calibrate_method"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantization.quantize_static(str(model), str(out), Reader(), **chosen)
    return out


def by_ai_edge_quantizer(python: str, model: Path, out: Path, images: Image) -> str:
    """Quantise a TFLite file in another Python, where the package is; returns why that failed, or ""."""
    script = Path(__file__).with_name("_ai_edge_quantizer.py")
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "images.npy", images.transpose(0, 2, 3, 1))
        command = [python, script, model, Path(folder) / "images.npy", out]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1][:300]


def run_int8_ends(path: Path) -> Run:
    """Return a TFLite model whose ends are integers as a function of one float image."""
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    source, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(image: Image) -> Image:
        scale, zero = source["quantization"]
        numbers = np.clip(np.round(image.transpose(0, 2, 3, 1) / scale) + zero, -128, 127)
        interpreter.set_tensor(source["index"], numbers.astype(np.int8))
        interpreter.invoke()
        scale, zero = out["quantization"]
        return (interpreter.get_tensor(out["index"]).astype(np.float32) - zero) * np.float32(scale)

    return run
