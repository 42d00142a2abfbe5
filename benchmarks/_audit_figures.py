"""What the audit works out from its rows: noise, agreement, and how far two rankings differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, spearmanr

Floats = npt.NDArray[np.float64]
BOOTSTRAPS = 2000
BANDS = 3


def tau(first: Floats, second: Floats) -> float:
    """Return Kendall's tau-b."""
    return float(kendalltau(first, second).statistic)


def spearman(first: Floats, second: Floats) -> float:
    """Return Spearman's rank correlation."""
    return float(spearmanr(first, second).statistic)


def spread_and_noise(values: Floats) -> tuple[float, float]:
    """Return the SD of the repeats' means and the pooled SD within a network; ``values`` is (networks, repeats)."""
    return float(values.mean(1).std(ddof=1)), float(np.sqrt(values.var(1, ddof=1).mean()))


def tellable_gap(noise: float, repeats: int) -> float:
    """Return the smallest difference of two networks' means that is beyond noise with 95 % confidence."""
    return 1.96 * noise * float(np.sqrt(2 / repeats))


def truth_figures(accuracy: Floats, loss: Floats, cost_s: Floats) -> dict[str, Any]:
    """Return spread, noise and seed-to-seed agreement, over all networks and over the better half; in points."""
    points = 100 * accuracy
    better = np.argsort(-points.mean(1), kind="stable")[: (len(points) + 1) // 2]
    (spread, noise), (half_spread, half_noise) = spread_and_noise(points), spread_and_noise(points[better])
    return {
        "truth_networks": len(points),
        "truth_repeats": points.shape[1],
        "truth_least_accuracy": float(accuracy.mean(1).min()),
        "truth_best_accuracy": float(accuracy.mean(1).max()),
        "truth_spread_points": spread,
        "truth_noise_points": noise,
        "truth_spread_over_noise": spread / noise,
        "truth_better_half_spread_points": half_spread,
        "truth_better_half_noise_points": half_noise,
        "truth_better_half_spread_over_noise": half_spread / half_noise,
        "truth_seed_to_seed_tau": tau(points[:, 0], points[:, 1]),
        "truth_better_half_seed_to_seed_tau": tau(points[better, 0], points[better, 1]),
        "truth_loss_seed_to_seed_tau": tau(loss[:, 0], loss[:, 1]),
        "truth_tellable_gap_points": tellable_gap(noise, points.shape[1]),
        "truth_cost_mean_cpu_s": float(cost_s.mean()),
        "truth_cost_total_cpu_minutes": float(cost_s.sum() / 60),
    }


def bootstrap(statistic: Callable[[npt.NDArray[np.int64]], float], count: int, rng: np.random.Generator) -> Floats:
    """Return a statistic over networks drawn with replacement, without the draws for which it does not exist."""
    found = np.array([statistic(rng.integers(0, count, count)) for _ in range(BOOTSTRAPS)])
    return found[np.isfinite(found)]


def interval(values: Floats) -> list[float]:
    """Return the 95 % interval of bootstrap values."""
    return [float(value) for value in np.quantile(values, (0.025, 0.975))] if len(values) else [np.nan, np.nan]


def agreement(truth: Floats, score: Floats, rivals: dict[str, Floats], rng: np.random.Generator) -> dict[str, Any]:
    """Return how well a score ranks, and by how much better than each rival: the draws are the same for both.

    Args:
        truth: Higher is better.
        score: Likewise.
        rivals: Name -> another score.
        rng: Of the draws.
    """
    networks = len(truth)
    found: dict[str, Any] = {
        "networks": networks,
        "tau": tau(truth, score),
        "tau_interval": interval(bootstrap(lambda at: tau(truth[at], score[at]), networks, rng)),
        "spearman": spearman(truth, score),
    }
    for name, rival in rivals.items():
        beyond = bootstrap(lambda at, r=rival: tau(truth[at], score[at]) - tau(truth[at], r[at]), networks, rng)  # type: ignore[misc]
        found[f"{name}_tau"] = tau(truth, rival)
        found[f"beyond_{name}"] = found["tau"] - found[f"{name}_tau"]
        found[f"beyond_{name}_interval"] = interval(beyond)
    return found


def bands(macs: Floats) -> list[npt.NDArray[np.int64]]:
    """Return the indices of the networks in bands of similar MACs, equally many in each, the smallest first."""
    return np.array_split(np.argsort(macs, kind="stable"), BANDS)
