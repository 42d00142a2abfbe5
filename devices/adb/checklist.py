"""A list of checks that no check can break: what is raised becomes a row of the list."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from devices.adb.failures import PhoneLost
from devices.adb.privacy import public_serial
from mnas.errors import MnasError

Verdict = Literal["ok", "absent", "warn", "broken"]

_SHORTEST_SERIAL = 4
_GONE = frozenset({"ADB62", "ADB63"})


@dataclass(frozen=True, slots=True)
class Check:
    """One row.

    Attributes:
        name: What was looked at; short, stable.
        found: What was seen.
        verdict: ``ok``; ``absent`` is not there or was not tried, and nothing is wrong with that; ``warn`` limits what
            the numbers are worth; ``broken`` means that the phone should not be measured on so.
        remedy: What to do, or "".
    """

    name: str
    found: str
    verdict: Verdict = "ok"
    remedy: str = ""


def judged(is_good: bool, remedy: str, otherwise: Verdict = "broken") -> tuple[Verdict, str]:
    """Return verdict and remedy of a row: ``ok`` and none, or the other verdict and what to do."""
    return ("ok", "") if is_good else (otherwise, remedy)


class CheckList:
    """Gathers rows within a budget of time.

    Args:
        budget_s: After so many seconds no further check is begun.
        tell: Given each row as it is made.
        clock: Seconds on a clock that only runs forward.

    Attributes:
        rows: So far.
    """

    def __init__(
        self,
        *,
        budget_s: float,
        tell: Callable[[Check], None] = lambda row: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rows: list[Check] = []
        self._tell, self._clock, self._end_s = tell, clock, clock() + budget_s
        self._hidden: list[str] = []
        self._is_lost = False

    def hide(self, *serials: str) -> None:
        """Put a public name in the place of serials from here on, so that the list can be passed on as it is."""
        longest_first = sorted({*self._hidden, *serials}, key=len, reverse=True)
        self._hidden = [one for one in longest_first if len(one) >= _SHORTEST_SERIAL]

    def add(self, row: Check) -> None:
        """Take a row."""
        found, remedy = self._public(row.found), self._public(row.remedy)
        shown = Check(row.name, found, row.verdict, remedy)
        self.rows.append(shown)
        self._tell(shown)

    def attempt(self, name: str, check: Callable[[], Iterable[Check]]) -> bool:
        """Make a check; its rows are kept as they come, and what it raises is one more row.

        Args:
            name: Of the row for an error, and for a check that is not begun.
            check: Gives rows.

        Returns:
            It came to its end; not that its rows are good.
        """
        if self._is_lost or self._clock() >= self._end_s:
            why = "the phone was lost" if self._is_lost else "the time for a checkup is over"
            self.add(Check(name, f"not tried: {why}", "absent"))
            return False
        try:
            for row in check():
                self.add(row)
        except MnasError as error:
            self._is_lost = isinstance(error, PhoneLost) or error.code in _GONE
            self.add(Check(name, str(error).removesuffix(f". Fix: {error.fix}"), "broken", error.fix))
            return False
        except Exception as error:
            # Whatever it is, the checks after it may still tell what is wrong with the phone.
            words = f"{type(error).__name__}: {error}"
            self.add(Check(name, words, "broken", "this is a defect of the checkup: please report it"))
            return False
        return True

    def _public(self, text: str) -> str:
        for serial in self._hidden:
            text = text.replace(serial, public_serial(serial))
        return text
