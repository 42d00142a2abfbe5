"""What every estimate of a latency looks like, wherever it comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, Protocol

from mnas.architecture import Architecture

LatencySource = Literal["measured", "lut", "predicted", "simulated"]


@dataclass(frozen=True, slots=True)
class LatencyEstimate:
    """Latency of one network, as one session would measure it.

    Attributes:
        ms: Milliseconds.
        sd_ms: Standard deviation of what a session measures around it, milliseconds.
        source: Where the number comes from; ``predicted`` as soon as a part of it is.
        interpolated: Segments that a table lacked and a learned predictor filled in.
    """

    ms: float
    sd_ms: float
    source: LatencySource
    interpolated: int = 0

    @property
    def low_ms(self) -> float:
        """Lower end of the 95 % interval."""
        return self.interval_ms(0.95)[0]

    @property
    def high_ms(self) -> float:
        """Upper end of the 95 % interval."""
        return self.interval_ms(0.95)[1]

    def interval_ms(self, level: float) -> tuple[float, float]:
        """Return the interval that holds a measurement with probability ``level``, 0..1."""
        half = NormalDist().inv_cdf((1 + level) / 2) * self.sd_ms
        return max(0.0, self.ms - half), self.ms + half

    def probability_within(self, target_ms: float) -> float:
        """Return the probability that a session measures the network at no more than ``target_ms``."""
        if not self.sd_ms > 0:
            return float(self.ms <= target_ms)
        return 0.5 * math.erfc((self.ms - target_ms) / (self.sd_ms * math.sqrt(2)))


class LatencyEstimator(Protocol):
    """Tells latencies of networks on one device."""

    @property
    def device_key(self) -> str:
        """The device that it speaks of."""

    def estimate(self, architectures: Sequence[Architecture]) -> list[LatencyEstimate]:
        """Return one estimate for each architecture, in order.

        Raises:
            LutError: ``LUT02``: a table lacks entries that a network needs.
        """
