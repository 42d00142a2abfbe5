"""The reward of MnasNet: accuracy traded against latency by a power law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mnas.errors import ConfigError

FloatArray = npt.NDArray[np.float64]

SOFT = (-0.07, -0.07)
"""Exponents alpha and beta of the soft reward: twice the latency pays at 5 % relative accuracy."""
HARD = (0.0, -1.0)
"""Exponents of the hard reward: nothing is gained below the target, and accuracy is divided by the excess above it."""


@dataclass(frozen=True, slots=True)
class MnasnetReward:
    """``ACC * (LAT / T) ** w`` with ``w = alpha`` if ``LAT <= T`` else ``beta``.

    Soft is ``alpha = beta = -0.07``: both sides of the target are explored. Hard is ``alpha = 0``, ``beta = -1``: below
    the target latency counts for nothing. With ``alpha == beta`` the target is a constant factor and changes no
    ranking; it then acts as a mark on the front. Source: Tan et al. 2019 (arXiv 1807.11626), equations 2 and 3.

    Attributes:
        target_ms: T in milliseconds, positive.
        alpha: Exponent at or below the target, at most 0.
        beta: Exponent above the target, at most 0.

    Raises:
        ConfigError: ``CFG04``: a positive exponent, which would reward slowness; ``CFG21``: a target that is none.
    """

    target_ms: float
    alpha: float
    beta: float

    def __post_init__(self) -> None:
        if not (self.alpha <= 0 and self.beta <= 0):
            raise ConfigError(
                "CFG04",
                "an exponent of the reward is positive",
                value=f"alpha {self.alpha}, beta {self.beta}",
                why="the reward is ACC x (LAT/T)^w, so that a positive w rewards slow networks",
                fix="use numbers at or below 0, such as -0.07",
            )
        if not 0 < self.target_ms < float("inf"):
            raise ConfigError(
                "CFG21",
                "the reward's target is no latency",
                value=f"{self.target_ms} ms",
                why="latencies are divided by it",
                fix="use a positive number of milliseconds",
            )

    def factors(self, latency_ms: FloatArray) -> FloatArray:
        """Return ``(LAT / T) ** w``: the reward that a network without error would have, so the bound of any reward.

        Args:
            latency_ms: ``(n,)``, positive.
        """
        latency_ms = np.asarray(latency_ms, dtype=float)
        return (latency_ms / self.target_ms) ** np.where(latency_ms <= self.target_ms, self.alpha, self.beta)

    def of(self, errors: FloatArray, latency_ms: FloatArray) -> FloatArray:
        """Return the rewards of networks.

        Args:
            errors: ``(n,)``, top-1 error, fractions 0..1.
            latency_ms: ``(n,)``, positive.
        """
        return (1 - np.asarray(errors, dtype=float)) * self.factors(latency_ms)


def mnasnet_reward(accuracy: float, latency_ms: float, target_ms: float, alpha: float, beta: float) -> float:
    """Return the reward of one network; see `MnasnetReward`.

    Args:
        accuracy: Fraction 0..1.
        latency_ms: Milliseconds, positive.
        target_ms: Milliseconds, positive.
        alpha: Exponent at or below the target, at most 0.
        beta: Exponent above the target, at most 0.

    Raises:
        ConfigError: As `MnasnetReward`.
    """
    return accuracy * float(MnasnetReward(target_ms, alpha, beta).factors(np.asarray([latency_ms]))[0])
