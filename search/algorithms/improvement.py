"""Expected hypervolume improvement where only the error is uncertain: the latency is known before it is paid for.

A network of latency t and error e adds ``sum_k w_k(t) max(h_k - e, 0)`` to the hypervolume: the front is a staircase
over latency, h_k the height of its k-th step and w_k(t) the width of what lies of it right of t. The sum over the
expectations of the single steps is exact, however the error is distributed. Here its logarithm is normal, so that each
of them is the price of a put option of strike h_k.

Source: Emmerich et al. 2011 (expected hypervolume improvement); Black and Scholes 1973 (the closed form of a step).
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, ndtr

from search.algorithms.algorithm import FloatArray

_LEAST_SD = 1e-9
_LEAST_ERROR = 1e-300


def expected_excess(height: FloatArray, mean: FloatArray, sd: FloatArray) -> FloatArray:
    """Return the expectation of ``max(height - e, 0)`` where log e is normal; the three broadcast.

    Args:
        height: 0 or more.
        mean: Of log e.
        sd: Of log e, 0 or more.
    """
    spread = np.maximum(sd, _LEAST_SD)
    distance = (np.log(np.maximum(height, _LEAST_ERROR)) - mean) / spread
    below = np.exp(mean + spread**2 / 2 + log_ndtr(distance - spread))
    return np.asarray(np.maximum(height * ndtr(distance) - below, 0.0))


class Staircase:
    """The front over latency, below a reference point.

    Args:
        objectives: Error and latency ``(n, 2)`` of networks, in any order; the dominated ones, those beyond the
            reference point and those that are not finite add nothing.
        reference_point: Error and latency.

    Attributes:
        heights: Error of each step ``(k + 1,)``, the first that of the reference point.
        edges: Latency where each step but the first begins, then that of the reference point ``(k + 1,)``.
    """

    def __init__(self, objectives: FloatArray, reference_point: tuple[float, float]) -> None:
        values = np.asarray(objectives, dtype=float).reshape(-1, 2)
        is_inside = np.isfinite(values).all(axis=1) & (values < np.asarray(reference_point)).all(axis=1)
        self._front = _front_by_latency(values[is_inside])
        self._reference_point = reference_point
        self.heights = np.concatenate([[reference_point[0]], self._front[:, 0]])
        self.edges = np.concatenate([self._front[:, 1], [reference_point[1]]])

    def with_network(self, error: float, latency_ms: float) -> Staircase:
        """Return the staircase with one network more."""
        return Staircase(np.vstack([self._front, [error, latency_ms]]), self._reference_point)

    def heights_at(self, latency_ms: FloatArray) -> FloatArray:
        """Return the error of the step at each latency ``(n,)``: the least among networks that are no slower."""
        return np.asarray(self.heights[np.searchsorted(self._front[:, 1], latency_ms, side="right")])

    def widths(self, latency_ms: FloatArray) -> FloatArray:
        """Return how much of each step lies right of each latency ``(n, k + 1)``."""
        starts = np.maximum(np.concatenate([[-np.inf], self.edges[:-1]]), np.asarray(latency_ms)[:, None])
        return np.asarray(np.maximum(self.edges - starts, 0.0))

    def improvement(self, objectives: FloatArray) -> FloatArray:
        """Return what each network alone would add to the hypervolume ``(n,)``.

        Args:
            objectives: Error and latency ``(n, 2)``.
        """
        gains = np.maximum(self.heights - objectives[:, :1], 0.0)
        return np.asarray((self.widths(objectives[:, 1]) * gains).sum(axis=1))

    def expected_improvement(
        self, mean: FloatArray, sd: FloatArray, latency_ms: FloatArray, shift: float = 0.0
    ) -> FloatArray:
        """Return the exact expectation of `improvement` ``(n,)`` where ``log(error + shift)`` is normal.

        Args:
            mean: Of that logarithm ``(n,)``.
            sd: Likewise, 0 or more.
            latency_ms: Known ``(n,)``.
            shift: Such that no step is below ``-shift``.
        """
        excess = expected_excess(self.heights + shift, mean[:, None], sd[:, None])
        return np.asarray((self.widths(latency_ms) * excess).sum(axis=1))


def _front_by_latency(values: FloatArray) -> FloatArray:
    """Return the distinct non-dominated rows of error and latency, the fastest first."""
    ordered = values[np.lexsort(values.T)]
    best_before = np.minimum.accumulate(np.concatenate([[np.inf], ordered[:, 0]]))[:-1]
    return np.asarray(ordered[ordered[:, 0] < best_before])
