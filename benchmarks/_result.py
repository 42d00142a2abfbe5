"""What every benchmark writes: figures, targets, and where and when they were measured."""

from __future__ import annotations

import importlib.metadata
import json
import math
import operator
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mnas.jsonio import write_json_atomic

SCHEMA_VERSION = 1
ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ai-edge-litert", "flatbuffers", "moocore", "numpy", "onnx", "onnxruntime", "pymoo", "torch")
_OPERATORS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "==": operator.eq}
# Every benchmark imports this module first, so this is when it started.
_STARTED_AT_UTC = datetime.now(UTC).isoformat(timespec="seconds")
_LOAD_AT_START = os.getloadavg() if hasattr(os, "getloadavg") else None


def write_result(
    name: str,
    figures: Mapping[str, Any],
    targets: Mapping[str, tuple[str, float]],
    seeds: Sequence[int],
    json_path: Path | None,
) -> bool:
    """Print the figures as a plain table and write them as JSON.

    Args:
        name: Of the benchmark, as its script is called.
        figures: What was measured, units in the names; nested values are written but not printed.
        targets: Figure -> comparison and value, e.g. ``("<=", 15.0)``.
        seeds: All that were used.
        json_path: The file, or None to print only.

    Returns:
        Whether every target was met; a figure that is missing or NaN never meets one.
    """
    met = {key: _meets(figures.get(key), comparison, value) for key, (comparison, value) in targets.items()}
    _print_table(figures, targets, met)
    if json_path is not None:
        result = {
            "schema_version": SCHEMA_VERSION,
            "name": name,
            "command": _command(),
            "code_commit": _git("rev-parse", "HEAD") or None,
            "dirty": _is_dirty(json_path),
            "started_at_utc": _STARTED_AT_UTC,
            "machine": describe_machine(),
            "seeds": list(seeds),
            "figures": _without_nan(dict(figures)),
            "targets": {key: {"op": comparison, "value": value} for key, (comparison, value) in targets.items()},
            "met": met,
        }
        write_json_atomic(json_path, result)
        print(f"wrote {json_path}", file=sys.stderr)
    return all(met.values())


def describe_machine() -> dict[str, Any]:
    """Return platform, processor, cores, load and the versions that a figure may depend on."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load_average_at_start": _LOAD_AT_START,
        "python": platform.python_version(),
        "packages": versions,
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _meets(figure: Any, comparison: str, value: float) -> bool:
    return isinstance(figure, int | float) and bool(_OPERATORS[comparison](figure, value))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _command() -> str:
    """Return the command line with paths relative to the checkout: where it lies is nobody's business."""
    words, data = ["python"], os.environ.get("MNAS_TEST_DATA")
    for word in sys.argv:
        path = Path(word)
        if path.is_absolute() and path.is_relative_to(ROOT):
            words.append(str(path.relative_to(ROOT)))
        elif data and path.is_absolute() and path.is_relative_to(data):
            words.append(f"$MNAS_TEST_DATA/{path.relative_to(data)}")
        else:
            words.append(path.name if path.is_absolute() else word)
    return " ".join(words)


def _git(*arguments: str) -> str:
    run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return run.stdout.strip() if run.returncode == 0 else ""


def _is_dirty(json_path: Path) -> bool:
    # Results do not change the code that made them, nor do the rows that a long run adds to.
    results = ROOT / "benchmarks" / "results"
    exclude = [f":(exclude){path.resolve().relative_to(ROOT)}" for path in (results, json_path) if _is_inside(path)]
    return not _git("rev-parse", "HEAD") or bool(_git("status", "--porcelain", "--", ".", *exclude))


def _is_inside(path: Path) -> bool:
    return path.resolve().is_relative_to(ROOT)


def _print_table(figures: Mapping[str, Any], targets: Mapping[str, tuple[str, float]], met: Mapping[str, bool]) -> None:
    rows = [("figure", "value", "target", "met")]
    for key, value in figures.items():
        if isinstance(value, dict | list | tuple):
            continue
        shown = f"{value:.4g}" if isinstance(value, float) else json.dumps(value)
        target = f"{targets[key][0]} {targets[key][1]:g}" if key in targets else ""
        rows.append((key, shown, target, {True: "yes", False: "NO"}.get(met.get(key), "")))
    rows += [(key, "missing", f"{op} {value:g}", "NO") for key, (op, value) in targets.items() if key not in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
