"""What walks over a table amount to: means over seeds, and whether differences are more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import wilcoxon

Scores = Mapping[int, Mapping[str, Mapping[str, float]]]
"""Seed -> evaluations -> share and front."""
JUDGED_AT = "500"
BEST_BY = "200"


def column(scores: Scores, evaluations: str, what: str) -> npt.NDArray[np.float64]:
    """Return a figure of every seed in order; NaN where a walk ended before."""
    found = [scores[seed].get(evaluations, {}).get(what, np.nan) for seed in sorted(scores)]
    return np.asarray(found, dtype=float)


def chance(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """Return the one-sided p of Wilcoxon's signed-rank test that ``first`` is no larger, paired by seed."""
    difference = first - second
    if np.isnan(difference).any() or not difference.any():
        return 1.0
    return float(wilcoxon(difference, alternative="greater").pvalue)


def quality_figures(
    scores: Mapping[str, Scores], checkpoints: Sequence[int], peers: Sequence[str], ours: Sequence[str]
) -> dict[str, Any]:
    """Return means of all searches, and under ``pairs`` mean differences to the others by pairs and p-values.

    Args:
        scores: Name of a search -> its scores; all have the same seeds.
        checkpoints: Numbers of evaluations.
        peers: Names of searches that the others are held against, besides ``random``.
        ours: Names of registered algorithms.
    """
    figures: dict[str, Any] = {}
    for name, found in scores.items():
        for count in map(str, checkpoints):
            for what in ("share", "front"):
                values = column(found, count, what)
                figures[f"{name}_{what}_{count}"] = float(values.mean())
                figures.setdefault("standard_deviations", {})[f"{name}_{what}_{count}"] = float(values.std(ddof=1))
    pairs: dict[str, float] = {}
    for name in ours:
        for other in ("random", *peers):
            if other != name and other in scores:
                pairs |= _against(name, other, scores, checkpoints)
    figures["pairs"] = pairs
    best = max(ours, key=lambda name: figures.get(f"{name}_share_{BEST_BY}", 0.0))
    figures["best"] = best
    for count in checkpoints:
        for what in ("share", "front"):
            figures[f"best_{what}_{count}"] = figures[f"{best}_{what}_{count}"]
    return figures


def _against(name: str, other: str, scores: Mapping[str, Scores], checkpoints: Sequence[int]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for count in map(str, checkpoints):
        for what in ("share", "front"):
            mine, theirs = column(scores[name], count, what), column(scores[other], count, what)
            figures[f"{name}_minus_{other}_{what}_{count}"] = float((mine - theirs).mean())
            if count == JUDGED_AT:
                figures[f"{name}_over_{other}_{what}_{count}_p"] = chance(mine, theirs)
    return figures
