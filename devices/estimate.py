"""From the timed runs of a session to one number with an interval.

What a model took in a round, the median of its runs, is compared with what the reference networks took in that round;
the estimate is the interquartile mean of these comparisons. Whatever slows the machine for longer than a round cancels,
and a disturbed round is left out. Within a round the weighted median of the references counts, since now and then one
of them goes its own way. Short models are compared with the *cached* references above all and long ones with the
*streaming* ones, in between with both, by where the model's time lies between theirs on a logarithmic scale.

The error of such a ratio comes by the state of the machine, which lasts for seconds, and by where a process happens to
lie in memory, which lasts as long as the process; not by the run. So the interval is a bootstrap that draws whole
launches, and whole rounds within each.

Ten sessions of 21 networks on a restless machine: the plain median wandered by 7.2 %, a ratio of quantiles that are
pooled over the session by 1.4 %, this by 0.95 %. Of two networks of 5 ms, over 80 sessions, the ratio of pooled
quantiles wandered by 1.2 %, this by 0.8 %.

Sources: Field and Welsh 2007, "Bootstrapping clustered data", for the two stages; Kalibera and Jones 2013, "Rigorous
benchmarking in reasonable time", for repeating at the level at which the noise arises.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from devices.resampling import (
    Floats,
    Ints,
    interquartile_means,
    join_small,
    stratified_counts,
    two_stage_counts,
    weighted_median,
)

_OFF_GROUP = 0.25
"""Weight of a reference of the other group, beside 1 for one of the model's own: more to take the middle of."""


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

    def round_logs(self, round_ids: Ints) -> Floats:
        """Return the logarithm of the median of each round's runs, shape (rounds,); NaN for a round without any."""
        found = (self.values_ms[self.rounds == one] for one in round_ids)
        medians = (float(np.median(values)) if len(values) else math.nan for values in found)
        return np.array([math.log(median) if median > 0 else math.nan for median in medians])

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
    """The references over certain rounds."""

    launches: Ints
    deviations: Floats
    """Logarithm of each reference's median over its nominal, shape (references, rounds); NaN where it did not run."""
    is_streaming: npt.NDArray[np.bool_]
    short: float
    long: float

    def at_nominal(self, logs: Floats) -> Floats:
        """Return logarithms of a model's times, one a round, as they would be with the references at their nominals."""
        present = logs[np.isfinite(logs)]
        if not len(present):
            return logs
        gap = self.long - self.short
        share = float(np.clip((_middle(present) - self.short) / gap, 0.0, 1.0)) if gap > 0 else 0.5
        weights = np.where(self.is_streaming, share, 1 - share) * (1 - _OFF_GROUP) + _OFF_GROUP
        common: Floats = np.array([weighted_median(column, weights) for column in self.deviations.T])
        return np.subtract(logs, common)


class RatioEstimator:
    """Works out latencies of models that shared their rounds with the same references.

    Args:
        references: Reference networks; where all are of one group, every model is compared with all of them.
        quantile: Of raw times, 0..1.
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
        self._levels_of: dict[bytes, _Levels] = {}
        self._counts_of: dict[bytes, Ints] = {}

    def estimate(self, runs: Runs, round_ids: Sequence[int] | None = None) -> Estimate:
        """Return the latency over the rounds in which the model was measured, or over the given ones.

        A model that took part in some rounds only is compared with the references of just those.
        """
        ids = np.unique(runs.rounds) if round_ids is None else np.asarray(sorted(set(round_ids)), dtype=np.int64)
        levels = self._levels(ids)
        logs = levels.at_nominal(runs.round_logs(ids))
        kept = np.isfinite(logs)
        launches = levels.launches[kept]
        return _estimate_of(interquartile_means(logs[kept], self._two_stage(launches)), int(kept.sum()), launches)

    def draws(self, runs: Runs, count: int) -> Floats:
        """Return so many of the resampled latencies, milliseconds, spread like the interval; NaN where there is none.

        Models that were measured in the same rounds are resampled in the same way: draw ``i`` of one goes with draw
        ``i`` of the other.
        """
        ids = np.unique(runs.rounds)
        levels = self._levels(ids)
        logs = levels.at_nominal(runs.round_logs(ids))
        kept = np.isfinite(logs)
        found = interquartile_means(logs[kept], self._two_stage(levels.launches[kept]))
        clusters = _clusters(int(kept.sum()), levels.launches[kept])
        widening = math.sqrt(clusters / (clusters - 1)) if clusters > 1 else math.nan
        return np.asarray(np.exp(found[0] + (found[1 : count + 1] - found[0]) * widening))

    def ratio(self, runs: Runs, to: Runs) -> Estimate:
        """Return how long one model takes over how long another does, from the rounds that both were in.

        The references are left out: model against model of the same round is the closer comparison. The interval is
        that of this session; other sessions, for which a latency's interval also makes room, are no part of a ratio.
        """
        ids = np.intersect1d(runs.rounds, to.rounds)
        logs = runs.round_logs(ids) - to.round_logs(ids)
        ids, logs = ids[np.isfinite(logs)], logs[np.isfinite(logs)]
        launches = self._launch_of(ids)
        within = interquartile_means(logs, stratified_counts(launches, self._resamples, self._rng()))
        clusters = len(np.unique(launches))
        if clusters < 2:
            return _estimate_of(within, len(ids), launches)
        # Two stages count the noise of rounds twice: as part of what tells the launches apart, and within each. What
        # rounds alone contribute is taken off again; that itself is the least that is left.
        both = interquartile_means(logs, self._two_stage(launches))
        of_rounds, of_both = float(np.var(within[1:])), float(np.var(both[1:]))
        wanted = max(of_both * clusters / (clusters - 1) - of_rounds, of_rounds)
        scale = math.sqrt(wanted / of_both) if of_both > 0 else 1.0
        return _estimate_of(both[0] + (both - both[0]) * scale, len(ids), launches, is_widened=True)

    def raw(self, runs: Runs) -> Estimate:
        """Return the quantile of a model's times as they were, not corrected by the references."""
        ids = np.unique(runs.rounds)
        return _estimate_of(self._raw_logs(runs, ids), len(ids), self._launch_of(ids))

    def raw_ratio(self, runs: Runs, to: Runs) -> Estimate:
        """Return the ratio of the quantiles of two models' raw times, pooled over the rounds that both were in."""
        ids = np.intersect1d(runs.rounds, to.rounds)
        return _estimate_of(self._raw_logs(runs, ids) - self._raw_logs(to, ids), len(ids), self._launch_of(ids))

    def launches_in(self, round_ids: Sequence[int]) -> int:
        """Return how many launches these rounds belong to."""
        return len({self._launches.get(one, 0) for one in round_ids})

    def _raw_logs(self, runs: Runs, ids: Ints) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(runs.quantiles(self._two_stage(self._launch_of(ids)), ids, self._quantile))

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self._seed)

    def _launch_of(self, ids: Ints) -> Ints:
        return join_small(np.asarray([self._launches.get(int(one), 0) for one in ids], dtype=np.int64))

    def _two_stage(self, launches: Ints) -> Ints:
        key = launches.tobytes()
        if key not in self._counts_of:
            self._counts_of[key] = two_stage_counts(launches, self._resamples, self._rng())
        return self._counts_of[key]

    def _levels(self, ids: Ints) -> _Levels:
        key = ids.tobytes()
        if key not in self._levels_of:
            logs = np.array([one.runs.round_logs(ids) for one in self._references])
            nominals = np.log([one.nominal_ms for one in self._references])
            is_streaming = np.array([one.group == "streaming" for one in self._references])
            if is_streaming.all() or not is_streaming.any():
                short = long = 0.0
            else:
                short, long = (
                    float(np.mean([_middle(row[np.isfinite(row)]) for row in logs[group]]))
                    for group in (~is_streaming, is_streaming)
                )
            self._levels_of[key] = _Levels(self._launch_of(ids), logs - nominals[:, None], is_streaming, short, long)
        return self._levels_of[key]


def _middle(logs: Floats) -> float:
    """Return the interquartile mean; NaN of nothing."""
    return float(interquartile_means(logs, np.ones((1, len(logs)), dtype=np.int64))[0]) if len(logs) else math.nan


_FEWEST_ROUNDS = 3


def _clusters(rounds: int, launches: Ints) -> int:
    """Return what was drawn first: launches, or rounds where there is one launch."""
    found = len(np.unique(launches))
    return found if found > 1 else rounds


def _estimate_of(logs: Floats, rounds: int, launches: Ints, *, is_widened: bool = False) -> Estimate:
    """Turn logarithms, the first of the session as it was and the others resampled, into an estimate.

    A bootstrap over few clusters is too narrow by the square root of (n - 1) / n, which is made good here.
    """
    value = float(np.exp(logs[0]))
    finite = logs[1:][np.isfinite(logs[1:])]
    if rounds < _FEWEST_ROUNDS or len(finite) < len(logs) / 2 or not math.isfinite(value):
        return Estimate(value, None, math.nan)
    clusters = _clusters(rounds, launches)
    widening = 1.0 if is_widened else math.sqrt(clusters / (clusters - 1))
    low, high = (np.quantile(finite, [0.025, 0.975]) - logs[0]) * widening
    # A quantile of few runs has few values; the interval must at least hold the estimate itself.
    interval = (value * math.exp(min(float(low), 0.0)), value * math.exp(max(float(high), 0.0)))
    return Estimate(value, interval, float(np.std(finite)) * widening)
