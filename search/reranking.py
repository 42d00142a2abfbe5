"""What measuring changed: where finalists stood by prediction and stand now, and which of them broke the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.result import FrontMember


@dataclass(frozen=True, slots=True)
class Change:
    """A finalist before and after.

    Attributes:
        arch_id: Its id.
        predicted_rank: By predicted latency among the measured finalists, 1 for the fastest.
        measured_rank: By measured latency.
        ranked_rank: By rank-val accuracy after the short training, 1 for the best.
        val_rank: By mean val accuracy after the long trainings.
        excess: Measured latency over the target, as a share of it; negative within it.
        is_violation: Whether it was predicted within the target and is measured beyond it.
        is_certain: Whether even the lower end of its interval is beyond.
    """

    arch_id: str
    predicted_rank: int
    measured_rank: int
    ranked_rank: int
    val_rank: int
    excess: float
    is_violation: bool
    is_certain: bool


def changes(members: Sequence[FrontMember], target_ms: float) -> list[Change]:
    """Return what became of each finalist that was measured, in the order given; equal values share a rank."""
    known = [one for one in members if one.measured_ms is not None and one.val_error is not None]
    predicted = [one.candidate.predicted_ms for one in known]
    measured = [one.measured_ms or 0.0 for one in known]
    ranked = [1.0 if one.candidate.error is None else one.candidate.error for one in known]
    val = [one.val_error or 0.0 for one in known]
    found = []
    for place, one in enumerate(known):
        low = one.interval_ms[0] if one.interval_ms else measured[place]
        is_violation = predicted[place] <= target_ms < measured[place]
        found.append(
            Change(
                arch_id=one.arch_id,
                predicted_rank=_rank(predicted, place),
                measured_rank=_rank(measured, place),
                ranked_rank=_rank(ranked, place),
                val_rank=_rank(val, place),
                excess=measured[place] / target_ms - 1,
                is_violation=is_violation,
                is_certain=is_violation and low > target_ms,
            )
        )
    return found


def _rank(values: Sequence[float], place: int) -> int:
    return 1 + sum(value < values[place] for value in values)
