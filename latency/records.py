"""Sittings and visits of a table's build in the store, and what they add up to.

A chunk of models is measured in one sitting; after an interruption it goes on in another. Models are compared with the
references of the same round, so an interruption leaves no seam.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from devices.harness import Harness
from devices.measurement import Measurement
from devices.protocol import VisitRecord
from devices.summary import summarise
from latency.draws import drawn_latencies
from latency.uncertainty import FloatArray
from mnas.jsonio import canonical_json
from mnas.store import Store, utc_now

_ROUNDS_APART = 1_000_000


def open_sitting(store: Store, lut_id: str, chunk: int, nominals_ms: Mapping[str, float], conditions: Any) -> int:
    """Record that a sitting begins, and return its id."""
    with store.transaction() as sql:
        cursor = sql.execute(
            "INSERT INTO lut_sitting (lut_id, chunk, started_at_utc, nominals_json, conditions_json) "
            "VALUES (?, ?, ?, ?, ?)",
            (lut_id, chunk, utc_now(), canonical_json(dict(nominals_ms)), json.dumps(conditions)),
        )
        return int(cursor.lastrowid or 0)


def store_visit(store: Store, sitting_id: int, record: VisitRecord) -> None:
    """Keep one visit; one that gave something other than positive times is kept as failed, so that it is made again."""
    if not all(math.isfinite(value) and value > 0 for value in record.samples_ms):
        record = replace(record, samples_ms=(), error=f"gave times that are none: {record.samples_ms[:3]}")
    store.execute(
        "INSERT INTO lut_visit (sitting_id, sha256, record_json) VALUES (?, ?, ?)",
        (sitting_id, record.sha256, canonical_json(record.to_json())),
    )


def _records(store: Store, lut_id: str, chunk: int) -> dict[int, list[VisitRecord]]:
    rows = store.query(
        "SELECT v.sitting_id, v.record_json FROM lut_visit v JOIN lut_sitting s USING (sitting_id) "
        "WHERE s.lut_id = ? AND s.chunk = ? ORDER BY v.rowid",
        (lut_id, chunk),
    )
    sittings: dict[int, list[VisitRecord]] = {}
    for row in rows:
        sittings.setdefault(row["sitting_id"], []).append(VisitRecord.from_json(json.loads(row["record_json"])))
    return sittings


def rounds_done(store: Store, lut_id: str, chunk: int) -> dict[str, int]:
    """Return how often each model of a chunk was visited without an error."""
    done: dict[str, int] = {}
    for records in _records(store, lut_id, chunk).values():
        for record in records:
            if not record.is_reference and not record.error:
                done[record.sha256] = done.get(record.sha256, 0) + 1
    return done


@dataclass(frozen=True, slots=True)
class Measured:
    """What a chunk says of one model.

    Attributes:
        measurement: With its interval and verdict.
        draws_ms: The latency in each draw of the table, shape (`latency.uncertainty.DRAWS`,).
    """

    measurement: Measurement
    draws_ms: FloatArray


def chunk_measurements(
    store: Store, lut_id: str, chunk: int, harness: Harness, rounds_wanted: Mapping[str, int]
) -> dict[str, Measured]:
    """Return what a chunk says of each of its models, by sha256.

    Raises:
        MeasurementError: The references gave no runs.
    """
    references = {name: artifact.sha256 for name, artifact in harness.references.items()}
    pooled: list[VisitRecord] = []
    for number, records in enumerate(_records(store, lut_id, chunk).values()):
        pooled += [
            replace(
                record,
                round=record.round + number * _ROUNDS_APART,
                launch=record.launch + number * _ROUNDS_APART,
            )
            for record in records
        ]
    session = summarise(
        pooled,
        references,
        harness.nominals_ms,
        harness.settings,
        rounds_wanted=rounds_wanted,
        device_key=harness.device.info.device_key,
    )
    drawn = drawn_latencies(pooled, harness)
    return {sha256: Measured(found, drawn[sha256]) for sha256, found in session.measurements.items()}
