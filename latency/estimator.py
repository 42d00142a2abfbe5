"""What every estimate of a latency looks like, wherever it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from mnas.architecture import Architecture

LatencySource = Literal["measured", "lut", "predicted", "simulated"]


@dataclass(frozen=True, slots=True)
class LatencyEstimate:
    """Latency of one network.

    Attributes:
        ms: Milliseconds.
        low_ms: Lower end of the 95 % interval.
        high_ms: Upper end of the 95 % interval.
        source: Where the number comes from.
    """

    ms: float
    low_ms: float
    high_ms: float
    source: LatencySource


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
