"""A sign of life, written again and again while a process holds a piece of work."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from mnas.errors import StoreError

_BEAT_S = 5.0


class Heartbeat:
    """Calls a function every few seconds, in a thread, between `start` and `stop`.

    Args:
        beat: Writes the sign of life.
        name: Of the thread.
    """

    def __init__(self, beat: Callable[[], None], name: str) -> None:
        self._beat = beat
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first beat comes a few seconds later."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for a beat under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_BEAT_S):
            with contextlib.suppress(StoreError):  # a locked store or a full disk may have passed by the next beat
                self._beat()
