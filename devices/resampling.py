"""Drawing rounds and launches anew, and middles that a few strays do not move."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def two_stage_counts(launches: Ints, resamples: int, rng: np.random.Generator) -> Ints:
    """Return how often each round is drawn when launches are drawn first, and then rounds within each drawn launch.

    Args:
        launches: Launch of each round, shape (rounds,).
        resamples: How many draws.
        rng: Draws.

    Returns:
        Shape (resamples + 1, rounds); the first row is all ones: the session as it was.
    """
    members, counts = _members(launches), _as_it_was(launches, resamples)
    for row in counts[1:]:
        for launch in rng.integers(0, len(members), len(members)) if members else ():
            places = members[launch]
            np.add.at(row, places[rng.integers(0, len(places), len(places))], 1)
    return counts


def stratified_counts(launches: Ints, resamples: int, rng: np.random.Generator) -> Ints:
    """Return how often each round is drawn when the launches stay as they are; see `two_stage_counts`."""
    members, counts = _members(launches), _as_it_was(launches, resamples)
    for row in counts[1:]:
        for places in members:
            np.add.at(row, places[rng.integers(0, len(places), len(places))], 1)
    return counts


_FEWEST_ROUNDS = 3


def join_small(launches: Ints) -> Ints:
    """Return the launch of each round, where a launch of fewer than 3 rounds counts to the one before or after it.

    A draw of launches takes all alike; one that had only begun would stand for as much as a whole one.

    Args:
        launches: Launch of each round, in order of time, shape (rounds,).
    """
    joined = launches.copy()
    while True:
        found, counts = np.unique(joined, return_counts=True)
        small = np.flatnonzero(counts < _FEWEST_ROUNDS)
        if not len(small) or len(found) == 1:
            return joined
        place = int(small[0])
        joined[joined == found[place]] = found[place - 1 if place else 1]


def _members(launches: Ints) -> list[Ints]:
    return [np.flatnonzero(launches == launch) for launch in np.unique(launches)]


def _as_it_was(launches: Ints, resamples: int) -> Ints:
    counts = np.zeros((resamples + 1, len(launches)), dtype=np.int64)
    counts[0] = 1
    return counts


def interquartile_means(values: Floats, counts: Ints) -> Floats:
    """Return the mean of the middle half of the values, each taken as often as it was drawn, shape (resamples,)."""
    if not len(values):
        return np.full(len(counts), np.nan)
    order = np.argsort(values, kind="stable")
    drawn = counts[:, order].astype(np.float64)
    upto = np.cumsum(drawn, axis=1)
    low, high = 0.25 * upto[:, -1:], 0.75 * upto[:, -1:]
    weights = np.clip(np.minimum(upto, high) - np.maximum(upto - drawn, low), 0.0, None)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((weights * values[order]).sum(axis=1) / (high - low)[:, 0], dtype=np.float64)


def weighted_median(values: Floats, weights: Floats) -> float:
    """Return the weighted median of those values that are finite, interpolated; NaN when none is."""
    finite = np.isfinite(values)
    if not finite.any():
        return math.nan
    order = np.argsort(values[finite], kind="stable")
    ordered, weight = values[finite][order], weights[finite][order]
    centres = np.cumsum(weight) - weight / 2
    return float(np.interp(weight.sum() / 2, centres, ordered))
