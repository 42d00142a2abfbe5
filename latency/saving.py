"""Whole tables into the store, and the whole networks of a table out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from latency.key import segment_key, segment_to_json
from latency.table import LatencyTable, LutEntry, load_table
from mnas.jsonio import canonical_json, sha256_json
from mnas.segments import Segment
from mnas.store import Store


@dataclass(frozen=True, slots=True)
class MeasuredNetwork:
    """A whole network that was measured beside a table's segments; the columns of ``lut_network``.

    Attributes:
        arch_id: Of its architecture.
        purpose: ``calibration`` or ``validation``.
        genome_json: Its genome in the space that the table was built for.
        macs: Multiply-accumulates.
        block_params: Parameters of the blocks between stem and head.
        sum_ms: Sum of the table's entries as its calibration weighs them.
        measured_ms: Measured latency.
        low_ms: Lower end of its 95 % interval.
        high_ms: Upper end.
    """

    arch_id: str
    purpose: str
    genome_json: str
    macs: int
    block_params: int
    sum_ms: float
    measured_ms: float
    low_ms: float
    high_ms: float


_COLUMNS = tuple(field.name for field in fields(MeasuredNetwork))


def networks_of(store: Store, lut_id: str) -> list[MeasuredNetwork]:
    """Return the whole networks of a table, in the order in which they were kept."""
    rows = store.query(f"SELECT {', '.join(_COLUMNS)} FROM lut_network WHERE lut_id = ? ORDER BY rowid", (lut_id,))
    return [MeasuredNetwork(**dict(row)) for row in rows]


def save_table(
    store: Store,
    table: LatencyTable,
    networks: Sequence[MeasuredNetwork],
    consistency: dict[str, Any] | None = None,
) -> LatencyTable:
    """Keep a table that was not built here as a finished one, and return it as it is read from the store.

    Its identity is that of its contents, which no plan has: a build never takes it for its own.

    Args:
        store: Opened with latency's component.
        table: Its ``lut_id`` is passed over: the store gives it one.
        networks: Whole networks that it was calibrated and validated on.
        consistency: Of the devices that shared its build.
    """
    identity = sha256_json(_contents(table, networks))
    packed = table.draws.pack() if table.draws else None
    drawn: Sequence[bytes | None] = packed.entries if packed else [None] * len(table.entries)
    with store.transaction() as sql:
        lut_id = f"lut{sql.execute('SELECT count(*) FROM lut').fetchone()[0] + 1}-{identity[:8]}"
        row = {
            "lut_id": lut_id,
            "identity": identity,
            "calibration_draws": packed.calibrations if packed else None,
            "consistency_json": canonical_json(consistency) if consistency else None,
            **_columns_of(table),
        }
        sql.execute(_insert("lut", row), row)
        sql.executemany(
            "INSERT INTO lut_entry (lut_id, key, segment_json, latency_ms, low_ms, high_ms, samples, verdict, draws) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (lut_id, *_entry_columns(segment, entry), draws)
                for (segment, entry), draws in zip(table.entries.items(), drawn, strict=True)
            ],
        )
        rows = [{"lut_id": lut_id, **asdict(network)} for network in networks]
        if rows:
            sql.executemany(_insert("lut_network", rows[0]), rows)
    return load_table(store, lut_id)


def _contents(table: LatencyTable, networks: Sequence[MeasuredNetwork]) -> dict[str, Any]:
    return {
        "device_key": table.device_key,
        "entries": {segment_key(segment): asdict(entry) for segment, entry in table.entries.items()},
        "networks": [asdict(network) for network in networks],
        "origin": table.origin.to_json() if table.origin else None,
    }


def _columns_of(table: LatencyTable) -> dict[str, object]:
    """Return the columns of ``lut`` that say what the table says."""
    return {
        "created_at_utc": table.created_at_utc,
        "status": "ready",
        "space": table.space,
        "device_key": table.device_key,
        "device_json": canonical_json(table.device.to_json()),
        "dtype": table.dtype,
        "batch": table.batch,
        "settings_json": canonical_json(table.settings),
        "calibration_json": canonical_json(table.calibration.to_json()),
        "validation_json": canonical_json(table.validation.to_json()) if table.validation else None,
        "uncertainty_json": canonical_json(table.uncertainty.to_json()),
        "origin_json": canonical_json(table.origin.to_json()) if table.origin else None,
    }


def _entry_columns(segment: Segment, entry: LutEntry) -> tuple[object, ...]:
    key, text = segment_key(segment), canonical_json(segment_to_json(segment))
    return key, text, entry.latency_ms, entry.low_ms, entry.high_ms, entry.samples, entry.verdict


def _insert(table: str, row: Mapping[str, object]) -> str:
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(':' + name for name in row)})"
