"""The tables that runs of `mnas bench` keep in the store, and the visits in them.

The raw samples of a run are kept once, in its visits; the facts of a model are kept without them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from devices.protocol import VisitRecord
from mnas.jsonio import without_nan
from mnas.store import Component, Store

SAMPLES = ("samples_ms", "rounds", "warmup_samples_ms")
"""What of a measurement is kept in the visits."""

RUNS = Component(
    "runs",
    (
        """
        CREATE TABLE bench_runs (
            number INTEGER PRIMARY KEY,
            run_id TEXT NOT NULL UNIQUE,
            started_at_utc TEXT NOT NULL,
            finished_at_utc TEXT NOT NULL DEFAULT '',
            status TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed', 'interrupted')),
            device_id TEXT NOT NULL,
            device_key TEXT NOT NULL,
            driver TEXT NOT NULL DEFAULT '',
            heartbeat_s REAL NOT NULL DEFAULT 0,
            header_json TEXT NOT NULL
        );
        CREATE TABLE bench_run_models (
            run_id TEXT NOT NULL REFERENCES bench_runs (run_id),
            position INTEGER NOT NULL,
            label TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            facts_json TEXT NOT NULL,
            PRIMARY KEY (run_id, position)
        );
        CREATE TABLE bench_run_visits (
            visits_id INTEGER PRIMARY KEY,
            run_id TEXT NOT NULL REFERENCES bench_runs (run_id),
            round INTEGER NOT NULL,
            records_json TEXT NOT NULL
        );
        CREATE INDEX bench_run_visits_by_run ON bench_run_visits (run_id);
        """,
    ),
)


def load_visits(store: Store, run_id: str) -> list[VisitRecord]:
    """Return every recorded visit of a run, in order of time; none where the id is of no run.

    Args:
        store: Opened with the component `RUNS`.
        run_id: The whole id.
    """
    rows = store.query("SELECT records_json FROM bench_run_visits WHERE run_id = ? ORDER BY visits_id", (run_id,))
    return [VisitRecord.from_json(value) for row in rows for value in json.loads(row["records_json"])]


def samples_of(records: Sequence[VisitRecord]) -> dict[str, dict[str, list[Any]]]:
    """Return the samples of each model by sha256, in the form that a measurement has them; references are left out."""
    found: dict[str, dict[str, list[Any]]] = {}
    for record in records:
        if not record.is_reference:
            kept = found.setdefault(record.sha256, {name: [] for name in SAMPLES})
            kept["samples_ms"] += record.samples_ms
            kept["rounds"] += [record.round] * len(record.samples_ms)
            kept["warmup_samples_ms"] += record.warmup_ms
    return {sha256: without_nan(kept) for sha256, kept in found.items()}
