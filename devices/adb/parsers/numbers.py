"""Integers in what a phone, a server or a file said: ASCII digits, and no more of them than any number here has."""

from __future__ import annotations

import re

_MOST = 10**18 - 1
"""Python refuses to read thousands of digits, and reads those of other scripts, as ``isdigit`` does "²"."""


def int_of(text: str) -> int | None:
    """Return the integer that a text is, else ``None``."""
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text.strip()) else None


def number_of(text: str, most: int = _MOST) -> int | None:
    """Return the number from 0 to ``most`` that a text is, else ``None``; a sign or space makes it none."""
    number = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
    return number if number is not None and number <= most else None
