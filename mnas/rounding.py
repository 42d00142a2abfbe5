"""Rounding of channel counts."""

from __future__ import annotations


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Round to a multiple of ``divisor``, never below it and never down by more than a tenth.

    Source: the MobileNet authors' released code (arXiv 1801.04381 and 1905.02244).
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
