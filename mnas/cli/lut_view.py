"""Latency tables as rows: all of them, one with its entries, and how good one is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mnas.cli.number_format import percent
from mnas.cli.output import Result

if TYPE_CHECKING:
    from latency.additivity import Additivity
    from latency.coverage import Coverage
    from latency.drift import Drift
    from latency.revalidate import Revalidation
    from latency.table import LatencyTable
    from latency.validation import Validation
    from mnas.store import Store

UNVALIDATED = "UNVALIDATED"
ERRORS = (("table", "the table"), ("plain_sum", "plain sum"), ("constant", "constant"), ("macs_linear", "MACs-linear"))
"""Predictions that a validation judges, and what they are called."""


def tables_result(store: Store) -> Result:
    """Return every table of a store, newest first."""
    import json

    from latency.lock import builders
    from latency.table import list_tables

    columns = ("lut_id", "created_at_utc", "status", "space", "entries", "dtype", "batch")
    rows: list[list[object]] = []
    at_work = builders(store)
    for row in list_tables(store):
        holder = at_work.get(row["identity"]) if row["status"] == "building" else None
        how_good = None
        if row["status"] == "ready":
            found = json.loads(row["validation_json"]) if row["validation_json"] else None
            how_good = f"MAPE {percent(found['table']['mape'])}" if found else UNVALIDATED
        by = f" (process {holder.rsplit(':', 2)[1]})" if holder else ""
        rest = (*(row[name] for name in columns[3:]), how_good, row["origin"])
        rows.append([*(row[name] for name in columns[:2]), row["status"] + by, *rest])
    return Result((*columns, "error", "origin"), rows, title="latency tables")


def non_monotone_rows(table: LatencyTable) -> list[str]:
    """Return the entries that fall where they should rise, in words."""
    from latency.monotone import non_monotone

    return [one.text() for one in non_monotone(table)]


def error_text(table: LatencyTable) -> str:
    """Return how good a table is, in a few words."""
    if table.validation is None:
        return f"{UNVALIDATED}: do not rely on it"
    errors, judged_on = table.validation.table, table.validation.judged_on(table.calibration.networks)
    return f"MAPE {errors.mape:.2%}, bias {errors.bias:+.2%}, tau {errors.kendall_tau:.3f} {judged_on}"


def title_of(table: LatencyTable) -> str:
    """Return what a table is of, and how good, in one line."""
    info = table.device
    simulated = "SIMULATED " if info.is_simulated else ""
    device = f"{info.model}, {info.runtime} {info.runtime_version}"
    origin = f", {table.origin.text()}" if table.origin else ""
    return f"{simulated}{table.lut_id}: {table.space} on {device}, {error_text(table)}{origin}"


def coverage_text(coverage: Coverage | None, table: LatencyTable) -> str:
    """Return what of its space a table covers, in one line."""
    if coverage is None:
        return f"{len(table.entries)} entries; the space {table.space} is not known here, so coverage is not either"
    foreign = f", {coverage.foreign} entries of no use to it" if coverage.foreign else ""
    share = percent(coverage.present / coverage.reached) if coverage.reached else "nothing"
    text = (
        f"coverage: {coverage.present} of the {coverage.reached} segments that {table.space} reaches ({share}){foreign}"
    )
    lacking = [
        f"{one.stage} at {one.resolution_px} px: {one.present} of {one.reached}"
        for one in coverage.stages
        if one.present < one.reached
    ]
    return "; ".join([text, *lacking[:5], *([f"and {len(lacking) - 5} more"] if len(lacking) > 5 else [])])


def consistency_notes(consistency: Mapping[str, Any] | None) -> list[str]:
    """Return how the devices that shared a table agree; nothing for one device."""
    if consistency is None:
        return []
    devices = ", ".join(
        f"{one['device_id']} {one['ratio'] - 1:+.1%}"
        if one["ratio"] is not None
        else f"{one['device_id']} not compared"
        for one in consistency["devices"]
    )
    return [f"devices: {consistency['verdict']}; against the others: {devices}", *consistency["reasons"]]


def entries_result(
    table: LatencyTable, consistency: Mapping[str, Any] | None, additivity: Additivity | None = None
) -> Result:
    """Return the entries of a table, and what is to be known of it."""
    from latency.coverage import coverage_of, covered_space

    columns = ("segment", "latency_ms", "low_ms", "high_ms", "samples", "verdict")
    rows = [
        [segment.label(), entry.latency_ms, entry.low_ms, entry.high_ms, entry.samples, entry.verdict]
        for segment, entry in sorted(table.entries.items(), key=lambda item: item[0].label())
    ]
    space, falling = covered_space(table), non_monotone_rows(table)
    coverage = coverage_of(table, space) if space else None
    verdicts = Counter(entry.verdict for entry in table.entries.values())
    notes = [
        coverage_text(coverage, table),
        f"prediction = {table.calibration.formula()}; {error_text(table)}",
        *([table.validation.intervals_text()] if table.validation else []),
        *([additivity.sentence()] if additivity else []),
        f"verdicts of the entries: {', '.join(f'{count} {name}' for name, count in verdicts.most_common())}",
        f"entries that fall where they should rise: {len(falling) or 'none'}",
        *falling[:5],
        *consistency_notes(consistency),
    ]
    document = {
        **table_document(table),
        "created_at_utc": table.created_at_utc,
        "settings": table.settings,
        "coverage": coverage.to_json() if coverage else None,
        "verdicts": dict(verdicts),
        "non_monotone": falling,
        "consistency": consistency,
        "additivity": additivity.to_json() if additivity else None,
        "entries": [dict(zip(columns, row, strict=True)) for row in rows],
    }
    return Result(columns, rows, document, title_of(table), notes)


def table_document(table: LatencyTable) -> dict[str, Any]:
    """Return what every document on a table says of it."""
    return {
        "lut_id": table.lut_id,
        "space": table.space,
        "device": table.device.to_json(),
        "device_key": table.device_key,
        "dtype": table.dtype,
        "batch": table.batch,
        "calibration": table.calibration.to_json(),
        "is_validated": table.validation is not None,
        "validation": table.validation.to_json() if table.validation else None,
        "origin": table.origin.to_json() if table.origin else None,
    }


def validation_result(
    table: LatencyTable,
    validation: Validation | None,
    *,
    notes: list[str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Result:
    """Return a validation as rows: each prediction's errors.

    Args:
        table: The table.
        validation: As it was built, or as of now.
        notes: More to be known.
        more: More for the document.
    """
    columns = ("prediction", "MAPE %", "RMSE ms", "within 5 %", "within 10 %", "bias %", "Kendall tau", "Spearman")
    rows: list[list[object]] = []
    for name, label in ERRORS if validation else ():
        e = getattr(validation, name)
        shares = [100 * e.mape, e.rmse_ms, 100 * e.within_5, 100 * e.within_10, 100 * e.bias]
        rows.append([label, *(round(value, 4) for value in shares), round(e.kendall_tau, 4), round(e.spearman, 4)])
    all_notes = [
        f"{len(table.entries)} entries; prediction = {table.calibration.formula()}",
        f"validated {validation.judged_on(table.calibration.networks)}"
        if validation
        else f"{UNVALIDATED}: do not rely on it",
        *([validation.intervals_text()] if validation else []),
        *(notes or []),
    ]
    document = {
        **table_document(table),
        "entries": len(table.entries),
        "is_validated": validation is not None,
        "validation": validation.to_json() if validation else None,
        **(more or {}),
    }
    simulated = "SIMULATED " if table.device.is_simulated else ""
    return Result(columns, rows, document, f"{simulated}latency table {table.lut_id} of {table.space}", all_notes)


def revalidation_result(table: LatencyTable, found: Revalidation, drift: Drift) -> Result:
    """Return what networks that were measured now say of a table, and how far its device has drifted."""
    level = sorted(drift.references.items())
    notes = [
        f"drift since it was built: {drift.text()}",
        *(
            [f"references now over their nominals then: {', '.join(f'{name} {ratio:.2f}' for name, ratio in level)}"]
            if level
            else []
        ),
    ]
    more = {"intervals": found.to_json(), "drift": drift.to_json()}
    return validation_result(table, found.validation, notes=notes, more=more)
