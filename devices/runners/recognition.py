"""Which runner a program is, by texts that it must contain in order to print them."""

from __future__ import annotations

import mmap
from pathlib import Path

_MARKS = (
    ("ortperf", (b"onnxruntime_perf_test", b"Session creation time cost")),
    ("litert", (b"BENCHMARK RESULTS", b"Whether to use NPU accelerator")),
    ("tflite", (b"Inference timings in us", b"Average inference timings in us", b"Operator-wise Profiling Info")),
)
"""LiteRT's tool holds the classic tool's texts too, so the order matters."""


def recognise_runner(path: Path) -> str:
    """Return ``tflite``, ``litert`` or ``ortperf``, or "" for a program that holds no text of theirs.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            return ""
        with data:
            return next((name for name, marks in _MARKS if any(data.find(mark) >= 0 for mark in marks)), "")
