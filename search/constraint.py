"""Latency as a constraint: what meets a target with enough certainty, and the best network that meets it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mnas.errors import ConfigError
from mnas.space import Genome

FloatArray = npt.NDArray[np.float64]


class Odds(Protocol):
    """Tells how likely networks are to keep to a target, as `GenomeLatencies` and `Outlook` do."""

    def probability_within(self, genomes: Sequence[Genome], target_ms: float) -> FloatArray:
        """Return the probability that a session measures each at no more than ``target_ms``, ``(n,)``."""


@dataclass(frozen=True, slots=True)
class LatencyConstraint:
    """P(latency <= T) >= q: a session measures the network within the target with a probability of at least q.

    At q = 1/2 that is latency <= T by the prediction itself.

    Attributes:
        target_ms: T, positive.
        probability: q, above 0 and below 1.

    Raises:
        ConfigError: ``CFG21``: either is out of range.
    """

    target_ms: float
    probability: float = 0.5

    def __post_init__(self) -> None:
        if not (0 < self.target_ms < float("inf") and 0 < self.probability < 1):
            raise ConfigError(
                "CFG21",
                "this is no constraint on latency",
                value=f"target {self.target_ms} ms, probability {self.probability}",
                why="a target is positive, and nothing is certain: a probability lies between 0 and 1",
                fix="use numbers such as 20 ms and 0.9",
            )

    def is_met(self, latencies: Odds, genomes: Sequence[Genome]) -> npt.NDArray[np.bool_]:
        """Return whether each genome's network meets it, ``(n,)``.

        Raises:
            LutError: ``LUT02``: the table lacks entries.
        """
        return np.asarray(latencies.probability_within(genomes, self.target_ms) >= self.probability)

    def shortfall(self, latencies: Odds, genomes: Sequence[Genome]) -> FloatArray:
        """Return by how much probability each falls short, ``(n,)``: 0 where it is met, so that less is better.

        Raises:
            LutError: ``LUT02``: the table lacks entries.
        """
        return np.asarray(np.maximum(0.0, self.probability - latencies.probability_within(genomes, self.target_ms)))


def best_within(errors: FloatArray, latency_ms: FloatArray, target_ms: float) -> int | None:
    """Return the index of the network of least error with latency <= T, the mark that a target sets on a front.

    Of equal errors the fastest is taken, of equals in both the first; ``None`` where none is within the target.

    Args:
        errors: ``(n,)``.
        latency_ms: ``(n,)``.
        target_ms: T.
    """
    within = np.flatnonzero(np.asarray(latency_ms) <= target_ms)
    if not len(within):
        return None
    return int(min(within, key=lambda place: (errors[place], latency_ms[place])))
