"""From the timed runs of a session to one number with an interval.

The estimate is a low quantile of a model's runs, pooled over its rounds, corrected by what the same quantile of the
reference networks was in the same rounds. Short models are compared with the *cached* references and long ones with the
*streaming* ones, in between with both, by where the model's time lies between theirs on a logarithmic scale.

The error of such a ratio comes by the state of the machine, which lasts for seconds, and by where a process happens to
lie in memory, which lasts as long as the process; not by the run. So the interval is a bootstrap that draws whole
launches, and whole rounds within each, for model and references together. Sources: Field and Welsh 2007, "Bootstrapping
clustered data", for the two stages; Kalibera and Jones 2013, "Rigorous benchmarking in reasonable time", for repeating
at the level at which the noise arises.
"""

from __future__ import annotations

import math
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
class Reference:
    """A reference network in a session.

    Attributes:
        runs: Its runs.
        nominal_ms: What it took when the device was calibrated.
        group: ``cached`` or ``streaming``.
    """

    runs: Runs
    nominal_ms: float
    group: str = "cached"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A latency, or a ratio of two.

    Attributes:
        value: Milliseconds at the references' nominals; or the ratio.
        interval: 95 % interval, or ``None`` with fewer than three rounds, which cannot tell their spread.
        log_spread: Standard deviation of the logarithm of the resampled values; NaN without an interval.
    """

    value: float
    interval: tuple[float, float] | None
    log_spread: float

    @property
    def half_width(self) -> float:
        """Half the width of the interval as a share of the value; infinite without an interval."""
        if self.interval is None or not self.value > 0:
            return math.inf
        return (self.interval[1] - self.interval[0]) / 2 / self.value


@dataclass(frozen=True, slots=True)
class _Levels:
    """The references over certain rounds, under each resampling; the first row is the session as it was."""

    counts: Ints
    launches: int
    short: Floats
    long: Floats
    nominal_short: float
    nominal_long: float

    def log_latency(self, log_ms: Floats) -> Floats:
        """Return logarithms of a model's times as they would be at the nominals."""
        gap = self.long - self.short
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(gap > 0, np.clip((log_ms - self.short) / gap, 0.0, 1.0), 0.5)
        return log_ms - (1 - share) * (self.short - self.nominal_short) - share * (self.long - self.nominal_long)


class RatioEstimator:
    """Works out latencies of models that shared their rounds with the same references.

    Args:
        references: Reference networks; where all are of one group, every model is compared with all of them.
        quantile: 0..1.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        launches: Round -> launch that it belongs to; rounds that it does not name belong to launch 0.
    """

    def __init__(
        self,
        references: Sequence[Reference],
        *,
        quantile: float,
        resamples: int,
        seed: int,
        launches: Mapping[int, int] | None = None,
    ) -> None:
        self._references = tuple(references)
        self._quantile = quantile
        self._resamples = resamples
        self._seed = seed
        self._launches = dict(launches or {})
        self._cache: dict[tuple[int, ...], _Levels] = {}

    def estimate(self, runs: Runs, round_ids: Sequence[int] | None = None) -> Estimate:
        """Return the latency over the rounds in which the model was measured, or over the given ones.

        A model that took part in some rounds only is compared with the references of just those.
        """
        ids = np.unique(runs.rounds) if round_ids is None else np.asarray(sorted(set(round_ids)), dtype=np.int64)
        levels = self._levels(ids)
        return _estimate_of(levels.log_latency(self._logs(runs, ids, levels)), len(ids), levels.launches)

    def ratio(self, runs: Runs, to: Runs) -> Estimate:
        """Return how long one model takes over how long another does, from the rounds that both were in.

        The references are left out: model against model of the same rounds is the closer comparison.
        """
        ids = np.intersect1d(runs.rounds, to.rounds)
        levels = self._levels(ids)
        return _estimate_of(self._logs(runs, ids, levels) - self._logs(to, ids, levels), len(ids), levels.launches)

    def raw(self, runs: Runs) -> Estimate:
        """Return the quantile of a model's times as they were, not corrected by the references."""
        ids = np.unique(runs.rounds)
        levels = self._levels(ids)
        return _estimate_of(self._logs(runs, ids, levels), len(ids), levels.launches)

    def correction(self, runs: Runs) -> float:
        """Return the factor that brings a model's times to the references' nominals."""
        ids = np.unique(runs.rounds)
        levels = self._levels(ids)
        log_ms = self._logs(runs, ids, levels)
        return float(np.exp(levels.log_latency(log_ms) - log_ms)[0])

    def _logs(self, runs: Runs, ids: Ints, levels: _Levels) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(runs.quantiles(levels.counts, ids, self._quantile))

    def _levels(self, ids: Ints) -> _Levels:
        key = tuple(int(value) for value in ids)
        if key not in self._cache:
            launches = np.asarray([self._launches.get(one, 0) for one in key], dtype=np.int64)
            counts = two_stage_counts(launches, self._resamples, np.random.default_rng(self._seed))
            short = [one for one in self._references if one.group != "streaming"] or list(self._references)
            long = [one for one in self._references if one.group == "streaming"] or short
            found = [
                np.mean([np.log(one.runs.quantiles(counts, ids, self._quantile)) for one in group], axis=0)
                for group in (short, long)
            ]
            nominals = [sum(math.log(one.nominal_ms) for one in group) / len(group) for group in (short, long)]
            self._cache[key] = _Levels(counts, len(np.unique(launches)), found[0], found[1], nominals[0], nominals[1])
        return self._cache[key]


def two_stage_counts(launches: Ints, resamples: int, rng: np.random.Generator) -> Ints:
    """Return how often each round is drawn when launches are drawn first, and then rounds within each drawn launch.

    Args:
        launches: Launch of each round, shape (rounds,).
        resamples: How many draws.
        rng: Draws.

    Returns:
        Shape (resamples + 1, rounds); the first row is all ones: the session as it was.
    """
    members = [np.flatnonzero(launches == launch) for launch in np.unique(launches)]
    counts = np.zeros((resamples + 1, len(launches)), dtype=np.int64)
    counts[0] = 1
    for row in counts[1:]:
        for launch in rng.integers(0, len(members), len(members)) if members else ():
            places = members[launch]
            np.add.at(row, places[rng.integers(0, len(places), len(places))], 1)
    return counts


_FEWEST_ROUNDS = 3


def _estimate_of(logs: Floats, rounds: int, launches: int) -> Estimate:
    """Turn logarithms, the first of the session as it was and the others resampled, into an estimate.

    A bootstrap over few clusters is too narrow by the square root of (n - 1) / n, which is made good here.
    """
    value = float(np.exp(logs[0]))
    finite = logs[1:][np.isfinite(logs[1:])]
    if rounds < _FEWEST_ROUNDS or len(finite) < len(logs) / 2 or not math.isfinite(value):
        return Estimate(value, None, math.nan)
    clusters = launches if launches > 1 else rounds
    widening = math.sqrt(clusters / (clusters - 1))
    low, high = (np.quantile(finite, [0.025, 0.975]) - logs[0]) * widening
    # A quantile of few runs has few values; the interval must at least hold the estimate itself.
    interval = (value * math.exp(min(float(low), 0.0)), value * math.exp(max(float(high), 0.0)))
    return Estimate(value, interval, float(np.std(finite)) * widening)
