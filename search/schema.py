"""The tables that studies keep in the store."""

from __future__ import annotations

from mnas.store import Component

SEARCH = Component(
    "search",
    (
        """
        CREATE TABLE study (
            study_id TEXT PRIMARY KEY,
            created_at_utc TEXT NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('running', 'finished', 'refused')),
            config_json TEXT NOT NULL,
            versions_json TEXT NOT NULL,
            driver TEXT NOT NULL DEFAULT '',
            heartbeat_s REAL NOT NULL DEFAULT 0
        );
        CREATE TABLE event (
            study_id TEXT NOT NULL REFERENCES study (study_id),
            sequence INTEGER NOT NULL,
            at_utc TEXT NOT NULL,
            kind TEXT NOT NULL,
            key TEXT NOT NULL DEFAULT '',
            payload_json TEXT NOT NULL,
            PRIMARY KEY (study_id, sequence)
        );
        CREATE UNIQUE INDEX event_once ON event (study_id, kind, key);
        CREATE TRIGGER event_never_changes BEFORE UPDATE ON event
        BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
        CREATE TRIGGER event_never_goes BEFORE DELETE ON event
        BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
        """,
        "ALTER TABLE study ADD COLUMN kind TEXT NOT NULL DEFAULT 'search';",
    ),
)
