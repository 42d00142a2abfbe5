"""What does training cost? Its pace beside a plain loop; halving and curve stopping beside full training.

Pace: pairs of trainings of the space's median network, on an otherwise idle machine; ``--only-pace`` for these alone.
The others rest on the ground truth of ``accuracy_audit.py``, whose rows it goes on from: halving trains each network
once more on its lower rungs; curve stopping is worked out from the curves that the ground truth recorded.

    python benchmarks/accuracy_training.py --minutes 20 --json benchmarks/results/accuracy_training.json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from _audit_rows import Deadline, OutOfTimeError, Rows
from _audit_truth import STUDY_SEED, Truth, train_truth
from _result import write_result
from _training_halving import (
    curve_figures,
    halving_figures,
    recorded_curves,
    rung_losses,
    shares,
    train_rungs,
    with_risks,
)
from _training_throughput import measure_pairs, throughput_figures

from devices.long_work import long_work

RISK = 0.05
PACE = {"throughput_over_plain_nchw": (">=", 1.8)}
TARGETS = {
    **PACE,
    "halving_behind_standard_errors": ("<=", 1.0),
    "halving_epochs_share": ("<=", 1 / 3),
    "curves_top5_wrongly_stopped": ("<=", 0),
    "curves_epochs_saved": (">=", 0.4),
}


def figures_of(rows: Rows, count: int) -> dict[str, Any]:
    """Return every figure."""
    truth = Truth(rows, count)
    curves = recorded_curves(rows, truth)
    return {
        **throughput_figures(rows),
        **halving_figures(rung_losses(rows, truth), shares(), truth.loss, truth.accuracy),
        **curve_figures(curves, truth.accuracy, RISK),
        **with_risks(curves, truth.accuracy, (0.001, 0.01, 0.02, 0.1)),
    }


def main() -> int:
    """Run what is lacking and write the figures; return 0 when every target is met, 5 when time ran out before."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, default=None, help="file for the figures")
    parser.add_argument("--nets", type=int, default=48, help="networks of the ground truth")
    parser.add_argument("--minutes", type=float, default=20.0, help="stop after so many; run again to go on")
    parser.add_argument("--only-pace", action="store_true", help="the pace of training alone, two minutes")
    options = parser.parse_args()
    rows, deadline = Rows(), Deadline(options.minutes)
    try:
        measure_pairs(rows, deadline)
        if options.only_pace:
            figures = throughput_figures(rows)
            return 0 if write_result("accuracy_training", figures, PACE, [STUDY_SEED], options.json) else 1
        with long_work("benchmarks/accuracy_training.py"):
            train_truth(rows, options.nets, deadline)
            train_rungs(rows, options.nets, deadline)
    except OutOfTimeError as error:
        print(f"out of time, left: {error}; run again to go on", file=sys.stderr)
        return 5
    figures = figures_of(rows, options.nets)
    return 0 if write_result("accuracy_training", figures, TARGETS, [STUDY_SEED], options.json) else 1


if __name__ == "__main__":
    sys.exit(main())
