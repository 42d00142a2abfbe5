"""Pareto ranking as small pure functions; every objective is minimised."""

from __future__ import annotations

import moocore
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def front_ranks(objectives: FloatArray) -> IntArray:
    """Return the non-dominated rank of each row, 0 for the front; equal rows share a rank.

    Args:
        objectives: ``(n, m)``, finite, minimised.
    """
    values = np.asarray(objectives, dtype=float)
    count = len(values)
    if count == 0:
        return np.zeros(0, dtype=np.int64)
    no_worse = np.all(values[:, None, :] <= values[None, :, :], axis=2)
    better = np.any(values[:, None, :] < values[None, :, :], axis=2)
    dominates: npt.NDArray[np.bool_] = np.logical_and(no_worse, better)
    ranks = np.full(count, -1, dtype=np.int64)
    rank = 0
    while (ranks < 0).any():
        left = ranks < 0
        is_dominated = np.any(dominates[left], axis=0)
        ranks[left & ~is_dominated] = rank
        rank += 1
    return ranks


def front_indices(objectives: FloatArray) -> list[int]:
    """Return the indices of the non-dominated rows, ordered by the last objective, then by the others."""
    values = np.asarray(objectives, dtype=float)
    members = np.flatnonzero(front_ranks(values) == 0)
    return sorted((int(i) for i in members), key=lambda i: (*values[i][::-1], i))


def crowding_distance(objectives: FloatArray) -> FloatArray:
    """Return the crowding distance of each row among the others; the extremes of an objective are infinite.

    Objectives without spread add nothing. Source: Deb et al. 2002, section III-B.
    """
    values = np.asarray(objectives, dtype=float)
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        spread = column[order[-1]] - column[order[0]] if len(order) else 0.0
        if spread > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
            distance[order[[0, -1]]] = np.inf
    return distance


def thin_front(objectives: FloatArray, count: int, keep: tuple[int, ...] = ()) -> list[int]:
    """Return the indices of at most ``count`` rows, dropping the most crowded one again and again.

    Args:
        objectives: ``(n, m)``.
        count: 1 or more.
        keep: Rows that are never dropped, at most ``count``.
    """
    values = np.asarray(objectives, dtype=float)
    kept = list(range(len(values)))
    while len(kept) > max(count, 1):
        distance = crowding_distance(values[kept])
        droppable = [place for place, index in enumerate(kept) if index not in keep]
        kept.pop(min(droppable, key=lambda place: float(distance[place])))
    return kept


def hypervolume(objectives: FloatArray, reference_point: tuple[float, ...]) -> float:
    """Return the volume that the rows dominate below the reference point; rows beyond it add nothing.

    Source: the exact algorithm of the package moocore.
    """
    values = np.asarray(objectives, dtype=float).reshape(-1, len(reference_point))
    inside = values[(values < np.asarray(reference_point)).all(axis=1)]
    if len(inside) == 0:
        return 0.0
    return float(moocore.hypervolume(inside, ref=np.asarray(reference_point)))
