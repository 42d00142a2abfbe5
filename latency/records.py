"""Sittings and visits of a table's build in the store, and what they add up to.

A piece of a table's models is measured in one sitting; after an interruption, or on another device, it goes on in
another. Models are compared with the references of the same round, so there is no seam between sittings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from devices.harness import Harness
from devices.measurement import Measurement, Session
from devices.protocol import VisitRecord
from devices.summary import summarise
from latency.draws import drawn_latencies
from latency.uncertainty import FloatArray
from mnas.jsonio import canonical_json
from mnas.store import Store, utc_now

_ROUNDS_APART = 1_000_000


def open_sitting(store: Store, lut_id: str, piece: int, harness: Harness, conditions: Any) -> int:
    """Record that a sitting of a harness' device begins, and return its id."""
    with store.transaction() as sql:
        cursor = sql.execute(
            "INSERT INTO lut_sitting (lut_id, chunk, started_at_utc, nominals_json, conditions_json, device_id) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                lut_id,
                piece,
                utc_now(),
                canonical_json(harness.nominals_ms),
                json.dumps(conditions),
                harness.device.info.device_id,
            ),
        )
        return int(cursor.lastrowid or 0)


def store_visit(store: Store, sitting_id: int, record: VisitRecord) -> bool:
    """Keep one visit, and return whether it gave a number.

    One that gave something other than positive times is kept as failed, so that it is made again.
    """
    if not all(math.isfinite(value) and value > 0 for value in record.samples_ms):
        record = replace(record, samples_ms=(), error=f"gave times that are none: {record.samples_ms[:3]}")
    store.execute(
        "INSERT INTO lut_visit (sitting_id, sha256, record_json) VALUES (?, ?, ?)",
        (sitting_id, record.sha256, canonical_json(record.to_json())),
    )
    return not record.error


def rounds_done(store: Store, lut_id: str, device_id: str | None = None) -> dict[str, int]:
    """Return in how many rounds each model of a table was visited without an error, by all devices or by one."""
    rows = store.query(
        "SELECT v.sha256, count(DISTINCT v.sitting_id || ' ' || json_extract(v.record_json, '$.r')) AS rounds "
        "FROM lut_visit v JOIN lut_sitting s USING (sitting_id) "
        "WHERE s.lut_id = ? AND (? IS NULL OR s.device_id = ?) AND json_extract(v.record_json, '$.ref') IS NULL "
        "AND json_extract(v.record_json, '$.e') IS NULL GROUP BY v.sha256",
        (lut_id, device_id, device_id),
    )
    return {row["sha256"]: int(row["rounds"]) for row in rows}


def visits_done(store: Store, lut_id: str, device_id: str | None = None) -> int:
    """Return how many visits of a table's models gave a number, by all devices or by one."""
    rows = store.query(
        "SELECT count(*) AS visits FROM lut_visit v JOIN lut_sitting s USING (sitting_id) "
        "WHERE s.lut_id = ? AND (? IS NULL OR s.device_id = ?) AND json_extract(v.record_json, '$.ref') IS NULL "
        "AND json_extract(v.record_json, '$.e') IS NULL",
        (lut_id, device_id, device_id),
    )
    return int(rows[0]["visits"])


def devices_of(store: Store, lut_id: str) -> list[str]:
    """Return the id of each device that measured for a table, in order of their first sittings; "" where unknown."""
    rows = store.query(
        "SELECT device_id FROM lut_sitting WHERE lut_id = ? GROUP BY device_id ORDER BY min(sitting_id)", (lut_id,)
    )
    return [row["device_id"] for row in rows]


def table_session(
    store: Store, lut_id: str, harness: Harness, rounds_wanted: Mapping[str, int], device_id: str | None = None
) -> Session:
    """Return what all sittings of a table, or those of one device, say of every model that they visited.

    Args:
        store: Opened with latency's tables.
        lut_id: The table.
        harness: For references, nominals and protocol.
        rounds_wanted: Rounds that each model should have had, by sha256.
        device_id: Count the sittings of this device alone.

    Raises:
        MeasurementError: The references gave no runs.
    """
    return summarise(
        table_records(store, lut_id, device_id),
        {name: artifact.sha256 for name, artifact in harness.references.items()},
        harness.nominals_ms,
        harness.settings,
        rounds_wanted=rounds_wanted,
        device_key=harness.device.info.device_key,
    )


@dataclass(frozen=True, slots=True)
class Measured:
    """What a build says of one model.

    Attributes:
        measurement: With its interval and verdict.
        draws_ms: The latency in each draw of the table, shape (`latency.uncertainty.DRAWS`,).
    """

    measurement: Measurement
    draws_ms: FloatArray


def table_measurements(
    store: Store, lut_id: str, harness: Harness, rounds_wanted: Mapping[str, int]
) -> dict[str, Measured]:
    """Return what all sittings of a table say of each of its models, by sha256; see `table_session`."""
    found = table_session(store, lut_id, harness, rounds_wanted).measurements
    drawn = drawn_latencies(table_records(store, lut_id), harness)
    return {sha256: Measured(measurement, drawn[sha256]) for sha256, measurement in found.items()}


def table_records(store: Store, lut_id: str, device_id: str | None = None) -> list[VisitRecord]:
    """Return a table's visits, or one device's, in order, with rounds and launches that no two sittings share."""
    rows = store.query(
        "SELECT v.sitting_id, v.record_json FROM lut_visit v JOIN lut_sitting s USING (sitting_id) "
        "WHERE s.lut_id = ? AND (? IS NULL OR s.device_id = ?) ORDER BY v.sitting_id, v.rowid",
        (lut_id, device_id, device_id),
    )
    numbers: dict[int, int] = {}
    records = []
    for row in rows:
        first = numbers.setdefault(row["sitting_id"], len(numbers)) * _ROUNDS_APART
        record = VisitRecord.from_json(json.loads(row["record_json"]))
        records.append(replace(record, round=record.round + first, launch=record.launch + first))
    return records


def nominals_of(store: Store, lut_id: str) -> dict[str, float]:
    """Return the nominals of the reference networks, in milliseconds, that a table rests on; none for a foreign one."""
    rows = store.query(
        "SELECT nominals_json FROM lut_sitting WHERE lut_id = ? ORDER BY sitting_id DESC LIMIT 1", (lut_id,)
    )
    return dict(json.loads(rows[0]["nominals_json"])) if rows else {}
