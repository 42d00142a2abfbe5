"""From measurements to a finished table: differences, calibration, validation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt

from devices.measurement import Measurement
from latency.calibration import Calibration, calibrate
from latency.key import segment_key, segment_to_json
from latency.plan import LutPlan
from latency.probes import Probe, SegmentProbes
from latency.table import LutEntry, block_params
from latency.validation import MeasuredNetworks, validate
from mnas.counts import total_macs
from mnas.errors import LutError
from mnas.jsonio import canonical_json
from mnas.layers import layers_of
from mnas.segments import Segment, segments_of
from mnas.space import Genome
from mnas.store import Store

Measured = Mapping[Probe | Genome, Measurement]


def _entry(parts: SegmentProbes, measured: Measured) -> LutEntry | None:
    """Return ``main - sum(edges) / 2`` with the interval of the difference, or ``None`` where a part has no number."""
    shares: dict[Probe, float] = {parts.main: 1.0}
    for edge in parts.edges:  # both edges may be one and the same probe, and then err alike
        shares[edge] = shares.get(edge, 0.0) - 0.5
    latency, variance, verdict = 0.0, 0.0, "ok"
    for probe, share in shares.items():
        measurement = measured[probe]
        if measurement.latency_ms is None or measurement.interval_ms is None:
            return None
        low, high = measurement.interval_ms
        latency += share * measurement.latency_ms
        variance += (share * (high - low) / 2) ** 2
        verdict = measurement.verdict if verdict == "ok" else verdict
    half = sqrt(variance)
    return LutEntry(latency, latency - half, latency + half, len(measured[parts.main].samples_ms), verdict)


def _entries(plan: LutPlan, measured: Measured) -> dict[Segment, LutEntry]:
    entries, failed = {}, []
    for segment, parts in plan.segments.items():
        entry = _entry(parts, measured)
        if entry is None:
            reasons = [reason for probe in (parts.main, *parts.edges) for reason in measured[probe].reasons]
            failed.append(f"{segment.label()} ({'; '.join(reasons)})")
        else:
            entries[segment] = entry
    if failed:
        raise LutError(
            "LUT05",
            f"{len(failed)} of {len(plan.segments)} segments could not be measured",
            value="; ".join(failed[:3]),
            why="a missing entry is never taken as zero",
            fix="run the same command again: it tries these alone",
        )
    return entries


@dataclass(frozen=True, slots=True)
class _NetworkRow:
    """A whole network that was measured; the fields are the columns of ``lut_network``."""

    arch_id: str
    purpose: str
    genome_json: str
    macs: int
    block_params: int
    sum_ms: float
    measured_ms: float
    low_ms: float
    high_ms: float


def _networks(plan: LutPlan, measured: Measured, entries: Mapping[Segment, LutEntry]) -> list[_NetworkRow]:
    rows = []
    for genome, purpose in plan.networks.items():
        measurement, architecture = measured[genome], plan.space.decode(genome)
        if measurement.latency_ms is None or measurement.interval_ms is None:
            continue
        rows.append(
            _NetworkRow(
                arch_id=architecture.arch_id,
                purpose=purpose,
                genome_json=json.dumps(list(genome)),
                macs=total_macs(layers_of(architecture)),
                block_params=sum(block_params(segment) for segment in segments_of(architecture)),
                sum_ms=sum(entries[segment].latency_ms for segment in segments_of(architecture)),
                measured_ms=measurement.latency_ms,
                low_ms=measurement.interval_ms[0],
                high_ms=measurement.interval_ms[1],
            )
        )
    return rows


def _columns(rows: Sequence[_NetworkRow], purpose: str, calibration: Calibration) -> MeasuredNetworks:
    chosen = [row for row in rows if row.purpose == purpose]
    return MeasuredNetworks(
        sums_ms=[row.sum_ms for row in chosen],
        predicted_ms=[calibration.apply(row.sum_ms, row.block_params) for row in chosen],
        macs=[row.macs for row in chosen],
        measured_ms=[row.measured_ms for row in chosen],
    )


def _entry_row(lut_id: str, segment: Segment, entry: LutEntry) -> tuple[object, ...]:
    """Return the columns of ``lut_entry``."""
    key, text = segment_key(segment), canonical_json(segment_to_json(segment))
    return (lut_id, key, text, entry.latency_ms, entry.low_ms, entry.high_ms, entry.samples, entry.verdict)


def finish_table(store: Store, lut_id: str, plan: LutPlan, measured: Measured) -> None:
    """Work out entries, calibration and validation, and mark the table as ready, all in one transaction.

    A table that is ready by then stays as it is.

    Raises:
        LutError: ``LUT05`` segments without a number, ``LUT06`` a calibration that is none.
    """
    entries = _entries(plan, measured)
    rows = _networks(plan, measured, entries)
    fitting = [row for row in rows if row.purpose == "calibration"]
    fastest = segments_of(plan.space.decode(plan.space.cheapest(lambda segment: entries[segment].latency_ms)))
    calibration = calibrate(
        [row.sum_ms for row in fitting],
        [row.block_params for row in fitting],
        [row.measured_ms for row in fitting],
        fastest=(sum(entries[s].latency_ms for s in fastest), sum(block_params(s) for s in fastest)),
    )
    fitted, held_out = (_columns(rows, purpose, calibration) for purpose in ("calibration", "validation"))
    validation = validate(fitted, held_out) if len(fitted.sums_ms) > 1 and len(held_out.sums_ms) > 1 else None
    with store.transaction() as sql:
        if sql.execute("SELECT status FROM lut WHERE lut_id = ?", (lut_id,)).fetchone()["status"] == "ready":
            return  # another process was first, and studies may rest on what it wrote
        sql.executemany(
            "INSERT INTO lut_entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [_entry_row(lut_id, segment, entry) for segment, entry in entries.items()],
        )
        sql.executemany(
            "INSERT INTO lut_network VALUES (:lut_id, :arch_id, :purpose, :genome_json, :macs, "
            ":block_params, :sum_ms, :measured_ms, :low_ms, :high_ms)",
            [{"lut_id": lut_id, **asdict(row)} for row in rows],
        )
        sql.execute(
            "UPDATE lut SET status = 'ready', calibration_json = ?, validation_json = ? WHERE lut_id = ?",
            (
                canonical_json(calibration.to_json()),
                canonical_json(validation.to_json()) if validation else None,
                lut_id,
            ),
        )
