"""Fits an operator model with settings that cross-validation over groups of networks chooses."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from latency.operator_features import feature_matrix
from latency.operators import Operator
from latency.predictor import FitSettings, OperatorModel, fit_costs, require_latencies
from mnas.errors import LutError

FloatArray = npt.NDArray[np.float64]
GRID = tuple(
    FitSettings(ridge=ridge, secondary=secondary, others=others)
    for ridge, secondary, others in product((1e-3, 1e-2), (30.0, 300.0), (0.1, 0.3, 1.0))
)
_OTHERS_COUNT = 0.3
"""Share of the errors of networks that are unlike those to be predicted, in judging settings."""


def fit_cross_validated(
    networks: Sequence[Sequence[Operator]],
    measured_ms: Sequence[float],
    groups: Sequence[Hashable],
    *,
    device_key: str,
    focus: Sequence[bool] | None = None,
    prior: OperatorModel | None = None,
    grid: Sequence[FitSettings] = GRID,
) -> OperatorModel:
    """Fit with each of the settings, leaving out one group after the other, and average the better half.

    A few groups cannot tell the best settings from the second best, and what they choose wrongly costs more than what
    they choose rightly gains; the mean of the better half has no such cliff. A mean of additive models is one.

    Args:
        networks: The operators of each.
        measured_ms: Latencies.
        groups: Networks of one group (a family, twins) are left out together; two groups at least.
        device_key: The device that they were measured on.
        focus: Networks like those to be predicted; all without. The others count less.
        prior: Costs of another device to pull towards.
        grid: Settings to choose from.

    Raises:
        LutError: ``LUT41``: fewer than 2 groups, lengths that differ, or a latency that is none.
    """
    likes = np.ones(len(networks), dtype=bool) if focus is None else np.asarray(focus, dtype=bool)
    measured = require_latencies(measured_ms, len(networks), len(groups), len(likes))
    folds = [np.array([one == group for one in groups]) for group in dict.fromkeys(groups)]
    if len(folds) < 2:
        raise LutError("LUT41", "one group is none to leave out", value=str(groups[0]), fix="name two or more")
    parts = feature_matrix(networks)
    centre = None if prior is None else np.array(prior.costs)
    left_out = [_predict_left_out(parts, measured, folds, likes, one, centre) for one in grid]
    count = np.where(likes, 1.0, _OTHERS_COUNT)
    scores = [float(np.average(np.abs(one / measured - 1), weights=count)) for one in left_out]
    better = np.argsort(scores, kind="stable")[: (len(grid) + 1) // 2]
    costs = [fit_costs(parts, measured, _weights(likes, grid[i]), grid[i], centre) for i in better]
    error = np.mean([left_out[i] for i in better], axis=0) / measured - 1
    spread = float(np.sqrt(np.average(error**2, weights=count)))
    return OperatorModel(device_key, tuple(np.mean(costs, axis=0).tolist()), spread, len(networks))


def _weights(likes: npt.NDArray[np.bool_], settings: FitSettings) -> FloatArray:
    return np.where(likes, 1.0, settings.others)


def _predict_left_out(
    parts: FloatArray,
    measured: FloatArray,
    folds: Sequence[npt.NDArray[np.bool_]],
    likes: npt.NDArray[np.bool_],
    settings: FitSettings,
    centre: FloatArray | None,
) -> FloatArray:
    """Return each network's prediction by the model that was fitted without its group, shape (networks,)."""
    weights, predicted = _weights(likes, settings), np.empty_like(measured)
    for fold in folds:
        costs = fit_costs(parts[~fold], measured[~fold], weights[~fold], settings, centre)
        predicted[fold] = parts[fold] @ costs
    return predicted
