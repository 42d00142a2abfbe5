"""From the timed runs of a session to one number with an interval.

The estimate is a low quantile of a model's runs, pooled over its rounds, over the geometric mean of the same quantile
of the reference networks in the same rounds, times their nominal. The error of such a ratio comes by the state of the
machine, which lasts for seconds, not by the run: so the interval is a bootstrap over whole rounds, drawn for model and
references together. Source: Field and Welsh 2007, "Bootstrapping clustered data", for the cluster bootstrap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Runs:
    """The finite timed runs of one model.

    Attributes:
        values_ms: Milliseconds, ascending, shape (n,).
        rounds: Round of each, shape (n,).
    """

    values_ms: Floats
    rounds: Ints

    @classmethod
    def of(cls, values_ms: Sequence[float], rounds: Sequence[int]) -> Runs:
        """Sort runs by their time and leave out those that are not finite."""
        values = np.asarray(values_ms, dtype=np.float64)
        places = np.asarray(rounds, dtype=np.int64)
        kept = np.isfinite(values)
        order = np.argsort(values[kept], kind="stable")
        return cls(values[kept][order], places[kept][order])

    def quantiles(self, counts: Ints, round_ids: Ints, quantile: float) -> Floats:
        """Return the quantile under each resampling of rounds, shape (resamples,).

        Equal to `numpy.quantile` (linear) of the runs repeated as often as their round was drawn; NaN where none was.

        Args:
            counts: How often each round was drawn, shape (resamples, rounds).
            round_ids: Ascending ids of the columns of ``counts``; runs of other rounds are left out.
            quantile: 0..1.
        """
        column = np.searchsorted(round_ids, self.rounds)
        column[column == len(round_ids)] = 0
        inside = round_ids[column] == self.rounds if len(round_ids) else np.zeros(len(self.rounds), dtype=bool)
        values = self.values_ms[inside]
        if not len(values):
            return np.full(len(counts), np.nan)
        total = np.cumsum(counts[:, column[inside]], axis=1)
        place = quantile * (total[:, -1] - 1)
        low = np.floor(place)
        lower = values[np.argmax(total > low[:, None], axis=1)]
        upper = values[np.argmax(total > np.ceil(place)[:, None], axis=1)]
        result = lower + (place - low) * (upper - lower)
        return np.where(total[:, -1] > 0, result, np.nan)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A latency.

    Attributes:
        latency_ms: Milliseconds at the references' nominal.
        interval_ms: 95 % interval, or ``None`` with fewer than three rounds, which cannot tell their spread.
        log_spread: Standard deviation of the logarithm of the resampled estimates; NaN without an interval.
    """

    latency_ms: float
    interval_ms: tuple[float, float] | None
    log_spread: float


class RatioEstimator:
    """Works out latencies of models that shared their rounds with the same references.

    Args:
        references: Runs of each reference network.
        nominal_ms: Geometric mean of their nominals.
        quantile: 0..1.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """

    def __init__(
        self, references: Mapping[str, Runs], nominal_ms: float, *, quantile: float, resamples: int, seed: int
    ) -> None:
        self._references = dict(references)
        self._nominal_ms = nominal_ms
        self._quantile = quantile
        self._resamples = resamples
        self._seed = seed
        self._cache: dict[tuple[int, ...], tuple[Ints, Floats]] = {}

    def estimate(self, runs: Runs, round_ids: Sequence[int] | None = None) -> Estimate:
        """Return the estimate over the rounds in which the model was measured, or over the given ones.

        A model that took part in some rounds only is compared with the references of just those.
        """
        ids = np.unique(runs.rounds) if round_ids is None else np.asarray(sorted(set(round_ids)), dtype=np.int64)
        counts, reference_ms = self._resampled_references(ids)
        values = runs.quantiles(counts, ids, self._quantile) / reference_ms * self._nominal_ms
        return _estimate_of(values, len(ids))

    def _resampled_references(self, ids: Ints) -> tuple[Ints, Floats]:
        """Return the counts, whose first row is the session as it was, and the references' geometric means."""
        key = tuple(int(value) for value in ids)
        if key not in self._cache:
            rounds = len(ids)
            drawn = np.random.default_rng(self._seed).integers(0, max(rounds, 1), size=(self._resamples, rounds))
            counts = np.ones((self._resamples + 1, rounds), dtype=np.int64)
            for row, choice in enumerate(drawn, start=1):
                counts[row] = np.bincount(choice, minlength=rounds)
            logs = [np.log(runs.quantiles(counts, ids, self._quantile)) for runs in self._references.values()]
            self._cache[key] = (counts, np.exp(np.mean(logs, axis=0)))
        return self._cache[key]


_FEWEST_ROUNDS = 3


def _estimate_of(values: Floats, rounds: int) -> Estimate:
    latency, resampled = float(values[0]), values[1:][np.isfinite(values[1:])]
    if rounds < _FEWEST_ROUNDS or len(resampled) < len(values) / 2 or not np.isfinite(latency):
        return Estimate(latency, None, float("nan"))
    low, high = np.quantile(resampled, [0.025, 0.975])
    # A quantile of few runs has few values; the interval must at least hold the estimate itself.
    return Estimate(latency, (min(float(low), latency), max(float(high), latency)), float(np.std(np.log(resampled))))
