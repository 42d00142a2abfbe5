"""How a search gets on, in one line after each generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.candidate import Candidate


@dataclass(frozen=True, slots=True)
class SearchState:
    """Where a search stands after a generation.

    Attributes:
        generation: Number, from 0.
        evaluations: Networks evaluated.
        hypervolume: Of all of them.
        front: Members of the front.
        best: What is best at or below the target, in words, or "".
        left_s: About how many seconds are left, or ``None``.
    """

    generation: int
    evaluations: int
    hypervolume: float
    front: int
    best: str
    left_s: float | None


def progress_text(state: SearchState) -> str:
    """Return the line for a person."""
    text = (
        f"generation {state.generation}: {state.evaluations} evaluations, front of {state.front}, "
        f"hypervolume {state.hypervolume:.5g}"
    )
    text += f", best under T: {state.best}" if state.best else ""
    return text + ("" if state.left_s is None else f", about {_span(state.left_s)} left")


def device_seconds(candidates: Sequence[Candidate]) -> float:
    """Return the seconds that devices spent on candidates: CPU seconds of training."""
    return sum(candidate.cost_s for candidate in candidates)


def best_within(candidates: Sequence[Candidate], target_ms: float) -> str:
    """Return the most accurate network whose latency is at most the target, in words, or "" where there is none.

    Where a score ranks them, the words are of its rank: 0.1 where a tenth of the space is ahead of it.
    """
    within = [one for one in candidates if one.error is not None and one.latency_ms <= target_ms]
    best = min(within, key=lambda one: (one.error, one.latency_ms), default=None)
    if best is None or best.error is None:
        return ""
    if best.score:
        return f"rank {best.error:.3f} by {best.score} at {best.latency_ms:.4g} ms"
    return f"{100 * (1 - best.error):.2f} % at {best.latency_ms:.4g} ms"


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
