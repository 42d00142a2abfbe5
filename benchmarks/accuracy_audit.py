"""How far can estimates of accuracy be trusted? Estimators beside networks trained from scratch, params and MACs.

Ground truth is the mean accuracy on rank-val over two seeds. Each part appends its rows to
``results/parts/accuracy_audit.jsonl`` as they come, so a run that was stopped goes on where it was.

    python benchmarks/accuracy_audit.py --minutes 20 --json benchmarks/results/accuracy_audit.json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from _audit_figures import truth_figures
from _audit_rows import Deadline, OutOfTimeError, Rows
from _audit_truth import STUDY_SEED, Truth, train_truth
from _result import write_result

PARTS = ("truth",)
TARGETS = {
    "truth_networks": (">=", 48),
    "truth_better_half_spread_over_noise": (">=", 2.0),
    "truth_seed_to_seed_tau": (">=", 0.75),
}


def run_parts(rows: Rows, parts: list[str], count: int, deadline: Deadline) -> None:
    """Do what is lacking of each part.

    Raises:
        OutOfTimeError: The minutes are over.
    """
    if "truth" in parts:
        train_truth(rows, count, deadline)


def figures_of(rows: Rows, count: int) -> dict[str, Any]:
    """Return every figure."""
    truth = Truth(rows, count)
    return truth_figures(truth.accuracy, truth.loss, truth.cost_s)


def main() -> int:
    """Run what is lacking and write the figures; return 0 when every target is met, 5 when time ran out before."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, default=None, help="file for the figures")
    parser.add_argument("--nets", type=int, default=48, help="networks of the ground truth")
    parser.add_argument("--minutes", type=float, default=20.0, help="stop after so many; run again to go on")
    parser.add_argument("--part", choices=PARTS, action="append", help="these alone; all of them unless given")
    options = parser.parse_args()
    rows = Rows()
    try:
        run_parts(rows, options.part or list(PARTS), options.nets, Deadline(options.minutes))
    except OutOfTimeError as error:
        print(f"out of time, left: {error}; run again to go on", file=sys.stderr)
        return 5
    return (
        0 if write_result("accuracy_audit", figures_of(rows, options.nets), TARGETS, [STUDY_SEED], options.json) else 1
    )


if __name__ == "__main__":
    sys.exit(main())
