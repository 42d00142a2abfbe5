"""Where a validation curve ends: a prediction of its last point, with how unsure it is.

Two ways. *Regression* on runs of the same schedule that went to their end: the last error is linear in the error so
far; the predictive distribution is Student's t. It needs `LEAST_RUNS` such runs, and it is the one to trust, for it
has seen what the annealing of the learning rate does to the end of a curve. *Extrapolation* of the curve alone: power
laws and exponentials with an asymptote, weighted by how well each fits. It knows nothing of the annealing, so
that it is too pessimistic about runs with a cosine; it is there to look at, and the stopping rule does not use it.

Source: Baker et al., Accelerating neural architecture search using performance prediction (arXiv 1705.10823) for the
regression; Domhan et al., Speeding up automatic hyperparameter optimization by extrapolation of learning curves (IJCAI
2015) for the families of curves. The weights by BIC and the predictive t are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

FloatArray = npt.NDArray[np.float64]

LEAST_RUNS = 6
_SLOPE_RUNS = 12
"""Runs from which on the last step of the curve is a second variable."""
LEAST_POINTS = 4
"""Points without which a curve alone says nothing."""
_EXPONENTS = (0.25, 0.5, 1.0, 1.5, 2.0)
_RATES = (0.5, 1.0, 2.0, 4.0, 8.0)
_LEAST_SCALE = 1e-3


@dataclass(frozen=True, slots=True)
class Forecast:
    """A mixture of Student's t distributions over the last point of a curve.

    Attributes:
        weights: Of the parts; their sum is 1.
        means: Of each part.
        scales: Of each part.
        freedom: Degrees of freedom of each part.
    """

    weights: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    freedom: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the expected last point."""
        return float(np.dot(self.weights, self.means))

    def probability_below(self, target: float) -> float:
        """Return the probability that the curve ends below a value."""
        parts = [
            weight * student.cdf((target - mean) / scale, freedom)
            for weight, mean, scale, freedom in zip(self.weights, self.means, self.scales, self.freedom, strict=True)
        ]
        return float(np.clip(sum(parts), 0, 1))


def forecast(curve: Sequence[float], completed: Sequence[Sequence[float]]) -> Forecast | None:
    """Return the regression's forecast where there are runs enough, else the extrapolation's, else None.

    Args:
        curve: Errors at the points seen so far, ``(k,)``.
        completed: Curves that went to their end, ``(runs, n)`` with ``n > k``.
    """
    return regressed(curve, completed) or extrapolated(curve, len(completed[0]) if completed else 2 * len(curve))


def regressed(curve: Sequence[float], completed: Sequence[Sequence[float]]) -> Forecast | None:
    """Return the forecast by linear regression on completed runs; None with fewer than `LEAST_RUNS`.

    Args:
        curve: Errors at the points seen so far, ``(k,)``, at least one.
        completed: ``(runs, n)`` with ``n > k``.
    """
    if len(completed) < LEAST_RUNS or not curve:
        return None
    rows, k = np.asarray(completed, dtype=float), len(curve)
    with_slope = k >= 2 and len(rows) >= _SLOPE_RUNS
    design, place = _design(rows[:, :k], with_slope), _design(np.asarray([curve], dtype=float), with_slope)[0]
    inverse = np.linalg.pinv(design.T @ design)
    weights = inverse @ design.T @ rows[:, -1]
    freedom = len(rows) - design.shape[1]
    scale = np.sqrt(np.sum((rows[:, -1] - design @ weights) ** 2) / freedom)
    spread = max(float(scale), _LEAST_SCALE) * np.sqrt(1 + place @ inverse @ place)
    return Forecast((1.0,), (float(place @ weights),), (float(spread),), (float(freedom),))


def _design(curves: FloatArray, with_slope: bool) -> FloatArray:
    columns = [np.ones(len(curves)), curves[:, -1]]
    return np.stack([*columns, curves[:, -1] - curves[:, -2]] if with_slope else columns, axis=1)


def extrapolated(curve: Sequence[float], points: int) -> Forecast | None:
    """Return the forecast by families of curves; None with fewer than `LEAST_POINTS` points.

    Each family is ``a + b f(t)`` with ``b >= 0`` and ``0 <= a``, fitted by least squares for each of a few shapes of
    ``f``: ``t ** -c`` and ``exp(-c t)``.

    Args:
        curve: Errors at the points seen so far, ``(k,)``.
        points: Points of a whole curve.
    """
    seen = np.asarray(curve, dtype=float)
    if len(seen) < LEAST_POINTS:
        return None
    times = np.arange(1, points + 1) / points * 4
    shapes = [times**-c for c in _EXPONENTS] + [np.exp(-c * times) for c in _RATES]
    fits = [_fitted(shape, seen) for shape in shapes]
    scores = np.asarray([len(seen) * np.log(scale) for _, scale in fits])
    weights = np.exp(-(scores - scores.min()))
    weights /= weights.sum()
    freedom = float(len(seen) - 2)
    return Forecast(
        tuple(float(w) for w in weights),
        tuple(mean for mean, _ in fits),
        tuple(scale for _, scale in fits),
        (freedom,) * len(fits),
    )


def _fitted(shape: FloatArray, seen: FloatArray) -> tuple[float, float]:
    """Return where one family ends and its residual scale."""
    known = shape[: len(seen)]
    slope = max(float(np.cov(known, seen)[0, 1] / np.var(known, ddof=1)), 0.0)
    asymptote = max(float(np.mean(seen) - slope * np.mean(known)), 0.0)
    residual = np.sqrt(np.sum((seen - asymptote - slope * known) ** 2) / (len(seen) - 2))
    return asymptote + slope * float(shape[-1]), max(float(residual), _LEAST_SCALE)
