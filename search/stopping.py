"""When a search ends: its budget is used up, or its hypervolume stays flat. What earlier sittings used, counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from mnas.budget import Budget
from search.events import EventLog

SITTING, OVER = "sitting", "search over"
_WORK = ("evaluated", "generation")
_FLAT = 1e-6
"""A gain of less than this share of the hypervolume is none: so small, it may be rounding."""


def used_s(history: Iterable[Mapping[str, Any]]) -> float:
    """Return the seconds between the beginning of each sitting and its last finished piece of work, added up.

    Args:
        history: Events in order, each with ``kind`` and ``at_utc``.
    """
    used, last = 0.0, None
    for event in history:
        if event["kind"] not in (SITTING, *_WORK):
            continue
        now = datetime.fromisoformat(event["at_utc"]).timestamp()
        if event["kind"] != SITTING and last is not None:
            used += max(0.0, now - last)
        last = now
    return used


class Stopping:
    """The end of one study's search.

    A sitting's clock begins with the first network that has to be evaluated: to run an algorithm anew over what the
    log holds takes none of the budget, and what the log holds is never left out for want of time. A generation that
    has begun is finished, so time may be overrun by one generation.

    Args:
        log: Events of the study.
        budget: Its limits.
        patience: Generations without gain before the end; 0 for never.
        clock: Seconds of a monotonic clock.
    """

    def __init__(
        self, log: EventLog, budget: Budget, patience: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._budget = budget
        self._patience = patience
        self._clock = clock
        history = log.history((SITTING, *_WORK))
        self._used_s = used_s(history)
        self._sittings = sum(event["kind"] == SITTING for event in history)
        self._recorded = sum(event["kind"] == "evaluated" for event in history)
        self._ends = log.payloads(OVER)
        self._started: float | None = None
        self._first = 0
        self._best, self._stale = 0.0, 0

    @property
    def elapsed_s(self) -> float:
        """Seconds that the search has used, earlier sittings included."""
        return self._used_s + (0.0 if self._started is None else self._clock() - self._started)

    def begin(self, evaluations: int) -> None:
        """Say that networks are evaluated from here on; only the first call of a sitting counts.

        Args:
            evaluations: How many stand behind, in the log.
        """
        if self._started is None:
            self._log.append(SITTING, {}, str(self._sittings))
            self._started, self._first = self._clock(), evaluations

    def room(self, evaluations: int) -> int:
        """Return how many networks the budget still has room for."""
        return max(0, self._budget.most_evaluations - evaluations)

    def note(self, volume: float) -> None:
        """Take the hypervolume after a generation."""
        self._stale = 0 if volume > self._best * (1 + _FLAT) else self._stale + 1
        self._best = max(self._best, volume)

    def reason(self, evaluations: int, device_s: float) -> str:
        """Return why the search is over, or "" as long as it is not.

        Args:
            evaluations: Networks evaluated.
            device_s: Seconds that devices spent on them.
        """
        if self.room(evaluations) == 0:
            return f"the budget of {evaluations} evaluations is used up"
        if self._patience and self._stale >= self._patience:
            return f"{self._stale} generations brought no larger hypervolume"
        if evaluations < self._recorded:
            return ""  # what follows is paid for already
        end = self._ends.get(str(evaluations))
        if end is not None and end["limits"] == self._limits():
            return str(end["why"])  # a clock that is read anew may say otherwise
        if self._budget.time_s is not None and self.elapsed_s >= self._budget.time_s:
            return f"the budget of {self._budget.time_s:g} s is used up"
        if self._budget.device_s is not None and device_s >= self._budget.device_s:
            return f"the budget of {self._budget.device_s:g} s of devices is used up"
        return ""

    def over(self, evaluations: int, why: str) -> None:
        """Keep why the search is over."""
        self._log.append(OVER, {"why": why, "evaluations": evaluations, "limits": self._limits()}, str(evaluations))

    def _limits(self) -> dict[str, float | None]:
        return {**asdict(self._budget), "patience": self._patience}

    def left_s(self, evaluations: int, device_s: float) -> float | None:
        """Return about how many seconds are left until the budget ends, or ``None`` where nothing tells.

        Args:
            evaluations: Networks evaluated.
            device_s: Seconds that devices spent on them.
        """
        ends = []
        if self._budget.time_s is not None:
            ends.append(max(0.0, self._budget.time_s - self.elapsed_s))
        done = evaluations - self._first
        if self._started is not None and done > 0:
            sitting_s = self._clock() - self._started
            if self._budget.evaluations is not None:
                ends.append(sitting_s / done * self.room(evaluations))
            if self._budget.device_s is not None and device_s > 0:
                ends.append(self.elapsed_s / device_s * max(0.0, self._budget.device_s - device_s))
        return min(ends, default=None)
