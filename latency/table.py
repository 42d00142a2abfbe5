"""A latency table in memory: entries by segment, calibrated, tied to one device, dtype and batch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from devices.device import DeviceInfo
from latency.calibration import Calibration
from latency.estimator import LatencyEstimate
from latency.genomes import FloatArray, GenomeLatencies
from latency.key import segment_from_json
from latency.marks import marks_of
from latency.origin import Origin
from latency.uncertainty import PackedDraws, TableDraws, Uncertainty
from latency.validation import Validation
from mnas.architecture import Architecture
from mnas.errors import LutError
from mnas.export.network import Dtype
from mnas.segments import Segment, segments_of
from mnas.space import SearchSpace
from mnas.store import Store

SCHEMA_VERSION = 1
Missing = Literal["refuse", "interpolate"]
"""What to do about entries that a table lacks."""


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
        dtype: ``float32`` or ``int8``, of the networks that were measured.
        batch: 1.
        settings: How it was built.
        entries: Segment -> entry.
        calibration: Fitted on whole networks.
        validation: On other whole networks; ``None`` marks the table as unvalidated.
        created_at_utc: ISO 8601.
        uncertainty: Of predictions, beside the table's own noise.
        draws: The table drawn anew, rows in the order of ``entries``; ``None`` where only the entries are known.
        filled_in: Entries that were predicted and not measured.
        origin: Where it comes from that was not built here; ``None`` for one that was.
    """

    def __init__(
        self,
        *,
        lut_id: str,
        space: str,
        device: DeviceInfo,
        dtype: Dtype,
        batch: int,
        settings: Mapping[str, Any],
        entries: Mapping[Segment, LutEntry],
        calibration: Calibration,
        validation: Validation | None,
        created_at_utc: str,
        uncertainty: Uncertainty | None = None,
        draws: TableDraws | None = None,
        filled_in: frozenset[Segment] = frozenset(),
        origin: Origin | None = None,
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
        self.uncertainty = uncertainty or _uncertainty_by(validation)
        self.draws = draws
        self.filled_in = filled_in
        self.origin = origin
        self._block_params: dict[Segment, int] = {}
        self._populations: dict[SearchSpace, GenomeLatencies] = {}

    @property
    def device_key(self) -> str:
        """The device that it speaks of."""
        return self.device.device_key

    def marks(self) -> list[str]:
        """Return what must be said wherever the table is shown or used; nothing of one built here and validated."""
        return marks_of(self.device.is_simulated, self.validation is not None, self.origin)

    def device_differences(self, device: DeviceInfo) -> dict[str, tuple[object, object]]:
        """Return what keeps the table from speaking of a device: field -> the table's value and the device's."""
        theirs, ours = device.to_json(), self.device.to_json()
        names = ("kind", "model", "runtime", "runtime_version", "runner_sha256", "delegate", "threads", "cpu_mask")
        return {name: (ours[name], theirs[name]) for name in names if ours[name] != theirs[name]}

    def require_fit(
        self, device: DeviceInfo, dtype: Dtype = "float32", batch: int = 1, *, allow_foreign: bool = False
    ) -> None:
        """Check that the table may be used for a device.

        Args:
            device: The device.
            dtype: Of the networks.
            batch: Of the networks.
            allow_foreign: Pass over the device; whoever asks so must mark what comes of it.

        Raises:
            LutError: ``LUT03``: another device, runtime, dtype or batch; the message names the fields.
        """
        fields = {} if allow_foreign else self.device_differences(device)
        differing = [f"{name}: table {own!r}, device {other!r}" for name, (own, other) in fields.items()]
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

    def missing(self, segments: Sequence[Segment]) -> list[str]:
        """Return what the table lacks of some segments, in words."""
        return [segment.label() for segment in segments if segment not in self.entries]

    def require(self, segments: Sequence[Segment]) -> None:
        """Check that the table has an entry of each segment.

        Raises:
            LutError: ``LUT02``: entries are missing; the message names them.
        """
        missing = self.missing(segments)
        if missing:
            raise LutError(
                "LUT02",
                f"latency table {self.lut_id} lacks {len(missing)} entries of what it was asked for",
                value="; ".join(missing[:5]),
                why=f"it covers {self.space}; a missing entry is never taken as zero",
                fix="build a table of the space that the network is from, or fill them in: --missing interpolate",
            )

    def parts(self, architecture: Architecture) -> tuple[float, int]:
        """Return the weighted sum of a network's entries in milliseconds, and its blocks' parameters.

        Raises:
            LutError: ``LUT02``: entries are missing; the message names them.
        """
        segments = segments_of(architecture)
        self.require(segments)
        return sum(map(self._weighted_ms, segments)), sum(map(self.params, segments))

    def plain_sum_ms(self, architecture: Architecture) -> float:
        """Return the sum of a network's entries as they stand, in milliseconds.

        Raises:
            LutError: ``LUT02``: entries are missing; the message names them.
        """
        segments = segments_of(architecture)
        self.require(segments)
        return sum(self.entries[one].latency_ms for one in segments)

    def _weighted_ms(self, segment: Segment) -> float:
        return self.entries[segment].latency_ms * self.calibration.weight(segment)

    def params(self, segment: Segment) -> int:
        """Return the parameters that the calibration prices; remembered, since counting walks the layers."""
        if segment not in self._block_params:
            self._block_params[segment] = block_params(segment)
        return self._block_params[segment]

    def cost_ms(self, segment: Segment) -> float:
        """Return what a segment adds to a network's calibrated latency, in milliseconds.

        Raises:
            LutError: ``LUT02``: the segment is missing.
        """
        self.require([segment])
        return self.calibration.apply(self._weighted_ms(segment), self.params(segment)) - self.calibration.intercept_ms

    def estimate(self, architectures: Sequence[Architecture], *, missing: Missing = "refuse") -> list[LatencyEstimate]:
        """Return one estimate for each architecture, in order.

        Args:
            architectures: Networks.
            missing: ``interpolate``: entries that are missing are predicted from those that are there; an estimate says
                of how many that holds.

        Raises:
            LutError: ``LUT02``: entries are missing.
        """
        networks = [segments_of(architecture) for architecture in architectures]
        if missing == "interpolate":
            lacking = dict.fromkeys(one for segments in networks for one in segments if one not in self.entries)
            if lacking:
                return self.filled(list(lacking)).estimate(architectures)
        return [self._estimate(segments) for segments in networks]

    def _estimate(self, segments: Sequence[Segment]) -> LatencyEstimate:
        self.require(segments)
        ms = self.calibration.apply(sum(map(self._weighted_ms, segments)), sum(map(self.params, segments)))
        variance = ms**2 * self.uncertainty.variance
        if self.draws is not None:
            rows = [self._rows[one] for one in segments]
            own = float(np.var(self.drawn_costs_ms[rows].sum(axis=0) + self.draws.intercepts_ms))
            variance += self.uncertainty.drawn * own
        filled = sum(one in self.filled_in for one in segments)
        return LatencyEstimate(ms, float(np.sqrt(variance)), "predicted" if filled else "lut", filled)

    def over(self, space: SearchSpace) -> GenomeLatencies:
        """Return the table's latencies of a space's genomes, vectorised; made at the first call and kept."""
        if space not in self._populations:
            self._populations[space] = GenomeLatencies(self, space)
        return self._populations[space]

    def estimate_genomes(self, space: SearchSpace, genomes: Any) -> FloatArray:
        """Return the latency of each genome in milliseconds, shape (genomes,).

        Args:
            space: The space that the genomes are of.
            genomes: Integers, shape (genomes, genes).

        Raises:
            LutError: ``LUT02``: entries are missing.
            SpaceError: ``SPC02``: not genomes of the space.
        """
        return self.over(space).ms(genomes)

    def filled(self, segments: Sequence[Segment]) -> LatencyTable:
        """Return a table that has these segments, too, predicted by `latency.filling` from those that were measured."""
        from latency.filling import fill_in

        return fill_in(self, segments) if segments else self

    def completed(self, segments: Sequence[Segment]) -> LatencyTable:
        """Return a table in which each of these segments has an entry, those that are missing by `filled`."""
        return self.filled([segment for segment in segments if segment not in self.entries])

    @cached_property
    def _rows(self) -> dict[Segment, int]:
        return {segment: row for row, segment in enumerate(self.entries)}

    @cached_property
    def drawn_costs_ms(self) -> FloatArray:
        """What each entry adds in each draw, without the intercept, shape (entries, draws); the table has draws."""
        assert self.draws is not None
        params = np.array([self.params(one) for one in self.entries], dtype=np.float64)
        return self.draws.costs_ms(params, np.array([self.calibration.weight(one) for one in self.entries]))


def _uncertainty_by(validation: Validation | None) -> Uncertainty:
    """Return what can be said without the whole networks' rows: as validated, else a cautious tenth."""
    return Uncertainty(validation.relative_sd, 0.0, validation.networks) if validation else Uncertainty()


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
    return _table_of(rows[0], store.query("SELECT * FROM lut_entry WHERE lut_id = ?", (rows[0]["lut_id"],)))


def _table_of(row: Any, entry_rows: Sequence[Any]) -> LatencyTable:
    entries = {
        segment_from_json(json.loads(entry["segment_json"])): LutEntry(
            entry["latency_ms"], entry["low_ms"], entry["high_ms"], entry["samples"], entry["verdict"]
        )
        for entry in entry_rows
    }
    origin = _origin(row["origin_json"])
    validation, uncertainty, drawn = row["validation_json"], row["uncertainty_json"], row["calibration_draws"]
    return _kind_of(origin)(
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
        uncertainty=Uncertainty(**json.loads(uncertainty)) if uncertainty else None,
        draws=PackedDraws(tuple(entry["draws"] for entry in entry_rows), drawn).unpack() if drawn else None,
        origin=origin,
    )


def _origin(origin_json: str | None) -> Origin | None:
    return Origin.from_json(json.loads(origin_json)) if origin_json else None


def _kind_of(origin: Origin | None) -> type[LatencyTable]:
    """Return the class of a table: where stems and heads came in pieces, one that adds them up."""
    if origin is None:
        return LatencyTable
    from latency.importers.piecewise import LAYOUTS, PiecewiseTable

    return LatencyTable if origin.layouts.isdisjoint(LAYOUTS) else PiecewiseTable


def list_tables(store: Store) -> list[dict[str, Any]]:
    """Return id, date, status, space, device, number of entries and origin in words of every table, newest first."""
    rows = store.query(
        "SELECT lut.*, (SELECT count(*) FROM lut_entry e WHERE e.lut_id = lut.lut_id) AS entries "
        "FROM lut ORDER BY created_at_utc DESC, lut_id"
    )
    return [{**dict(row), "origin": o.text() if (o := _origin(row["origin_json"])) else "built here"} for row in rows]
