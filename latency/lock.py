"""One builder a table: a row with a heartbeat says who builds it, and only a dead builder is replaced."""

from __future__ import annotations

import contextlib
import time
from types import TracebackType

from mnas.errors import LutError, StoreError
from mnas.heartbeat import Heartbeat
from mnas.liveness import is_alive, process_token
from mnas.store import Store


class BuildLock:
    """The right to build the table of one identity, for as long as the context lasts; a process has it as a whole.

    Args:
        store: Opened with latency's tables.
        identity: Of the table, as `LutPlan.identity` gives it.

    Raises:
        LutError: ``LUT20``: another process builds it.
    """

    def __init__(self, store: Store, identity: str) -> None:
        self._store = store
        self._identity = identity
        self._token = process_token()
        self._heartbeat = Heartbeat(self._beat, "table-heartbeat")

    def __enter__(self) -> BuildLock:
        with self._store.transaction() as sql:
            row = sql.execute(
                "SELECT holder, heartbeat_s FROM lut_builder WHERE identity = ?", (self._identity,)
            ).fetchone()
            if row and row["holder"] != self._token and is_alive(row["holder"], row["heartbeat_s"]):
                raise LutError(
                    "LUT20",
                    "this latency table is being built by another process",
                    value=row["holder"],
                    why="two builders would measure everything twice, and disturb one another",
                    fix="wait for it, or end it; then the same command goes on with what it measured",
                )
            sql.execute(
                "INSERT OR REPLACE INTO lut_builder VALUES (?, ?, ?)", (self._identity, self._token, time.time())
            )
        self._heartbeat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._heartbeat.stop()
        # On a full disk the row stays; it frees the table all the same, since nobody of that name lives any more.
        with contextlib.suppress(StoreError):
            self._store.execute(
                "DELETE FROM lut_builder WHERE identity = ? AND holder = ?", (self._identity, self._token)
            )

    def _beat(self) -> None:
        self._store.execute(
            "UPDATE lut_builder SET heartbeat_s = ? WHERE identity = ? AND holder = ?",
            (time.time(), self._identity, self._token),
        )


def builders(store: Store) -> dict[str, str]:
    """Return identity -> process (``host:pid:start time``) of every table that is being built just now."""
    rows = store.query("SELECT identity, holder, heartbeat_s FROM lut_builder")
    return {row["identity"]: row["holder"] for row in rows if is_alive(row["holder"], row["heartbeat_s"])}
