"""When a session has seen enough: judged across rounds, never within one visit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from mnas.errors import ConfigError

FEWEST_ROUNDS = 3
"""An interval needs as many."""
_GROWTH = 1.25
_NO_END_S = 1e6
"""Seconds that no session takes: its rounds end it."""


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """How long to go on.

    Attributes:
        precision: Enough when the half-width of every interval is at most this share of its value.
        min_rounds: Not before so many rounds: an interval of few rounds may be narrow by luck.
        max_rounds: Not after so many.
        budget_s: Seconds of the session, loading included; at least three rounds are made, whatever they take.
        is_fixed: Make ``max_rounds`` rounds, or as many as the budget allows, however precise the intervals are.

    Raises:
        ConfigError: ``CFG15``: out of range.
    """

    precision: float = 0.01
    min_rounds: int = 20
    max_rounds: int = 400
    budget_s: float = 20.0
    is_fixed: bool = False

    def __post_init__(self) -> None:
        good = self.precision > 0 and self.budget_s > 0 and self.min_rounds >= FEWEST_ROUNDS
        if not (good and self.max_rounds >= self.min_rounds):
            raise ConfigError(
                "CFG15",
                "the session cannot be stopped so",
                value=f"{self.min_rounds} to {self.max_rounds} rounds, within {self.precision:g}, {self.budget_s:g} s",
                why=f"precision and budget are positive, and an interval needs {FEWEST_ROUNDS} rounds",
                fix="change --rounds, --precision or --budget",
            )


def default_rule(models: int, kind: str = "host") -> StoppingRule:
    """Return how long so many models are measured unless something else is asked for.

    On this machine 10 s and a second for each. On phones, where every visit is a launch, 40 s and 5 s for each.
    """
    if kind == "adb":
        return StoppingRule(min_rounds=10, budget_s=40.0 + 5.0 * models)
    return StoppingRule(budget_s=10.0 + models)


def asked_rule(
    models: int, kind: str, *, rounds: int | None = None, budget_s: float | None = None, precision: float | None = None
) -> StoppingRule | None:
    """Return how long so many models are measured by what was asked for; ``None`` where nothing was.

    Args:
        models: Baselines included.
        kind: Of device.
        rounds: Make so many, however long they take, unless a budget was named as well.
        budget_s: Seconds of the session.
        precision: Half-width of every interval as a share of its value that is enough.

    Raises:
        ConfigError: ``CFG15``: out of range.
    """
    if rounds is None and budget_s is None and precision is None:
        return None
    given: dict[str, Any] = {}
    if rounds is not None:
        given |= {"min_rounds": rounds, "max_rounds": rounds, "is_fixed": True, "budget_s": _NO_END_S}
    if budget_s is not None:
        given["budget_s"] = budget_s
    if precision is not None:
        given["precision"] = precision
    return replace(default_rule(models, kind), **given)


class Stopping:
    """Decides after each round; `why` says what it was that ended the session.

    Args:
        rule: How long to go on.
        settled: Given the rule's precision, says what is settled by now, or "" when more rounds are needed.
        clock: Seconds on a clock that only runs forward.
    """

    def __init__(
        self, rule: StoppingRule, settled: Callable[[float], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rule = rule
        self._settled = settled
        self._clock = clock
        self._start_s = self._round_s = clock()
        self._rounds_s: list[float] = []
        self._next_look = rule.min_rounds
        self.rounds = 0
        self.why = "every round that was asked for"

    def enough(self, rounds_done: int) -> bool:
        """Say whether to stop after so many rounds."""
        now = self._clock()
        if rounds_done > 1:  # the first one carries the loading
            self._rounds_s.append(now - self._round_s)
        self._round_s, self.rounds = now, rounds_done
        if rounds_done < FEWEST_ROUNDS:
            return False
        # The median, since a round before which all is loaded anew takes longer and comes seldom.
        if now + median(self._rounds_s) - self._start_s > self._rule.budget_s:
            self.why = f"the budget of {self._rule.budget_s:g} s"
            return True
        if self._rule.is_fixed or rounds_done < self._next_look:
            return False
        self._next_look = max(rounds_done + 1, int(rounds_done * _GROWTH))
        settled = self._settled(self._rule.precision)
        self.why = settled or self.why
        return bool(settled)

    def describe(self) -> dict[str, Any]:
        """Return the rule, the rounds made and why they ended, as JSON."""
        return {"rounds": self.rounds, "why": self.why, **asdict(self._rule)}
