"""How many lines of the four packages the tests run: what ``make test`` runs, and the slow rest as well.

pytest-cov is installed into a folder of its own for the time of the run. Processes that tests start are counted as far
as they import our packages in the tests' own environment.

    python benchmarks/line_coverage.py --slow --json benchmarks/results/line_coverage.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _result import ROOT, write_result

PACKAGES = ("mnas", "devices", "latency", "search")
TARGETS = {"line_share": (">=", 0.92)}
_SETTINGS = """[run]
parallel = true
patch = subprocess
concurrency = thread,multiprocessing
"""


def measure(folder: Path, slow: bool) -> dict[str, Any]:
    """Run the tests and return the document of coverage."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder / "site"), "pytest-cov"]
    subprocess.run(install, check=True, stdout=sys.stderr)
    (folder / "coveragerc").write_text(_SETTINGS, encoding="utf-8")
    words = ["-n", "2", "--dist", "loadfile", f"--cov-config={folder / 'coveragerc'}", "--cov-report="]
    words += [f"--cov={name}" for name in PACKAGES]
    words += [f"--cov-report=json:{folder / 'found.json'}", *([] if slow else ["-m", "not slow"])]
    paths = [str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COVERAGE_FILE": str(folder / "data")}
    subprocess.run([sys.executable, "-m", "pytest", *words], cwd=ROOT, env=environment, stdout=sys.stderr, check=False)
    found: dict[str, Any] = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    return found


def figures_of(found: dict[str, Any]) -> dict[str, Any]:
    """Return shares of lines that ran, of all packages and of each, and the files with the most that did not."""
    totals = dict.fromkeys(PACKAGES, (0, 0))
    missing = {}
    for name, one in found["files"].items():
        package, summary = Path(name).parts[0], one["summary"]
        covered, lines = totals[package]
        totals[package] = (covered + summary["covered_lines"], lines + summary["num_statements"])
        missing[name] = summary["missing_lines"]
    covered, lines = (sum(one[place] for one in totals.values()) for place in (0, 1))
    worst = sorted(missing, key=missing.__getitem__, reverse=True)[:20]
    return {
        "line_share": covered / lines,
        "lines": lines,
        **{f"{name}_line_share": one / many for name, (one, many) in totals.items()},
        "most_missing": {name: missing[name] for name in worst},
    }


def main() -> int:
    """Run the benchmark; 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slow", action="store_true", help="run the slow rest as well")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mnas-coverage-") as folder:
        figures = figures_of(measure(Path(folder), options.slow))
    return int(not write_result("line_coverage", figures, TARGETS, [], options.json))


if __name__ == "__main__":
    sys.exit(main())
