"""Costs that are never negative, fitted on relative errors, robust against networks that are unlike the rest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
_MOST_ROUNDS = 10
_SETTLED = 1e-3
"""Reweighting ends when no weight changes by more, relative to that of its network."""


def fit_nonnegative(
    relative: FloatArray, weights: FloatArray, pull: FloatArray, goal: FloatArray, huber: float
) -> FloatArray:
    """Return x >= 0 that minimises the weighted Huber loss of ``relative @ x - 1`` plus ``|pull @ x - goal|^2``.

    Found by non-negative least squares with Huber's weights, over and over.

    Args:
        relative: Columns divided by what was measured, shape (networks, columns).
        weights: Of the networks.
        pull: What is known beforehand, shape (any, columns).
        goal: Shape (any,).
        huber: Relative error beyond which an error counts linearly.
    """
    from scipy.optimize import nnls  # reading a table must not wait for it

    current, found = weights, np.zeros(relative.shape[1])
    for _ in range(_MOST_ROUNDS):
        root = np.sqrt(current)
        matrix = np.vstack([relative * root[:, None], pull])
        found, _ = nnls(matrix, np.concatenate([root, goal]), maxiter=100 * matrix.shape[1])
        error = np.abs(relative @ found - 1)
        before, current = current, weights * np.minimum(1.0, huber / np.maximum(error, 1e-12))
        if np.all(np.abs(current - before) <= _SETTLED * weights):
            break
    return np.asarray(found, dtype=float)


def fit_ridge(
    columns: FloatArray, target: FloatArray, weights: FloatArray, ridge: FloatArray, huber: float, centre: FloatArray
) -> FloatArray:
    """Return x >= 0 that minimises the weighted Huber loss of ``columns @ x / target - 1`` plus a ridge.

    Each column is scaled to a root mean square of 1 first, so that the ridge weighs what a column contributes and not
    the unit that it is in.

    Args:
        columns: Shape (networks, columns).
        target: Positive, shape (networks,).
        weights: Of the networks, not all zero.
        ridge: Of each column, for a mean over the networks; 0 leaves it free.
        huber: Relative error beyond which an error counts linearly.
        centre: What the ridge pulls towards, in units of x.
    """
    relative = columns / target[:, None]
    size = np.sqrt(np.average(relative**2, axis=0, weights=weights))
    size[size == 0] = 1.0
    strength = np.sqrt(ridge * weights.sum())
    scaled = fit_nonnegative(relative / size, weights, np.diag(strength), strength * centre * size, huber)
    return scaled / size
