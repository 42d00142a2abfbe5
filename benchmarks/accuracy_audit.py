"""How far can estimates of accuracy be trusted? Estimators beside networks trained from scratch, params and MACs.

Ground truth is the mean accuracy on rank-val over two seeds. Each part appends its rows to
``results/parts/accuracy_audit.jsonl`` as they come, so a run that was stopped goes on where it was.

    python benchmarks/accuracy_audit.py --minutes 20 --json benchmarks/results/accuracy_audit.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _audit_estimates import column, run_estimates
from _audit_figures import agreement, ends, truth_figures
from _audit_predictor import JUDGED_ON, LEARNED_FROM, predictor_figures
from _audit_rows import Deadline, OutOfTimeError, Rows
from _audit_supernet import (
    audit_setting,
    check_extraction,
    extraction_figures,
    supernet_estimator,
    supernet_figures,
    train_missing,
)
from _audit_truth import STUDY_SEED, Truth, drawn, size_of, train_truth
from _result import write_result

from devices.long_work import long_work
from mnas.architecture import Architecture
from mnas.seeding import derive_seed
from search.accuracy.audit_statistics import advantage_within_bands, bands_of, kendall_tau
from search.accuracy.estimator import AccuracyEstimator
from search.accuracy.registry import open_accuracy

PARTS = ("truth", "supernet", "extraction", "estimates", "predictor")
TARGETS = {
    "truth_networks": (">=", 48),
    "truth_better_half_spread_over_noise": (">=", 2.0),
    "truth_seed_to_seed_tau": (">=", 0.75),
    "supernet_cost_cpu_minutes": ("<=", 120),
    "extraction_bit_equal": (">=", 100),
    "supernet_tau": (">=", 0.6),
    "supernet_beyond_macs": (">=", 0.0),
    "supernet_estimate_cpu_s": ("<=", 0.5),
    "zero_cost_estimate_cpu_s": ("<=", 0.2),
    "predictor_spearman": (">=", 0.85),
}
ZERO_COST = ("synflow", "naswot", "zen", "gradnorm", "snip", "jacov")


def estimators(work: Path) -> dict[str, AccuracyEstimator]:
    """Return name -> estimator: whoever stands here is judged beside params and MACs.

    Args:
        work: Folder of the supernet.
    """
    return {
        "supernet": supernet_estimator(work),
        **{name: open_accuracy(f"zero-cost:{name}", audit_setting()) for name in ZERO_COST},
    }


def run_parts(rows: Rows, parts: Sequence[str], count: int, work: Path, deadline: Deadline) -> None:
    """Do what is lacking of each part.

    Raises:
        OutOfTimeError: The minutes are over.
    """
    if "truth" in parts:
        train_truth(rows, count, deadline)
    if "supernet" in parts:
        train_missing(rows, work, deadline)
    if "extraction" in parts:
        check_extraction(rows, work, deadline)
    if "estimates" in parts:
        for estimator in estimators(work).values():
            run_estimates(rows, estimator, drawn("truth", count), deadline)
    if "predictor" in parts:
        run_estimates(rows, supernet_estimator(work), predicted_networks(count), deadline)


def predicted_networks(count: int) -> list[Architecture]:
    """Return the networks that the predictor learns from and is judged on; none of them is of the ground truth."""
    known = frozenset(one.arch_id for one in drawn("truth", count))
    return drawn("predictor", LEARNED_FROM + JUDGED_ON, known)


def figures_of(rows: Rows, parts: Sequence[str], count: int, work: Path) -> dict[str, Any]:
    """Return every figure of some parts."""
    found: dict[str, Any] = {}
    truth = Truth(rows, count) if {"truth", "estimates"} & set(parts) else None
    if truth is not None and "truth" in parts:
        found |= truth_figures(truth.accuracy, truth.loss, truth.cost_s, STUDY_SEED)
    if "supernet" in parts:
        found |= supernet_figures(rows, work)
    if "extraction" in parts:
        found |= extraction_figures(rows, work)
    if truth is not None and "estimates" in parts:
        found |= {"params_tau": kendall_tau(truth.params, truth.accuracy.mean(1))}
        found |= {"macs_tau": kendall_tau(truth.macs, truth.accuracy.mean(1))}
        for name, estimator in estimators(work).items():
            found |= estimator_figures(rows, name, estimator, truth)
        found["zero_cost_estimate_cpu_s"] = max(found[f"{name}_estimate_cpu_s"] for name in ZERO_COST)
    if "predictor" in parts:
        networks = predicted_networks(count)
        macs = np.array([size_of(one)["macs"] for one in networks], dtype=np.float64)
        found |= predictor_figures(networks, column(rows, supernet_estimator(work), networks, "loss"), macs)
    return found


def estimator_figures(rows: Rows, name: str, estimator: AccuracyEstimator, truth: Truth) -> dict[str, Any]:
    """Return how an estimator's losses rank the ground truth: over all networks, and within bands of similar MACs."""
    losses = column(rows, estimator, truth.networks, "loss")
    scores = -np.where(np.isnan(losses), np.nanmax(losses), losses)
    accuracy, rivals = truth.accuracy.mean(1), {"params": truth.params, "macs": truth.macs}

    def judged(at: Any, part: str) -> dict[str, Any]:
        seed = derive_seed(STUDY_SEED, "audit", "bootstrap", name, part)
        own = {rival: values[at] for rival, values in rivals.items()}
        return {
            **agreement(accuracy[at], scores[at], own, seed),
            "macs": [int(v) for v in np.sort(truth.macs[at])[[0, -1]]],
        }

    whole = judged(slice(None), "all")
    bands = bands_of(truth.macs)
    within = {
        rival: advantage_within_bands(scores, sizes, accuracy, bands, seed=STUDY_SEED)
        for rival, sizes in rivals.items()
    }
    costs = column(rows, estimator, truth.networks, "cost_s")
    return {
        f"{name}_tau": whole["tau"],
        f"{name}_beyond_params": whole["beyond_params"],
        f"{name}_beyond_macs": whole["beyond_macs"],
        f"{name}_macs_would_do": whole["beyond_macs_interval"][0] <= 0,
        f"{name}_beyond_within_bands": {rival: [one.value, *ends(one)] for rival, one in within.items()},
        f"{name}_estimate_cpu_s": float(np.nanmean(costs)),
        f"{name}_not_estimated": int(np.isnan(losses).sum()),
        f"{name}_agreement": whole,
        f"{name}_bands": [judged(at, f"band{number}") for number, at in enumerate(bands)],
        f"{name}_estimate_cpu_s_quantiles": [float(v) for v in np.nanquantile(costs, (0, 0.5, 1))],
    }


def main() -> int:
    """Run what is lacking and write the figures; return 0 when every target is met, 5 when time ran out before."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, default=None, help="file for the figures")
    parser.add_argument("--nets", type=int, default=48, help="networks of the ground truth")
    parser.add_argument("--minutes", type=float, default=20.0, help="stop after so many; run again to go on")
    parser.add_argument("--part", choices=PARTS, action="append", help="these alone; all of them unless given")
    parser.add_argument("--work", type=Path, default=Path("mnas-out") / "audit", help="folder of the supernet")
    options = parser.parse_args()
    rows, parts = Rows(), options.part or list(PARTS)
    try:
        with long_work("benchmarks/accuracy_audit.py"):
            run_parts(rows, parts, options.nets, options.work, Deadline(options.minutes))
    except OutOfTimeError as error:
        print(f"out of time, left: {error}; run again to go on", file=sys.stderr)
        return 5
    figures = figures_of(rows, parts, options.nets, options.work)
    targets = TARGETS if parts == list(PARTS) else {name: one for name, one in TARGETS.items() if name in figures}
    return 0 if write_result("accuracy_audit", figures, targets, [STUDY_SEED], options.json) else 1


if __name__ == "__main__":
    sys.exit(main())
