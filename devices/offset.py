"""How far two devices of one model lie apart: the same chip from another wafer, another age of the battery."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_FEWEST_NETWORKS = 3
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Offset:
    """How far two devices of one model lie apart.

    Attributes:
        first: Name of the one.
        second: Name of the other.
        ratio: Geometric mean, over the networks that both measured, of the second's latency over the first's.
        interval: Its 95 % interval over the networks; ``None`` with fewer than three.
        low: Smallest ratio of a network.
        high: Largest ratio of a network.
        networks: How many.
        spread: Standard deviation of the ratios' logarithms; 0 for one network.
    """

    first: str
    second: str
    ratio: float
    interval: tuple[float, float] | None
    low: float
    high: float
    networks: int
    spread: float

    def __str__(self) -> str:
        spread = f", networks between {self.low - 1:+.1%} and {self.high - 1:+.1%}"
        return f"{self.second} takes {self.ratio - 1:+.1%} against {self.first} over {self.networks} networks{spread}"


def offset_of(
    first: str, first_ms: Mapping[str, float], second: str, second_ms: Mapping[str, float], *, seed: int = 0
) -> Offset | None:
    """Compare two devices by the networks that both measured, e.g. by the raw readings of the reference networks.

    Args:
        first: Name of the one.
        first_ms: Network -> milliseconds.
        second: Name of the other.
        second_ms: Network -> milliseconds.
        seed: Of the bootstrap over networks.

    Returns:
        ``None`` when they share no network that has a number on both.
    """
    logs = np.array(
        [
            math.log(second_ms[name] / first_ms[name])
            for name in sorted(first_ms.keys() & second_ms.keys())
            if _is_time(first_ms[name]) and _is_time(second_ms[name])
        ]
    )
    if not len(logs):
        return None
    interval = None
    if len(logs) >= _FEWEST_NETWORKS:
        drawn = np.random.default_rng(seed).choice(logs, (_RESAMPLES, len(logs))).mean(axis=1)
        low, high = np.exp(np.quantile(drawn, (0.025, 0.975)))
        interval = (float(low), float(high))
    ratios = np.exp(logs)
    ratio, low, high = float(np.exp(logs.mean())), float(ratios.min()), float(ratios.max())
    return Offset(first, second, ratio, interval, low, high, len(logs), float(np.std(logs)))


def _is_time(value_ms: float) -> bool:
    return math.isfinite(value_ms) and value_ms > 0
