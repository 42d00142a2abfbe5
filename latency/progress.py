"""How far a table's build is: visits of the whole table, those of earlier sittings and of other devices included."""

from __future__ import annotations

import threading
from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, how much there is."""


class BuildProgress:
    """Counts the visits of a build; threads may share it.

    Args:
        tell: Called with every step, by one thread at a time.
        what: What is being measured, in words.
        done: Visits that earlier sittings made.
        total: Visits of the whole table.
        is_shared: Several devices are at work, so that what one of them writes is not worth a line.
    """

    def __init__(self, tell: Progress, what: str, done: int, total: int, *, is_shared: bool = False) -> None:
        self._tell = tell
        self._what = what
        self._is_shared = is_shared
        self._lock = threading.Lock()
        self.done = done
        self.total = total

    def writing(self, done: int, total: int) -> None:
        """Say how many of the next models are written."""
        if not self._is_shared:
            self._tell("writing models", done, total)

    def visited(self) -> None:
        """Count a visit that gave a number."""
        with self._lock:
            self.done += 1
            self._tell(self._what, min(self.done, self.total), self.total)
