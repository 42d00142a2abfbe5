"""A few characters that show how numbers run or how they are spread."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import IO

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-=+*#@"
_GAP = " "
_TAIL = 0.99


def can_show_blocks(stream: IO[str] | None = None) -> bool:
    """Return whether a stream, stdout unless given, can encode the block characters."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "ascii"
    try:
        BLOCKS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def sparkline(values: Sequence[float], width: int, *, unicode: bool | None = None) -> str:
    """Return numbers in order as bars from their least (lowest bar) to their greatest.

    Args:
        values: Numbers; NaN and infinities are gaps. More than ``width`` are averaged in groups of neighbours.
        width: Most characters, at least 1.
        unicode: Use block characters; ``None`` looks at stdout.

    Returns:
        At most ``width`` characters; "" for no values. Equal values give bars of middle height.

    Raises:
        ValueError: ``width`` is below 1.
    """
    groups = _groups([float(value) for value in values], width)
    finite = [value for value in groups if math.isfinite(value)]
    if not finite:
        return _GAP * len(groups)
    return _bars(groups, min(finite), max(finite), unicode)


def histogram_sparkline(samples: Sequence[float], width: int, *, unicode: bool | None = None) -> str:
    """Return how samples are spread from their least to their 99th percentile, one bar a bin, a blank for none.

    Args:
        samples: Numbers; NaN and infinities are left out, and so is what lies above the 99th percentile.
        width: Bins, at least 1.
        unicode: Use block characters; ``None`` looks at stdout.

    Returns:
        ``width`` characters; "" without finite samples. Equal samples give one bar and blanks.

    Raises:
        ValueError: ``width`` is below 1.
    """
    finite = sorted(float(value) for value in samples if math.isfinite(value))
    _check(width)
    if not finite:
        return ""
    low, high = finite[0], finite[math.ceil(_TAIL * len(finite)) - 1]
    counts = [0] * width
    for value in finite:
        if value <= high:
            counts[_bin(value, low, high, width)] += 1
    bars = _bars([float(count) for count in counts], 0.0, float(max(counts)), unicode)
    return "".join(bar if count else _GAP for bar, count in zip(bars, counts, strict=True))


def _check(width: int) -> None:
    if width < 1:
        raise ValueError(f"a sparkline needs a width of at least 1, not {width}")


def _bin(value: float, low: float, high: float, width: int) -> int:
    # Halves, since the difference of two large numbers may overflow.
    span = high / 2 - low / 2
    return min(width - 1, int((value / 2 - low / 2) / span * width)) if span > 0 else 0


def _groups(values: Sequence[float], width: int) -> list[float]:
    """Average neighbours so that at most ``width`` numbers are left; a group without a finite one is NaN."""
    _check(width)
    count = min(width, len(values))
    groups = []
    for place in range(count):
        part = values[place * len(values) // count : (place + 1) * len(values) // count]
        finite = [value for value in part if math.isfinite(value)]
        groups.append(sum(value / len(finite) for value in finite) if finite else math.nan)
    return groups


def _bars(values: Sequence[float], low: float, high: float, unicode: bool | None) -> str:
    marks = BLOCKS if (can_show_blocks() if unicode is None else unicode) else ASCII
    made = []
    for value in values:
        if not math.isfinite(value):
            made.append(_GAP)
        elif high <= low:
            made.append(marks[len(marks) // 2 - 1])
        else:
            made.append(marks[_bin(value, low, high, len(marks))])
    return "".join(made)
