"""Short ids of what a store holds, such as ``run12-3fa9c1``: a number to type, and digits that make it unique."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mnas.jsonio import sha256_json
from mnas.liveness import process_token


def new_id(word: str, number: int) -> str:
    """Return an id that no other process and no other store gives.

    Args:
        word: What it names, e.g. ``run``.
        number: Unique among its like in the store; ids are in the order of their numbers.
    """
    return f"{word}{number}-{sha256_json([word, number, process_token(), time.time_ns()])[:6]}"


def matching_ids(ids: Sequence[str], asked: str) -> list[str]:
    """Return the ids that a text means: the one equal to it or to its part before the dash, else all that begin so.

    So ``run1`` is the first run, however many there are, and no abbreviation of ``run10``.
    """
    exact = [one for one in ids if asked in (one, one.partition("-")[0])]
    return exact or [one for one in ids if one.startswith(asked)]
