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
    main, edges = measured[parts.main], [measured[edge] for edge in parts.edges]
    values = [(m.latency_ms, m.interval_ms) for m in (main, *edges)]
    if any(latency is None or interval is None for latency, interval in values):
        return None
    numbers = [(latency, (interval[1] - interval[0]) / 2) for latency, interval in values if latency and interval]
    latency = numbers[0][0] - sum(ms for ms, _ in numbers[1:]) / 2
    half = sqrt(numbers[0][1] ** 2 + sum((width / 2) ** 2 for _, width in numbers[1:]))
    verdict = next((m.verdict for m in (main, *edges) if m.verdict != "ok"), "ok")
    return LutEntry(latency, latency - half, latency + half, len(main.samples_ms), verdict)


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


def finish_table(store: Store, lut_id: str, plan: LutPlan, measured: Measured) -> None:
    """Work out entries, calibration and validation, and mark the table as ready, all in one transaction.

    Raises:
        LutError: ``LUT05`` segments without a number, ``LUT06`` a calibration that is none.
    """
    entries = _entries(plan, measured)
    rows = _networks(plan, measured, entries)
    fitting = [row for row in rows if row.purpose == "calibration"]
    calibration = calibrate(
        [row.sum_ms for row in fitting], [row.block_params for row in fitting], [row.measured_ms for row in fitting]
    )
    fitted, held_out = (_columns(rows, purpose, calibration) for purpose in ("calibration", "validation"))
    validation = validate(fitted, held_out) if len(fitted.sums_ms) > 1 and len(held_out.sums_ms) > 1 else None
    with store.transaction() as sql:
        sql.executemany(
            "INSERT OR REPLACE INTO lut_entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    lut_id,
                    segment_key(segment),
                    canonical_json(segment_to_json(segment)),
                    entry.latency_ms,
                    entry.low_ms,
                    entry.high_ms,
                    entry.samples,
                    entry.verdict,
                )
                for segment, entry in entries.items()
            ],
        )
        sql.executemany(
            "INSERT OR REPLACE INTO lut_network VALUES (:lut_id, :arch_id, :purpose, :genome_json, :macs, "
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
