"""What the audit's rows come to, by the statistics of the tool itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from search.accuracy import audit_statistics as statistics
from search.accuracy.audit_statistics import Interval

Floats = npt.NDArray[np.float64]


def truth_figures(accuracy: Floats, loss: Floats, cost_s: Floats, seed: int) -> dict[str, Any]:
    """Return spread, noise and seed-to-seed agreement, over all networks and over the better half; in points.

    Args:
        accuracy: ``(networks, repeats)``, 0..1.
        loss: Likewise, nats.
        cost_s: Likewise, CPU seconds.
        seed: Of the bootstrap draws.
    """
    errors = 100 * (1 - accuracy)
    half, noise = statistics.better_half(errors), statistics.seed_noise(errors)
    return {
        "truth_networks": len(errors),
        "truth_repeats": errors.shape[1],
        "truth_least_accuracy": float(accuracy.mean(1).min()),
        "truth_best_accuracy": float(accuracy.mean(1).max()),
        "truth_spread_points": statistics.spread(errors),
        "truth_noise_points": noise,
        "truth_spread_over_noise": statistics.spread_over_noise(errors),
        "truth_better_half_spread_points": statistics.spread(half),
        "truth_better_half_noise_points": statistics.seed_noise(half),
        "truth_better_half_spread_over_noise": statistics.spread_over_noise(half),
        "truth_seed_to_seed_tau": statistics.kendall_tau(errors[:, 0], errors[:, 1]),
        "truth_seed_to_seed_tau_interval": ends(statistics.seed_tau(errors, seed=seed)),
        "truth_better_half_seed_to_seed_tau": statistics.kendall_tau(half[:, 0], half[:, 1]),
        "truth_loss_seed_to_seed_tau": statistics.kendall_tau(loss[:, 0], loss[:, 1]),
        "truth_tellable_gap_points": statistics.distinguishable_gap(noise, errors.shape[1]),
        "truth_cost_mean_cpu_s": float(cost_s.mean()),
        "truth_cost_total_cpu_minutes": float(cost_s.sum() / 60),
    }


def ends(found: Interval) -> list[float]:
    """Return the ends of a 95 % interval."""
    return [found.low, found.high]


def agreement(truth: Floats, score: Floats, rivals: dict[str, Floats], seed: int) -> dict[str, Any]:
    """Return how well a score ranks, and by how much better than each rival: the draws are the same for both.

    Args:
        truth: Higher is better.
        score: Likewise.
        rivals: Name -> another score.
        seed: Of the draws.
    """
    own = statistics.agreement(score, truth, seed=seed)
    found: dict[str, Any] = {
        "networks": len(truth),
        "tau": own.value,
        "tau_interval": ends(own),
        "spearman": statistics.spearman(score, truth),
    }
    for name, rival in rivals.items():
        beyond = statistics.advantage(score, rival, truth, seed=seed)
        found[f"{name}_tau"] = statistics.kendall_tau(rival, truth)
        found[f"beyond_{name}"] = beyond.value
        found[f"beyond_{name}_interval"] = ends(beyond)
    return found
