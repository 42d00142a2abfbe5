"""Ranges, ticks and tick labels of a linear or logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

LARGEST = 1e150
"""Magnitude beyond which a value is not drawn, so that no span of two values overflows."""

SMALLEST = 1e-150
"""Least positive value of a log axis and least span of a linear one."""

_LINEAR_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_LOG_MANTISSAS = ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5, 7))
_TIMES = "\N{MULTIPLICATION SIGN}"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, slots=True)
class Scale:
    """The interval of data that an axis shows, ``low < high``; both positive when ``log``."""

    low: float
    high: float
    log: bool = False

    def fraction(self, value: float) -> float:
        """Return where a value lies along the axis, 0..1; a value outside is held to the nearer end."""
        if value <= self.low:
            return 0.0
        if value >= self.high:
            return 1.0
        if self.log:
            start = math.log10(self.low)  # differences of logs: the ratio itself may overflow
            return (math.log10(value) - start) / (math.log10(self.high) - start)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, count: int = 6) -> tuple[tuple[float, str], ...]:
        """Return at most about ``count`` ticks as (value, label): increasing, within the scale."""
        values = log_ticks(self.low, self.high, count) if self.log else []
        if len(values) >= 3:
            return tuple((value, _power_label(value)) for value in values)
        values = linear_ticks(self.low, self.high, count)
        return tuple(zip(values, linear_labels(values), strict=True))


def scale_of(values: Sequence[float], *, log: bool = False) -> Scale:
    """Return a scale that shows all values with a little air around them.

    Values all of one sign do not draw the axis across zero; equal values get a range around them.

    Raises:
        ValueError: There are no values.
    """
    low, high = min(values), max(values)
    if log:
        start, end = math.log10(low), math.log10(high)
        pad = 0.05 * (end - start) if end - start > 1e-6 else 0.15
        return Scale(10 ** (start - pad), 10 ** (end + pad), log=True)
    size = max(abs(low), abs(high))
    if high - low <= max(1e-9 * size, SMALLEST):
        pad = 0.05 * size if size > 10 * SMALLEST else 1.0
        return Scale(low - pad, high + pad)
    pad = 0.05 * (high - low)
    below, above = low - pad, high + pad
    return Scale(0.0 if low >= 0 > below else below, 0.0 if high <= 0 < above else above)


def linear_ticks(low: float, high: float, count: int) -> list[float]:
    """Return two or more multiples of 1, 2, 2.5 or 5 times a power of ten within ``[low, high]``."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in _LINEAR_STEPS if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    values = (float(f"{index * step:.15g}") for index in range(first, last + 1))
    inside = [value for value in values if low <= value <= high]
    return inside if len(inside) >= 2 else linear_ticks(low, high, count + 1)


def log_ticks(low: float, high: float, count: int) -> list[float]:
    """Return round values within ``[low, high]``: the finest of 1, 1-3, 1-2-5, 1-2-3-5-7 that has at most ``count``."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, math.ceil((last - first) / count))
    best: list[float] = []
    for mantissas in _LOG_MANTISSAS:
        powers = range(first, last + 1) if len(mantissas) > 1 else range(-(-first // stride) * stride, last + 1, stride)
        values = [float(f"{mantissa}e{power}") for power in powers for mantissa in mantissas]
        inside = [value for value in values if low <= value <= high]
        if not best or len(inside) <= count:
            best = inside
    return best


def linear_labels(values: Sequence[float]) -> list[str]:
    """Return labels of evenly spaced ticks, all with the same number of decimals."""
    if len(values) < 2:
        return [f"{value:.6g}" for value in values]
    step = min(after - before for before, after in pairwise(values))
    largest = max(abs(value) for value in values)
    exponent = math.floor(math.log10(largest))
    if 1e-3 <= largest < 1e6:
        decimals = _decimals(step)
        return [f"{value:,.{decimals}f}" for value in values]
    decimals = _decimals(step / 10.0**exponent)
    return [
        "0" if value == 0 else f"{value / 10.0**exponent:.{decimals}f}{_TIMES}{_power(exponent)}" for value in values
    ]


def _decimals(step: float) -> int:
    """Return how many decimals tell multiples of a step apart and print them exactly."""
    least = max(0, -math.floor(math.log10(step) + 1e-9))
    scaled = step * 10.0**least
    return least + (abs(scaled - round(scaled)) > 1e-6)


def _power(exponent: int) -> str:
    return f"10{str(exponent).translate(_SUPERSCRIPT)}"


def _power_label(value: float) -> str:
    """Return the label of one tick of a log axis, a number or a power of ten."""
    if 1e-3 <= value < 1e6:
        return f"{value:,.10g}"
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    return _power(int(exponent)) if mantissa == "1" else mantissa + _TIMES + _power(int(exponent))
