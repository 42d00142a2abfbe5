"""A latency table in memory: entries by segment, calibrated, tied to one device, dtype and batch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devices.device import DeviceInfo
from latency.calibration import Calibration
from latency.estimator import LatencyEstimate
from latency.key import segment_from_json
from latency.validation import Validation
from mnas.architecture import Architecture
from mnas.errors import LutError
from mnas.segments import Segment, segments_of
from mnas.store import Store

SCHEMA_VERSION = 1
_UNVALIDATED_RELATIVE_SD = 0.10
_Z95 = 1.96


@dataclass(frozen=True, slots=True)
class LutEntry:
    """What a table knows of one segment.

    Attributes:
        latency_ms: What the segment adds to a network; a tiny one may come out at or below zero.
        low_ms: Lower end of its 95 % interval.
        high_ms: Upper end of its 95 % interval.
        samples: Timed runs behind it.
        verdict: Of its measurement: ``ok``, ``noisy`` or ``drifted``.
    """

    latency_ms: float
    low_ms: float
    high_ms: float
    samples: int
    verdict: str


class LatencyTable:
    """Block latencies of one device.

    Args:
        lut_id: Id in the store.
        space: Name of the space that it covers.
        device: The device that it was measured on.
        dtype: ``float32``.
        batch: 1.
        settings: How it was built.
        entries: Segment -> entry.
        calibration: Fitted on whole networks.
        validation: On other whole networks; ``None`` marks the table as unvalidated.
        created_at_utc: ISO 8601.
    """

    def __init__(
        self,
        *,
        lut_id: str,
        space: str,
        device: DeviceInfo,
        dtype: str,
        batch: int,
        settings: Mapping[str, Any],
        entries: Mapping[Segment, LutEntry],
        calibration: Calibration,
        validation: Validation | None,
        created_at_utc: str,
    ) -> None:
        self.schema_version = SCHEMA_VERSION
        self.lut_id = lut_id
        self.space = space
        self.device = device
        self.dtype = dtype
        self.batch = batch
        self.settings = dict(settings)
        self.entries = dict(entries)
        self.calibration = calibration
        self.validation = validation
        self.created_at_utc = created_at_utc
        self._block_params: dict[Segment, int] = {}

    @property
    def device_key(self) -> str:
        """The device that it speaks of."""
        return self.device.device_key

    @property
    def relative_sd(self) -> float:
        """SD of a prediction's relative error: as validated, else a cautious tenth."""
        return self.validation.relative_sd if self.validation else _UNVALIDATED_RELATIVE_SD

    def require_fit(self, device: DeviceInfo, dtype: str = "float32", batch: int = 1) -> None:
        """Check that the table may be used for a device.

        Raises:
            LutError: ``LUT03``: another device, runtime, dtype or batch; the message names the fields.
        """
        theirs, ours = device.to_json(), self.device.to_json()
        names = ("kind", "model", "runtime", "runtime_version", "runner_sha256", "delegate", "threads", "cpu_mask")
        differing = [
            f"{name}: table {ours[name]!r}, device {theirs[name]!r}" for name in names if ours[name] != theirs[name]
        ]
        differing += [
            f"{name}: table {own!r}, asked {asked!r}"
            for name, own, asked in (("dtype", self.dtype, dtype), ("batch", self.batch, batch))
            if own != asked
        ]
        if differing:
            raise LutError(
                "LUT03",
                f"latency table {self.lut_id} is not of this device",
                value="; ".join(differing),
                why="a latency belongs to one device, runtime and thread count",
                fix="build one with: mnas lut build --device ...",
            )

    def _require(self, segments: Sequence[Segment]) -> None:
        missing = [segment.label() for segment in segments if segment not in self.entries]
        if missing:
            raise LutError(
                "LUT02",
                f"latency table {self.lut_id} lacks {len(missing)} entries of this network",
                value="; ".join(missing[:5]),
                why=f"it covers {self.space}; a missing entry is never taken as zero",
                fix="build a table of the space that the network is from",
            )

    def parts(self, architecture: Architecture) -> tuple[float, int]:
        """Return the plain sum of a network's entries in milliseconds, and its blocks' parameters.

        Raises:
            LutError: ``LUT02``: entries are missing; the message names them.
        """
        segments = segments_of(architecture)
        self._require(segments)
        return sum(self.entries[s].latency_ms for s in segments), sum(self._params(s) for s in segments)

    def _params(self, segment: Segment) -> int:
        """Return the parameters that the calibration prices; remembered, since counting walks the layers."""
        if segment not in self._block_params:
            self._block_params[segment] = block_params(segment)
        return self._block_params[segment]

    def cost_ms(self, segment: Segment) -> float:
        """Return what a segment adds to a network's calibrated latency, in milliseconds.

        Raises:
            LutError: ``LUT02``: the segment is missing.
        """
        self._require([segment])
        return self.calibration.apply(self.entries[segment].latency_ms, self._params(segment)) - (
            self.calibration.intercept_ms
        )

    def estimate(self, architectures: Sequence[Architecture]) -> list[LatencyEstimate]:
        """Return one estimate for each architecture, in order.

        Raises:
            LutError: ``LUT02``: entries are missing.
        """
        estimates = []
        for architecture in architectures:
            ms = self.calibration.apply(*self.parts(architecture))
            half = _Z95 * self.relative_sd * ms
            estimates.append(LatencyEstimate(ms, ms - half, ms + half, "lut"))
        return estimates


def block_params(segment: Segment) -> int:
    """Return the parameters of a block; 0 for stem and head, whose weights are much the same in every network."""
    return segment.params if segment.role == "block" else 0


def load_table(store: Store, lut_id: str) -> LatencyTable:
    """Read a finished table.

    Args:
        store: An open store with latency's tables.
        lut_id: Its id, or the beginning of it.

    Raises:
        LutError: ``LUT01``: no such table, an ambiguous beginning, or one whose build has not finished.
    """
    rows = store.query("SELECT * FROM lut WHERE substr(lut_id, 1, ?) = ?", (len(lut_id), lut_id))
    if len(rows) != 1 or rows[0]["status"] != "ready":
        known = ", ".join(row["lut_id"] for row in list_tables(store) if row["status"] == "ready") or "none"
        raise LutError(
            "LUT01",
            "no finished latency table of that id",
            value=lut_id,
            why=f"finished tables here: {known}",
            fix="name one of them, or build one with: mnas lut build",
        )
    row = rows[0]
    entries = {
        segment_from_json(json.loads(entry["segment_json"])): LutEntry(
            entry["latency_ms"], entry["low_ms"], entry["high_ms"], entry["samples"], entry["verdict"]
        )
        for entry in store.query("SELECT * FROM lut_entry WHERE lut_id = ?", (row["lut_id"],))
    }
    validation = row["validation_json"]
    return LatencyTable(
        lut_id=row["lut_id"],
        space=row["space"],
        device=DeviceInfo.from_json(json.loads(row["device_json"])),
        dtype=row["dtype"],
        batch=row["batch"],
        settings=json.loads(row["settings_json"]),
        entries=entries,
        calibration=Calibration(**json.loads(row["calibration_json"])),
        validation=Validation.from_json(json.loads(validation)) if validation else None,
        created_at_utc=row["created_at_utc"],
    )


def list_tables(store: Store) -> list[dict[str, Any]]:
    """Return id, date, status, space, device and number of entries of every table, newest first."""
    rows = store.query(
        "SELECT lut.*, (SELECT count(*) FROM lut_entry e WHERE e.lut_id = lut.lut_id) AS entries "
        "FROM lut ORDER BY created_at_utc DESC, lut_id"
    )
    return [dict(row) for row in rows]
