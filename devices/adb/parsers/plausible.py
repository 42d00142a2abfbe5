"""Which readings can be temperatures at all."""

from __future__ import annotations

import math

_LOWEST_C, _HIGHEST_C = -30.0, 150.0


def plausible_c(value: float) -> float | None:
    """Return a temperature in degrees Celsius, or ``None`` where no working sensor says so.

    Exactly 0 is what a sensor that is not fitted reads (a second battery, a port), and -40, -274 or 3000 likewise.
    """
    if not math.isfinite(value) or value == 0 or not _LOWEST_C <= value <= _HIGHEST_C:
        return None
    return value
