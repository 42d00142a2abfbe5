"""Numbers for people: as many digits as mean something, never in powers of ten."""

from __future__ import annotations

import math


def significant(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits; of a large one, no digit before the point is lost."""
    return _fixed(value, _decimals(value, digits))


def with_interval(value: float, low: float, high: float) -> str:
    """Return e.g. ``7.42 [7.38, 7.47]``: to the first digit of the half-width, but 3 or 4 significant digits."""
    places = _places(value, (high - low) / 2)
    return f"{_fixed(value, places)} [{_fixed(low, places)}, {_fixed(high, places)}]"


def with_half_width(value: float, low: float, high: float) -> str:
    """Return e.g. ``2.48 ± 0.02``, to the same digits; a half-width that is not zero never reads as zero."""
    half = (high - low) / 2
    places = _places(value, half)
    shown = max(half, 10.0**-places) if half > 0 else half
    return f"{_fixed(value, places)} ± {_fixed(shown, places)}"


def percent(fraction: float) -> str:
    """Return e.g. ``12 %``, ``1.5 %``."""
    return f"{100 * fraction:.{0 if abs(fraction) >= 0.0995 else 1}f} %"


def _places(value: float, half: float) -> int:
    """Return decimals: those that the interval's width gives meaning to, within 3 to 4 significant digits."""
    fewest, most = _decimals(value, 3), _decimals(value, 4)
    if not (math.isfinite(half) and half > 0):
        return most
    return min(max(_decimals(half, 1), fewest), most)


def _decimals(value: float, digits: int) -> int:
    if value == 0 or not math.isfinite(value):
        return 0
    # By way of the text, which has carried what rounds up to another digit: 9.996 to three digits is 10.0.
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    return max(digits - 1 - exponent, 0)


def _fixed(value: float, places: int) -> str:
    return f"{value:.{places}f}"
