"""One driver a study: a row with a heartbeat says who drives, and only a dead driver is replaced."""

from __future__ import annotations

import contextlib
import time
from types import TracebackType

from mnas.errors import MnasError, StoreError, StudyError
from mnas.heartbeat import Heartbeat
from mnas.liveness import is_alive, process_token
from mnas.store import Store
from search.events import EventLog

STOPPED = "stopped"


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
        self._token = process_token()
        self._heartbeat = Heartbeat(lambda: self._write(self._token), "study-heartbeat")

    def __enter__(self) -> Driver:
        with self._store.transaction() as sql:
            row = sql.execute("SELECT driver, heartbeat_s FROM study WHERE study_id = ?", (self._study_id,)).fetchone()
            if row["driver"] not in ("", self._token) and is_alive(row["driver"], row["heartbeat_s"]):
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
        self._heartbeat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._heartbeat.stop()
        if isinstance(error, MnasError | KeyboardInterrupt):
            self._keep_why(str(error) or "interrupted by hand")
        self._write("")

    def _keep_why(self, why: str) -> None:
        """Keep why the study stops, as far as the store lets us: the error itself goes its way in any case."""
        log = EventLog(self._store, self._study_id)
        with contextlib.suppress(StoreError):
            log.append(STOPPED, {"why": why}, str(len(log.history((STOPPED,)))))

    def _write(self, token: str) -> None:
        """Write the row as long as it is this driver's."""
        self._store.execute(
            "UPDATE study SET driver = ?, heartbeat_s = ? WHERE study_id = ? AND driver = ?",
            (token, time.time(), self._study_id, self._token),
        )
