"""The tables that latency keeps in the store."""

from __future__ import annotations

from mnas.store import Component

LATENCY = Component(
    "latency",
    (
        """
        CREATE TABLE lut (
            lut_id TEXT PRIMARY KEY,
            identity TEXT NOT NULL,
            created_at_utc TEXT NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('building', 'ready')),
            space TEXT NOT NULL,
            device_key TEXT NOT NULL,
            device_json TEXT NOT NULL,
            dtype TEXT NOT NULL,
            batch INTEGER NOT NULL,
            settings_json TEXT NOT NULL,
            calibration_json TEXT,
            validation_json TEXT
        );
        CREATE TABLE lut_sitting (
            sitting_id INTEGER PRIMARY KEY,
            lut_id TEXT NOT NULL REFERENCES lut (lut_id),
            chunk INTEGER NOT NULL,
            started_at_utc TEXT NOT NULL,
            nominals_json TEXT NOT NULL,
            conditions_json TEXT NOT NULL
        );
        CREATE TABLE lut_visit (
            sitting_id INTEGER NOT NULL REFERENCES lut_sitting (sitting_id),
            sha256 TEXT NOT NULL,
            record_json TEXT NOT NULL
        );
        CREATE INDEX lut_visit_by_sitting ON lut_visit (sitting_id);
        CREATE TABLE lut_entry (
            lut_id TEXT NOT NULL REFERENCES lut (lut_id),
            key TEXT NOT NULL,
            segment_json TEXT NOT NULL,
            latency_ms REAL NOT NULL,
            low_ms REAL NOT NULL,
            high_ms REAL NOT NULL,
            samples INTEGER NOT NULL,
            verdict TEXT NOT NULL,
            PRIMARY KEY (lut_id, key)
        );
        CREATE TABLE lut_network (
            lut_id TEXT NOT NULL REFERENCES lut (lut_id),
            arch_id TEXT NOT NULL,
            purpose TEXT NOT NULL CHECK (purpose IN ('calibration', 'validation')),
            genome_json TEXT NOT NULL,
            macs INTEGER NOT NULL,
            block_params INTEGER NOT NULL,
            sum_ms REAL NOT NULL,
            measured_ms REAL NOT NULL,
            low_ms REAL NOT NULL,
            high_ms REAL NOT NULL,
            PRIMARY KEY (lut_id, arch_id)
        );
        """,
        """
        ALTER TABLE lut ADD COLUMN uncertainty_json TEXT;
        ALTER TABLE lut ADD COLUMN calibration_draws BLOB;
        ALTER TABLE lut_entry ADD COLUMN draws BLOB;
        CREATE TABLE lut_builder (
            identity TEXT PRIMARY KEY,
            holder TEXT NOT NULL,
            heartbeat_s REAL NOT NULL
        );
        ALTER TABLE lut_sitting ADD COLUMN device_id TEXT NOT NULL DEFAULT '';
        ALTER TABLE lut ADD COLUMN consistency_json TEXT;
        """,
    ),
)
