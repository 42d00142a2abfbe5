"""What an audit says in numbers: seed noise, its ceiling, and how well estimates rank networks, with intervals.

Throughout, ``truth`` and ``estimates`` are arrays ``(networks,)`` and ``trainings`` is an array ``(networks, seeds)``
of one quantity, e.g. the rank-val error; whatever the sign, both sides of a comparison must grow together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from mnas.seeding import named_rng

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]
RankMeasure = Callable[[FloatArray, FloatArray], float]
Kind = Literal["tau", "spearman"]

DRAWS = 2000
_LEVEL = (2.5, 97.5)
_NORMAL_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with its 95 % interval.

    Attributes:
        value: The number.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        """Return whether 0 cannot be ruled out."""
        return self.low <= 0 <= self.high

    def to_json(self) -> dict[str, float]:
        """Return its fields."""
        return {"value": self.value, "low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, value: dict[str, float]) -> Interval:
        """Read what `to_json` gave."""
        return cls(**value)


def kendall_tau(estimates: FloatArray, truth: FloatArray, mask: npt.NDArray[np.bool_] | None = None) -> float:
    """Return Kendall's tau-b; 0 where either side is constant, since nothing is ranked then.

    Args:
        estimates: ``(n,)``.
        truth: ``(n,)``.
        mask: ``(n, n)``, symmetric: the pairs that count; all of them unless given.

    Source: Kendall, The treatment of ties in ranking problems, Biometrika 33 (1945).
    """
    one, other = (np.sign(np.subtract.outer(v, v)) for v in (np.asarray(estimates), np.asarray(truth)))
    if mask is not None:
        one, other = one * mask, other * mask
    norm = np.sqrt(np.sum(one**2) * np.sum(other**2))
    return float(np.sum(one * other) / norm) if norm else 0.0


def spearman(estimates: FloatArray, truth: FloatArray) -> float:
    """Return Spearman's rank correlation, ties by their mean rank; 0 where either side is constant."""
    one, other = (rankdata(v) - (len(v) + 1) / 2 for v in (estimates, truth))
    norm = np.sqrt(np.sum(one**2) * np.sum(other**2))
    return float(np.sum(one * other) / norm) if norm else 0.0


MEASURES: dict[Kind, RankMeasure] = {"tau": kendall_tau, "spearman": spearman}


def bootstrap(statistic: Callable[[IndexArray], float], count: int, *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Return a statistic of networks with its percentile interval over networks drawn with replacement.

    Args:
        statistic: Takes indices ``(count,)`` into the networks.
        count: How many networks there are.
        draws: Resamples.
        seed: Equal seeds draw equal networks, whatever the statistic.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    rng = named_rng(seed, "audit-bootstrap", count)
    found = [statistic(rng.integers(0, count, count)) for _ in range(draws)]
    low, high = np.percentile(found, _LEVEL)
    return Interval(float(statistic(np.arange(count))), float(low), float(high))


def agreement(
    estimates: FloatArray, truth: FloatArray, kind: Kind = "tau", *, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """Return how well estimates rank networks, with its interval."""
    measure = MEASURES[kind]
    return bootstrap(lambda i: measure(estimates[i], truth[i]), len(truth), draws=draws, seed=seed)


def advantage(
    estimates: FloatArray,
    rival: FloatArray,
    truth: FloatArray,
    kind: Kind = "tau",
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Return by how much estimates rank better than a rival's, on the same networks in each draw."""
    measure = MEASURES[kind]
    return bootstrap(
        lambda i: measure(estimates[i], truth[i]) - measure(rival[i], truth[i]), len(truth), draws=draws, seed=seed
    )


def bands_of(sizes: FloatArray, bands: int = 3) -> tuple[IndexArray, ...]:
    """Return the networks in bands of equal number by size (e.g. MACs), smallest first; ties by their order."""
    return tuple(np.array_split(np.argsort(sizes, kind="stable"), bands))


def band_mask(bands: Sequence[IndexArray], count: int) -> npt.NDArray[np.bool_]:
    """Return which pairs of networks share a band, ``(count, count)``."""
    band = np.full(count, -1)
    for number, members in enumerate(bands):
        band[members] = number
    return np.asarray(np.equal.outer(band, band) & (band >= 0)[:, None])


def advantage_within_bands(
    estimates: FloatArray,
    rival: FloatArray,
    truth: FloatArray,
    bands: Sequence[IndexArray],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Return the advantage in tau over pairs of networks of the same band alone.

    There a rival that only measures size has little left to go by.
    """
    mask = band_mask(bands, len(truth))

    def difference(i: IndexArray) -> float:
        own = mask[np.ix_(i, i)]
        return kendall_tau(estimates[i], truth[i], own) - kendall_tau(rival[i], truth[i], own)

    return bootstrap(difference, len(truth), draws=draws, seed=seed)


def seed_noise(trainings: FloatArray) -> float:
    """Return the standard deviation of one training about its network's mean, pooled over networks.

    Raises:
        ValueError: There is only one seed a network.
    """
    if trainings.shape[1] < 2:
        raise ValueError("seed noise needs two trainings of each network at least")
    return float(np.sqrt(np.mean(np.var(trainings, axis=1, ddof=1))))


def spread(trainings: FloatArray) -> float:
    """Return the standard deviation over networks of their means over the seeds."""
    return float(np.std(np.mean(trainings, axis=1), ddof=1))


def better_half(trainings: FloatArray) -> FloatArray:
    """Return the rows of the half with the lowest means: what is compared must be better when lower."""
    order = np.argsort(np.mean(trainings, axis=1), kind="stable")
    return trainings[order[: (len(order) + 1) // 2]]


def spread_over_noise(trainings: FloatArray) -> float:
    """Return the spread in units of the noise: below about 2, most differences between networks are noise."""
    noise = seed_noise(trainings)
    return spread(trainings) / noise if noise else float("inf")


def seed_tau(trainings: FloatArray, *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Return the mean tau between two seeds' rankings: what an estimator can hardly exceed against one seed."""
    pairs = [(a, b) for b in range(trainings.shape[1]) for a in range(b)]

    def mean_tau(i: IndexArray) -> float:
        return float(np.mean([kendall_tau(trainings[i, a], trainings[i, b]) for a, b in pairs]))

    return bootstrap(mean_tau, len(trainings), draws=draws, seed=seed)


def distinguishable_gap(noise: float, seeds: int) -> float:
    """Return the smallest difference of two networks' means over seeds that exceeds noise at 95 %.

    Args:
        noise: Of one training, as `seed_noise` gives it.
        seeds: Trainings of each of the two.
    """
    return float(_NORMAL_95 * noise * np.sqrt(2 / seeds))
