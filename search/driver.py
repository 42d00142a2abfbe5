"""One driver a study: a row with a heartbeat says who drives, and only a dead driver is replaced."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from types import TracebackType

from mnas.errors import StoreError, StudyError
from mnas.store import Store

_BEAT_S = 5.0
_STALE_S = 60.0


class Driver:
    """The right to drive a study, for as long as the context lasts.

    Args:
        store: Opened with the search tables.
        study_id: The study.

    Raises:
        StudyError: ``STU02``: another process drives it.
    """

    def __init__(self, store: Store, study_id: str) -> None:
        self._store = store
        self._study_id = study_id
        self._token = f"{socket.gethostname()}:{os.getpid()}:{_start_time(os.getpid())}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="study-heartbeat", daemon=True)

    def __enter__(self) -> Driver:
        with self._store.transaction() as sql:
            row = sql.execute("SELECT driver, heartbeat_s FROM study WHERE study_id = ?", (self._study_id,)).fetchone()
            if row["driver"] not in ("", self._token) and _is_alive(row["driver"], row["heartbeat_s"]):
                raise StudyError(
                    "STU02",
                    f"study {self._study_id} is being driven by another process",
                    value=row["driver"],
                    why="two drivers would evaluate the same networks twice",
                    fix="wait for it, or end it",
                )
            sql.execute(
                "UPDATE study SET driver = ?, heartbeat_s = ? WHERE study_id = ?",
                (self._token, time.time(), self._study_id),
            )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._write("")

    def _write(self, token: str) -> None:
        """Write the row as long as it is this driver's."""
        self._store.execute(
            "UPDATE study SET driver = ?, heartbeat_s = ? WHERE study_id = ? AND driver = ?",
            (token, time.time(), self._study_id, self._token),
        )

    def _beat(self) -> None:
        while not self._stop.wait(_BEAT_S):
            with contextlib.suppress(StoreError):  # a locked store or a full disk may have passed by the next beat
                self._write(self._token)


def _is_alive(token: str, heartbeat_s: float) -> bool:
    """Return whether a driver lives: by its process where that can be seen from here, else by its heartbeat."""
    host, pid, started = token.rsplit(":", 2)
    if host == socket.gethostname() and started:
        return _start_time(int(pid)) == started
    return time.time() - heartbeat_s < _STALE_S


def _start_time(pid: int) -> str:
    """Return when a process started in the kernel's ticks.

    "" when there is none, when it is dead and nobody has waited for it, or where the system does not tell.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]
