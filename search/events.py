"""A study's event log: append-only, each thing recorded once, everything else derived from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

from mnas.jsonio import canonical_json
from mnas.store import Store, utc_now


def device_key(number: int) -> str:
    """Return the key of what is recorded of each device: "" for the first, so that one device is as it ever was."""
    return "" if number == 1 else str(number)


class Events(Protocol):
    """What an estimator of generations needs of a log: events of a kind by their keys, each recorded once."""

    def append(self, kind: str, payload: dict[str, Any], key: str = "") -> None:
        """Record an event; a kind and key that are there already stay as they are."""

    def payloads(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return key -> payload of all events of a kind, in the order in which they were recorded."""


class EventLog:
    """Events of one study in the store.

    An event has a kind and a key within the kind; recording the same one a second time does nothing, so that work
    done again after a kill leaves no double.

    Args:
        store: An open store with the search tables.
        study_id: The study.
    """

    def __init__(self, store: Store, study_id: str) -> None:
        self._store = store
        self.study_id = study_id

    def append(self, kind: str, payload: dict[str, Any], key: str = "") -> None:
        """Record an event in a transaction of its own; a kind and key that are there already stay as they are."""
        with self._store.transaction() as sql:
            sql.execute(
                "INSERT OR IGNORE INTO event SELECT ?, coalesce(max(sequence), 0) + 1, ?, ?, ?, ? FROM event "
                "WHERE study_id = ?",
                (self.study_id, utc_now(), kind, key, canonical_json(payload), self.study_id),
            )

    def payloads(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return key -> payload of all events of a kind, in the order in which they were recorded."""
        rows = self._store.query(
            "SELECT key, payload_json FROM event WHERE study_id = ? AND kind = ? ORDER BY sequence",
            (self.study_id, kind),
        )
        return {row["key"]: json.loads(row["payload_json"]) for row in rows}

    def payload(self, kind: str, key: str = "") -> dict[str, Any] | None:
        """Return the payload of one event, or ``None`` where it has not happened."""
        rows = self._store.query(
            "SELECT payload_json FROM event WHERE study_id = ? AND kind = ? AND key = ?", (self.study_id, kind, key)
        )
        return json.loads(rows[0]["payload_json"]) if rows else None

    def history(self, kinds: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Return sequence, time, kind and key of every event, oldest first.

        Args:
            kinds: Only of these; all of them when empty.
        """
        of_kinds = f" AND kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
        rows = self._store.query(
            f"SELECT sequence, at_utc, kind, key FROM event WHERE study_id = ?{of_kinds} ORDER BY sequence",
            (self.study_id, *kinds),
        )
        return [dict(row) for row in rows]
