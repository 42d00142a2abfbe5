"""Room on the phone's storage, as ``df -k`` prints it."""

from __future__ import annotations

import re

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_df(text: str) -> int | None:
    """Return the free bytes of the one file system that was asked for, ``None`` when they are not told.

    Reads toybox's and busybox's table in 1 KiB blocks, in which a long device name has a line of its own, and the
    ``Size Used Free`` with units of older toolboxes.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    for number, head in enumerate(lines):
        below = [word for line in lines[number + 1 :] for word in line]
        if head[0] == "Filesystem" and len(below) >= 4:
            if "Free" in head:
                return _with_unit(below[3])
            is_kib = any(word in head for word in ("1K-blocks", "1024-blocks"))
            return int(below[3]) << 10 if is_kib and re.fullmatch(r"[0-9]{1,15}", below[3]) else None
    return None


def _with_unit(text: str) -> int | None:
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]+)?)([KMGT]?)", text)
    return int(float(match[1]) * _UNITS[match[2]]) if match else None
