"""How far files on their way to a phone are, told now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_S = 2.0
"""Seconds from one word to the next; a push that is over by then is not spoken of."""


class Sending:
    """Tells how far a push is; to be given to it as ``on_progress``.

    Args:
        what: What is sent.
        tell: Gets a line.
        clock: Seconds on a clock that only runs forward.
    """

    def __init__(self, what: str, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._tell, self._clock = what, tell, clock
        self._told_s = clock()

    def __call__(self, sent_bytes: int, total_bytes: int) -> None:
        """Take the bytes that are sent by now, of those that are to be sent."""
        now_s = self._clock()
        if now_s - self._told_s < EVERY_S:
            return
        self._told_s = now_s
        share = 100 * sent_bytes // max(total_bytes, 1)
        self._tell(f"sending {self._what}: {sent_bytes / 1e6:.1f} of {total_bytes / 1e6:.1f} MB, {share} %")
