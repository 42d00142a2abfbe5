"""The reward of MnasNet: accuracy traded against latency by a power law."""

from __future__ import annotations

from mnas.errors import ConfigError

SOFT = (-0.07, -0.07)
"""Exponents alpha and beta of the soft reward: twice the latency pays at 5 % relative accuracy."""
HARD = (0.0, -1.0)
"""Exponents of the hard reward: nothing is gained below the target, and accuracy is divided by the excess above it."""


def mnasnet_reward(accuracy: float, latency_ms: float, target_ms: float, alpha: float, beta: float) -> float:
    """Return ``ACC * (LAT / T) ** w`` with ``w = alpha`` if ``LAT <= T`` else ``beta``.

    With ``alpha == beta`` the target is a constant factor and changes no ranking; a target then acts as a mark on
    the front. Source: Tan et al. 2019 (arXiv 1807.11626), equations 2 and 3.

    Args:
        accuracy: Fraction 0..1.
        latency_ms: Milliseconds, positive.
        target_ms: Milliseconds, positive.
        alpha: Exponent at or below the target, at most 0.
        beta: Exponent above the target, at most 0.

    Raises:
        ConfigError: ``CFG04``: a positive exponent, which would reward slowness.
    """
    if alpha > 0 or beta > 0:
        raise ConfigError(
            "CFG04",
            "an exponent of the reward is positive",
            value=f"alpha {alpha}, beta {beta}",
            why="the reward is ACC x (LAT/T)^w, so that a positive w rewards slow networks",
            fix="use numbers at or below 0, such as -0.07",
        )
    exponent = alpha if latency_ms <= target_ms else beta
    return accuracy * float((latency_ms / target_ms) ** exponent)
