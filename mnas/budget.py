"""What a search may use: networks evaluated, time, or time of the devices that evaluate; whichever ends first."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_EVALUATIONS = 1_000_000
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(s|m|h)?(-device)?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_S = 1e7


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a search; ``None`` is none.

    Attributes:
        evaluations: Networks whose accuracy is paid for.
        time_s: Seconds of the wall clock that the search uses, over all its sittings.
        device_s: Seconds of the processors that train candidates, added up; time of measuring is not among them.
    """

    evaluations: int | None = None
    time_s: float | None = None
    device_s: float | None = None

    @property
    def most_evaluations(self) -> int:
        """Networks at most; where there is no such limit, more than any search comes to."""
        return MOST_EVALUATIONS if self.evaluations is None else self.evaluations


def parse_budget(text: str | int) -> Budget:
    """Read ``200``, ``30m``, ``10m-device``, or several of them joined by commas.

    A bare number counts networks. Units are ``s``, ``m`` and ``h``; ``-device`` makes it time of the devices.

    Raises:
        ValueError: It is no such text; the message says what is wrong.
    """
    found: dict[str, float] = {}
    if isinstance(text, int) and text > MOST_EVALUATIONS:
        raise ValueError(f"that is more than {MOST_EVALUATIONS:,} networks")
    for part in str(text).split(","):
        match = _PART.fullmatch(part.strip())
        if match is None or (match[3] and not match[2]):
            raise ValueError(f"{part.strip()!r} is no budget: write 200, 30m, 10m-device, or several joined by commas")
        number, unit, device = match.groups()
        name = "device_s" if device else "time_s" if unit else "evaluations"
        if name in found:
            raise ValueError(f"{part.strip()!r} is a second limit of the same kind")
        found[name] = float(number) * _SECONDS[unit] if unit else _count(number)
        if unit and not 0 < found[name] <= _LONGEST_S:
            raise ValueError(f"{part.strip()!r} is not above zero, or longer than {_LONGEST_S:.0f} s")
    evaluations = found.pop("evaluations", None)
    return Budget(None if evaluations is None else int(evaluations), **found)


def _count(number: str) -> int:
    if "." in number or not 1 <= int(number) <= MOST_EVALUATIONS:
        raise ValueError(f"{number!r} is no whole number of networks from 1 to {MOST_EVALUATIONS:,}")
    return int(number)


def budget_key(value: object) -> object:
    """Return a budget as configurations keep it: a number where it counts networks alone, else the text.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("a budget is a number of networks, or a text such as 30m")
    limits = parse_budget(value)
    is_count = limits.time_s is None and limits.device_s is None
    return limits.evaluations if is_count else str(value).replace(" ", "")
