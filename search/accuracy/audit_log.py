"""What audits found, in the store: append-only, each training and each estimate once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mnas.jsonio import canonical_json, sha256_json
from mnas.spaces.toml_file import is_space_file
from mnas.store import Component, Store, utc_now

AUDIT = Component(
    "audit",
    (
        """
        CREATE TABLE audit_row (
            sequence INTEGER PRIMARY KEY,
            audit_id TEXT NOT NULL,
            subject TEXT NOT NULL,
            key TEXT NOT NULL,
            at_utc TEXT NOT NULL,
            payload_json TEXT NOT NULL
        );
        CREATE UNIQUE INDEX audit_once ON audit_row (audit_id, subject, key);
        CREATE TRIGGER audit_never_changes BEFORE UPDATE ON audit_row
        BEGIN SELECT RAISE(ABORT, 'audits are append-only'); END;
        CREATE TRIGGER audit_never_goes BEFORE DELETE ON audit_row
        BEGIN SELECT RAISE(ABORT, 'audits are append-only'); END;
        """,
    ),
)

TRUTH, VERDICT = "truth", "verdict"
"""Subjects: trainings, keyed ``arch_id/repeat``; verdicts, keyed ``hash/number``."""
_TRY = "#"
"""Behind a key and before the number of its try, from the second on."""
EVENT = "event:"
"""What subjects begin with that are events of an estimator. All others are estimators."""


@dataclass(frozen=True, slots=True)
class Audited:
    """What a verdict must be of to speak for a search.

    Attributes:
        space: Family or file, as the configuration names it.
        preset: Likewise.
        definition: SHA-256 of the space's definition; "" where there is no telling.
        fingerprint: Of the data.
        truth: Fidelity of the long training that is taken for the truth.
    """

    space: str
    preset: str
    definition: str
    fingerprint: str
    truth: str

    def is_of(self, verdict: dict[str, Any]) -> bool:
        """Return whether a verdict is of this."""
        if (verdict["fingerprint"], verdict["truth"]) != (self.fingerprint, self.truth):
            return False
        if known := verdict.get("definition"):
            return bool(known == self.definition)
        # Verdicts of before name their space alone, and a file of the same name may hold another one by now.
        return not is_space_file(self.space) and (verdict["space"], verdict["preset"]) == (self.space, self.preset)


class AuditLog:
    """Rows of one audit.

    Args:
        store: Opened with `AUDIT`.
        audit_id: The audit.
    """

    def __init__(self, store: Store, audit_id: str) -> None:
        self._store = store
        self.audit_id = audit_id

    def append(self, subject: str, key: str, payload: dict[str, Any]) -> None:
        """Keep a row at once; one that is there already stays as it is."""
        self._store.execute(
            "INSERT OR IGNORE INTO audit_row (audit_id, subject, key, at_utc, payload_json) VALUES (?, ?, ?, ?, ?)",
            (self.audit_id, subject, key, utc_now(), canonical_json(payload)),
        )

    def append_try(self, subject: str, key: str, payload: dict[str, Any]) -> None:
        """Keep what came of a try at once; those before it stay."""
        (row,) = self._store.query(
            "SELECT count(*) AS tries FROM audit_row WHERE audit_id = ? AND subject = ? AND (key = ? OR key GLOB ?)",
            (self.audit_id, subject, key, f"{key}{_TRY}*"),
        )
        self.append(subject, f"{key}{_TRY}{row['tries'] + 1}" if row["tries"] else key, payload)

    def last_tries(self, subject: str) -> dict[str, dict[str, Any]]:
        """Return key -> payload of the last try of each key of a subject."""
        return {key.partition(_TRY)[0]: payload for key, payload in self.rows(subject).items()}

    def rows(self, subject: str) -> dict[str, dict[str, Any]]:
        """Return key -> payload of all rows of a subject, oldest first."""
        found = self._store.query(
            "SELECT key, payload_json FROM audit_row WHERE audit_id = ? AND subject = ? ORDER BY sequence",
            (self.audit_id, subject),
        )
        return {row["key"]: json.loads(row["payload_json"]) for row in found}

    def subjects(self) -> list[str]:
        """Return who has said anything of this audit's networks: every estimator so far, oldest first."""
        found = self._store.query(
            "SELECT subject FROM audit_row WHERE audit_id = ? AND subject NOT IN (?, ?) AND subject NOT GLOB ? "
            "GROUP BY subject ORDER BY min(sequence)",
            (self.audit_id, TRUTH, VERDICT, f"{EVENT}*"),
        )
        return [row["subject"] for row in found]

    def keep_verdict(self, verdict: dict[str, Any]) -> None:
        """Keep a verdict as the newest of all audits; one that is the newest already is not kept twice."""
        newest = self._store.query(
            "SELECT payload_json FROM audit_row WHERE subject = ? ORDER BY sequence DESC LIMIT 1", (VERDICT,)
        )
        if not newest or newest[0]["payload_json"] != canonical_json(verdict):
            self.append(VERDICT, f"{sha256_json(verdict)[:16]}/{len(self.rows(VERDICT))}", verdict)


def latest_verdict(store: Store, asked: Audited) -> dict[str, Any] | None:
    """Return the newest verdict that speaks for a search, or None where there was no such audit.

    Args:
        store: Any store; one without audits holds none.
        asked: Of the search.
    """
    if not store.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'audit_row'"):
        return None
    rows = store.query("SELECT payload_json FROM audit_row WHERE subject = ? ORDER BY sequence DESC", (VERDICT,))
    verdicts = (json.loads(row["payload_json"]) for row in rows)
    return next((verdict for verdict in verdicts if asked.is_of(verdict)), None)
