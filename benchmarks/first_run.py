"""What a newcomer waits for: installation, ``mnas --help``, both demos and, when asked, the tests.

Everything runs in a fresh environment below a temporary folder, by the README's own commands.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _result import ROOT, write_result

_HELP_RUNS = 7


def _make(venv: Path, *arguments: str) -> float:
    """Run make and return its wall time in seconds."""
    started = time.perf_counter()
    subprocess.run(["make", *arguments, f"VENV={venv}"], cwd=ROOT, check=True, stdout=sys.stderr)
    return time.perf_counter() - started


def _cpu_s(command: list[str]) -> float:
    """Return the least CPU time of a command over several runs."""
    found = []
    for _ in range(_HELP_RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def _megabytes(folder: Path) -> float:
    """Return the space that a folder's files take on the disk, hard links counted once."""
    seen: dict[int, int] = {}
    for path, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(path, name))
            seen[status.st_ino] = status.st_blocks * 512
    return sum(seen.values()) / 1e6


def main() -> int:
    """Run the benchmark; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", action="store_true", help="run make test as well")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        venv, out = Path(folder) / "venv", Path(folder) / "out"
        figures: dict[str, object] = {"install_s": _make(venv, "venv")}
        figures["venv_mb"] = _megabytes(venv)
        packages = [path.name for path in venv.glob("lib/python*/site-packages/*.dist-info")]
        figures["cuda_wheels"] = sum(name.startswith(("nvidia", "cuda", "triton")) for name in packages)
        python = str(venv / "bin" / "python")
        figures["help_cpu_s"] = _cpu_s([str(venv / "bin" / "mnas"), "--help"])
        figures["bare_python_cpu_s"] = _cpu_s([python, "-c", "pass"])
        figures["import_torch_cpu_s"] = _cpu_s([python, "-c", "import torch"])
        figures["demo_small_s"] = _make(venv, "demo", f"OUT={out}-small", "DEMO_BUDGET=small")
        figures["demo_s"] = _make(venv, "demo", f"OUT={out}")
        members = json.loads((out / "front.json").read_text(encoding="utf-8"))["members"]
        figures["demo_finalists"] = len(members)
        figures["demo_front"] = sum(m["recommended"] and m["export"] is not None for m in members)
        if options.tests:
            figures["test_s_without_runtime_install"] = _make(venv, "test")
            figures["venv_with_dev_mb"] = _megabytes(venv)
    targets = {
        "venv_mb": ("<=", 1600.0),
        "cuda_wheels": ("==", 0.0),
        "help_cpu_s": ("<=", 0.6),
        "demo_small_s": ("<=", 120.0),
        "demo_s": ("<=", 360.0),
        "demo_front": (">=", 5.0),
    }
    if options.tests:
        targets["test_s_without_runtime_install"] = ("<=", 900.0)
    return int(not write_result("first_run", figures, targets, [0], options.json))


if __name__ == "__main__":
    sys.exit(main())
