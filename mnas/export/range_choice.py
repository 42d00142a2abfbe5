"""Which range of a tensor's values int8 numbers should span: all that was seen, or less, but in finer steps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Limits = tuple[float, float]
RANGE_CHOICES = ("minmax", "percentile", "mse")
BINS = 2048
STEPS = 255
"""Steps between the lowest and the highest int8 number."""

_PERCENTILE = 0.9999
_SHRINKS = np.linspace(1.0, 0.2, 81)


def choose_limits(span: Limits, counts: npt.NDArray[np.float64] | None, choice: str) -> Limits:
    """Return lowest and highest value to be told apart; values beyond are taken for these.

    Args:
        span: Lowest and highest value that was seen.
        counts: How often values fell into each of `BINS` equal parts of the span; not needed for ``minmax``.
        choice: ``minmax``, ``percentile`` (99.99 % of the values), or ``mse`` (least mean squared error).
    """
    low, high = span
    if choice == "minmax" or counts is None or not counts.sum() or not high > low:
        return span
    return _by_percentile(span, counts) if choice == "percentile" else _by_error(span, counts)


def _by_percentile(span: Limits, counts: npt.NDArray[np.float64]) -> Limits:
    edges = np.linspace(*span, BINS + 1)
    share = np.cumsum(counts) / counts.sum()
    tail = (1 - _PERCENTILE) / 2
    return float(edges[np.searchsorted(share, tail)]), float(edges[1 + np.searchsorted(share, 1 - tail)])


def _by_error(span: Limits, counts: npt.NDArray[np.float64]) -> Limits:
    """Shrink the upper end, then the lower one, then the upper one once more, each to where the error is least.

    Ends that lie on the other side of zero stay: the range of int8 numbers always holds zero.
    """
    edges = np.linspace(*span, BINS + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    low, high = min(span[0], 0.0), max(span[1], 0.0)
    for end in ("high", "low", "high"):
        if end == "high" and high > 0:
            tries = np.unique(np.concatenate([max(span[1], 0.0) * _SHRINKS, [high]]))
            high = float(tries[np.argmin([_error(middles, counts, low, one) for one in tries])])
        elif end == "low" and low < 0:
            tries = np.unique(np.concatenate([min(span[0], 0.0) * _SHRINKS, [low]]))
            low = float(tries[np.argmin([_error(middles, counts, one, high) for one in tries])])
    return low, high


def _error(middles: npt.NDArray[np.float64], counts: npt.NDArray[np.float64], low: float, high: float) -> float:
    """Squared error of rounding (a twelfth of the squared step) and of cutting off, summed over all values."""
    beyond = middles - np.clip(middles, low, high)
    return float((counts * beyond**2).sum() + counts.sum() * ((high - low) / STEPS) ** 2 / 12)
