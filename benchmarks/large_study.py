"""What a study of 100,000 evaluations takes: memory, space in the store, and the commands that open it afterwards.

The table is made up: all 117,649 combinations of six genes with seven choices each, with an error and a cost that
depend on them smoothly. Its numbers mean nothing; what is measured is the record that a study keeps. Beside it stand
the CPU seconds in which the command starts, and those of an empty Python program in the same run.

    python benchmarks/large_study.py --json benchmarks/results/large_study.json
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _result import ROOT, write_result

from mnas.store import FILE_NAME

EVALUATIONS, SMALL, STARTS = 100_000, 10_000, 7
GENES, CHOICES = 6, 7
GENE_NAMES = tuple(f"gene{number}" for number in range(GENES))
TARGETS = {
    "memory_gib": ("<=", 1.0),
    "cli_start_cpu_s": ("<=", 0.6),
    "store_kib_per_candidate": ("<=", 4.0),
    "failed_commands": ("==", 0.0),
}


def write_table(path: Path) -> None:
    """Write the made-up table."""
    rng = np.random.default_rng(0)
    gain, cost = rng.random((GENES, CHOICES)).cumsum(axis=1), rng.random((GENES, CHOICES)).cumsum(axis=1)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*GENE_NAMES, "error", "cost"])
        for genes in itertools.product(range(CHOICES), repeat=GENES):
            good = sum(gain[place, one] for place, one in enumerate(genes))
            spent = sum(cost[place, one] for place, one in enumerate(genes))
            writer.writerow([*genes, f"{100 / (1 + good):.6f}", f"{spent * (1 + 0.1 * genes[0] * genes[1]):.6f}"])


def run(words: Sequence[str]) -> dict[str, float]:
    """Run a command and return its exit status, wall and CPU seconds and most memory in bytes."""
    started = time.perf_counter()
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        print(said.decode(errors="replace"), file=sys.stderr)
    wall = time.perf_counter() - started
    kib = used.ru_maxrss if sys.platform != "darwin" else used.ru_maxrss / 1024
    return {"exit": process.returncode, "s": wall, "cpu_s": used.ru_utime + used.ru_stime, "bytes": 1024.0 * kib}


def mnas(*words: str) -> list[str]:
    """Return the command with these words."""
    return [sys.executable, "-m", "mnas", *words]


def study(folder: Path, table: Path, evaluations: int) -> dict[str, Any]:
    """Run a study and open it by the commands for it; what each took, and the size of the store."""
    words = f"--objectives error:min,cost:min --genes {','.join(GENE_NAMES)} --algorithm nsga2 --seeds 0"
    words += f" --budget {evaluations} -q -o {os.devnull}"
    more = ("--out", str(folder))
    found: dict[str, Any] = {"run": run(mnas("study", "run", "--table", str(table), *words.split(), *more))}
    for name in ("list", "show"):
        found[name] = run(mnas("study", name, *more))
    found["store_bytes"] = sum(path.stat().st_size for path in folder.glob(f"{FILE_NAME}*"))
    return found


def least_cpu_s(words: Sequence[str]) -> float:
    """Return the least CPU time of a command over several runs."""
    found = []
    for _ in range(STARTS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def main() -> int:
    """Run the benchmark; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    figures: dict[str, Any] = {
        "evaluations": options.evaluations,
        "cli_start_cpu_s": least_cpu_s(mnas("--help")),
        "version_cpu_s": least_cpu_s(mnas("--version")),
        "python_start_cpu_s": least_cpu_s([sys.executable, "-c", ""]),
    }
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        table = Path(place) / "made-up.csv"
        write_table(table)
        for label, evaluations in (("small_", SMALL), ("", options.evaluations)):
            folder = Path(place) / f"out{evaluations}"
            folder.mkdir()
            found = study(folder, table, evaluations)
            commands = {name: one for name, one in found.items() if isinstance(one, dict)}
            failed += sum(bool(one["exit"]) for one in commands.values())
            figures |= {f"{label}{name}_s": one["s"] for name, one in commands.items()}
            figures |= {f"{label}{name}_gib": one["bytes"] / 2**30 for name, one in commands.items()}
            figures[f"{label}store_kib_per_candidate"] = found["store_bytes"] / 1024 / evaluations
    figures["memory_gib"] = max(value for name, value in figures.items() if name.endswith("_gib"))
    figures["failed_commands"] = failed
    return int(not write_result("large_study", figures, TARGETS, [0], options.json))


if __name__ == "__main__":
    sys.exit(main())
