"""From measurements to a finished table: differences, calibration, validation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import sqrt

import numpy as np

from latency.calibration import Calibration, calibrate, sums_by_resolution
from latency.draws import table_draws
from latency.estimator import LatencyEstimate
from latency.key import segment_key, segment_to_json
from latency.plan import LutPlan
from latency.probes import Probe, SegmentProbes
from latency.records import Measured
from latency.saving import MeasuredNetwork
from latency.table import LutEntry, block_params
from latency.uncertainty import TableDraws, Uncertainty, uncertainty_of
from latency.validation import MeasuredNetworks, Validation, validate
from mnas.counts import total_macs
from mnas.errors import LutError
from mnas.jsonio import canonical_json
from mnas.layers import layers_of
from mnas.segments import Segment, segments_of
from mnas.space import Genome
from mnas.store import Store

_Z95 = 1.96
_PURPOSES = ("calibration", "validation")

Found = Mapping[Probe | Genome, Measured]


def _entry(parts: SegmentProbes, measured: Found) -> LutEntry | None:
    """Return ``main - sum(edges) / 2`` with the interval of the difference, or ``None`` where a part has no number."""
    latency, drawn, verdict = 0.0, np.zeros(1), "ok"
    for probe, share in ((parts.main, 1.0), *((edge, -0.5) for edge in parts.edges)):
        found = measured[probe].measurement
        if found.latency_ms is None or found.interval_ms is None:
            return None
        latency += share * found.latency_ms
        drawn = drawn + share * measured[probe].draws_ms
        verdict = found.verdict if verdict == "ok" else verdict
    half = _Z95 * float(np.nanstd(drawn))
    samples = len(measured[parts.main].measurement.samples_ms)
    return LutEntry(latency, latency - half, latency + half, samples, verdict)


def _entries(plan: LutPlan, measured: Found) -> dict[Segment, LutEntry]:
    entries, failed = {}, []
    for segment, parts in plan.segments.items():
        entry = _entry(parts, measured)
        if entry is None:
            reasons = [reason for probe in (parts.main, *parts.edges) for reason in measured[probe].measurement.reasons]
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


def _networks(plan: LutPlan, measured: Found, entries: Mapping[Segment, LutEntry]) -> list[MeasuredNetwork]:
    rows = []
    for genome, purpose in plan.networks.items():
        measurement, architecture = measured[genome].measurement, plan.space.decode(genome)
        if measurement.latency_ms is None or measurement.interval_ms is None:
            continue
        rows.append(
            MeasuredNetwork(
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


def _segments(plan: LutPlan, row: MeasuredNetwork) -> tuple[Segment, ...]:
    return segments_of(plan.space.decode(tuple(json.loads(row.genome_json))))


def _calibrated(
    plan: LutPlan,
    entries: Mapping[Segment, LutEntry],
    rows: Sequence[MeasuredNetwork],
    purposes: tuple[str, ...] = _PURPOSES,
) -> tuple[Calibration, list[MeasuredNetwork]]:
    """Return the calibration on the networks of some purposes, and all networks with their sums as it weighs them."""
    plain = {segment: entry.latency_ms for segment, entry in entries.items()}
    fitting = [row for row in rows if row.purpose in purposes]
    fastest = segments_of(plan.space.decode(plan.space.cheapest(lambda segment: plain[segment])))
    calibration = calibrate(
        [sums_by_resolution(_segments(plan, row), plain) for row in fitting],
        [row.block_params for row in fitting],
        [row.measured_ms for row in fitting],
        fastest=(sum(plain[one] for one in fastest), sum(block_params(one) for one in fastest)),
    )
    weighted = {segment: ms * calibration.weight(segment) for segment, ms in plain.items()}
    return calibration, [replace(row, sum_ms=sum(weighted[one] for one in _segments(plan, row))) for row in rows]


def _columns(
    plan: LutPlan,
    entries: Mapping[Segment, LutEntry],
    rows: Sequence[MeasuredNetwork],
    purpose: str,
    calibration: Calibration,
) -> MeasuredNetworks:
    chosen = [row for row in rows if row.purpose == purpose]
    return MeasuredNetworks(
        sums_ms=[sum(entries[one].latency_ms for one in _segments(plan, row)) for row in chosen],
        predicted_ms=[calibration.apply(row.sum_ms, row.block_params) for row in chosen],
        macs=[row.macs for row in chosen],
        measured_ms=[row.measured_ms for row in chosen],
    )


def _draws(plan: LutPlan, measured: Found, rows: Sequence[MeasuredNetwork], calibration: Calibration) -> TableDraws:
    genomes = [tuple(json.loads(row.genome_json)) for row in rows]
    networks = [
        (_segments(plan, row), row.block_params, measured[genome].draws_ms)
        for row, genome in zip(rows, genomes, strict=True)
    ]
    drawn = {probe: measured[probe].draws_ms for probe in plan.probes}
    return table_draws(plan.segments, drawn, networks, calibration)


def _uncertainty(
    plan: LutPlan, rows: Sequence[MeasuredNetwork], calibration: Calibration, draws: TableDraws
) -> Uncertainty:
    """Judge by the validation networks, and by those of the calibration as cross-validation saw them.

    Args:
        plan: Of the table.
        rows: Networks with their sums as ``calibration`` weighs them.
        calibration: On the calibration networks alone.
        draws: Of the table.
    """
    errors, variances = [], []
    for row, (predicted, variance) in zip(rows, _predictions(plan, rows, calibration, draws), strict=True):
        is_fitted = row.purpose == "calibration"
        errors.append(calibration.cv_error if is_fitted else predicted / row.measured_ms - 1)
        variances.append(variance / predicted**2)
    return uncertainty_of(errors, variances)


def _predictions(
    plan: LutPlan, rows: Sequence[MeasuredNetwork], calibration: Calibration, draws: TableDraws
) -> list[tuple[float, float]]:
    """Return each network's prediction, milliseconds, and its variance over the draws, square milliseconds."""
    order = {segment: row for row, segment in enumerate(plan.segments)}
    params = np.array([block_params(segment) for segment in plan.segments], dtype=np.float64)
    costs = draws.costs_ms(params, np.array([calibration.weight(segment) for segment in plan.segments]))
    found = []
    for row in rows:
        drawn = costs[[order[one] for one in _segments(plan, row)]].sum(axis=0) + draws.intercepts_ms
        found.append((calibration.apply(row.sum_ms, row.block_params), float(np.var(drawn))))
    return found


def _held_out_intervals(
    plan: LutPlan, measured: Found, rows: Sequence[MeasuredNetwork], calibration: Calibration
) -> list[tuple[float, float]]:
    """Return 95 % intervals of the validation networks, by what is known without them.

    Args:
        plan: Of the table.
        measured: Of its networks.
        rows: Networks with their sums as ``calibration`` weighs them.
        calibration: On the calibration networks alone.
    """
    fitted, held_out = ([row for row in rows if row.purpose == purpose] for purpose in _PURPOSES)
    draws = _draws(plan, measured, fitted, calibration)
    known = _uncertainty(plan, fitted, calibration, draws)
    estimates = [
        LatencyEstimate(ms, sqrt(ms**2 * known.variance + known.drawn * variance), "lut")
        for ms, variance in _predictions(plan, held_out, calibration, draws)
    ]
    return [(one.low_ms, one.high_ms) for one in estimates]


def _entry_row(lut_id: str, segment: Segment, entry: LutEntry, draws: bytes) -> tuple[object, ...]:
    """Return the columns of ``lut_entry``."""
    key, text = segment_key(segment), canonical_json(segment_to_json(segment))
    return (lut_id, key, text, entry.latency_ms, entry.low_ms, entry.high_ms, entry.samples, entry.verdict, draws)


@dataclass(frozen=True, slots=True)
class _Finished:
    """What is worked out of a build's measurements."""

    entries: dict[Segment, LutEntry]
    networks: list[MeasuredNetwork]
    calibration: Calibration
    validation: Validation | None
    uncertainty: Uncertainty
    draws: TableDraws


def _finished(plan: LutPlan, measured: Found) -> _Finished:
    entries = _entries(plan, measured)
    networks = _networks(plan, measured, entries)
    # Judged is a calibration that has not seen the validation networks; the one in use has seen both.
    first, seen = _calibrated(plan, entries, networks, _PURPOSES[:1])
    fitted, held_out = (_columns(plan, entries, seen, purpose, first) for purpose in _PURPOSES)
    validation = None
    if len(fitted.sums_ms) > 1 and len(held_out.sums_ms) > 1:
        intervals_ms = _held_out_intervals(plan, measured, seen, first)
        validation = validate(fitted, replace(held_out, intervals_ms=intervals_ms))
    calibration, rows = _calibrated(plan, entries, networks) if validation else (first, seen)
    draws = _draws(plan, measured, rows, calibration)
    return _Finished(entries, rows, calibration, validation, _uncertainty(plan, seen, first, draws), draws)


def finish_table(store: Store, lut_id: str, plan: LutPlan, measured: Found) -> None:
    """Work out entries, calibration and validation, and mark the table as ready, all in one transaction.

    A table that is ready by then stays as it is.

    Raises:
        LutError: ``LUT05`` segments without a number, ``LUT06`` a calibration that is none.
    """
    found = _finished(plan, measured)
    packed = found.draws.pack()
    with store.transaction() as sql:
        if sql.execute("SELECT status FROM lut WHERE lut_id = ?", (lut_id,)).fetchone()["status"] == "ready":
            return  # another process was first, and studies may rest on what it wrote
        sql.executemany(
            "INSERT INTO lut_entry (lut_id, key, segment_json, latency_ms, low_ms, high_ms, samples, verdict, draws) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                _entry_row(lut_id, segment, entry, drawn)
                for (segment, entry), drawn in zip(found.entries.items(), packed.entries, strict=True)
            ],
        )
        sql.executemany(
            "INSERT INTO lut_network VALUES (:lut_id, :arch_id, :purpose, :genome_json, :macs, "
            ":block_params, :sum_ms, :measured_ms, :low_ms, :high_ms)",
            [{"lut_id": lut_id, **asdict(row)} for row in found.networks],
        )
        sql.execute(
            "UPDATE lut SET status = 'ready', calibration_json = ?, validation_json = ?, uncertainty_json = ?, "
            "calibration_draws = ? WHERE lut_id = ?",
            (
                canonical_json(found.calibration.to_json()),
                canonical_json(found.validation.to_json()) if found.validation else None,
                canonical_json(found.uncertainty.to_json()),
                packed.calibrations,
                lut_id,
            ),
        )
