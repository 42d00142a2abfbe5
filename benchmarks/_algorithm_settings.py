"""How benchmarks set each registered algorithm: chosen with seeds from 1000 on, frozen before any result was run."""

from __future__ import annotations

from typing import Any

PLAIN: dict[str, Any] = {"population": 20, "oversample": 1}
SETTINGS: dict[str, dict[str, Any]] = {
    "surrogate": {"population": 5},
    "nsga2": {"oversample": 4},
    "nsga3": {"oversample": 4},
}
"""Registered algorithm -> its setting, where it is not `PLAIN`."""
REWARD_DRIVEN = ("ppo", "reinforce")
"""Algorithms that follow MnasNet's reward, and not a front."""


def setting_of(name: str) -> dict[str, Any]:
    """Return the keywords of `SearchSetting` for an algorithm."""
    return PLAIN | SETTINGS.get(name, {})
