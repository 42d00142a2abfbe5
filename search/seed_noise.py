"""What several trainings of a network tell: how much a seed changes, and which networks it cannot tell apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev, variance

from scipy.stats import t as student

_TIE_WITHIN = 2.0
"""Standard errors of a difference below which two networks count as equally accurate."""
_COVERAGE = 0.95


def pooled_noise(groups: Sequence[Sequence[float]]) -> float | None:
    """Return the SD of one training's value, pooled over networks; ``None`` where each has a single one."""
    variances = [variance(one) for one in groups if len(one) > 1]
    return math.sqrt(fmean(variances)) if variances else None


def are_tied(first: Sequence[float], second: Sequence[float], noise: float | None) -> bool:
    """Return whether the seeds cannot tell two networks apart; never where the noise is not known.

    Args:
        first: Values of a network's trainings.
        second: Of another's.
        noise: Of `pooled_noise`.
    """
    if noise is None:
        return False
    standard_error = noise * math.sqrt(1 / len(first) + 1 / len(second))
    return abs(fmean(first) - fmean(second)) <= _TIE_WITHIN * standard_error


def half_width(values: Sequence[float]) -> float | None:
    """Return half of the 95 % interval of a mean over seeds, by Student's t; ``None`` for a single one."""
    if len(values) < 2:
        return None
    return float(student.ppf((1 + _COVERAGE) / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
