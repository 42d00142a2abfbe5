"""Several tables of one device made into one: the union of their entries, calibrated and validated anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from latency.merged_draws import draws_of, uncertainty_by
from latency.merged_entries import do_meet, mean_of, shares_of
from latency.merged_networks import Judgement, judge
from latency.merged_spaces import names_of
from latency.origin import Origin, Source
from latency.saving import networks_of, save_table
from latency.table import LatencyTable, LutEntry
from mnas.errors import LutError
from mnas.segments import Segment
from mnas.store import Store, utc_now

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge gave.

    Attributes:
        table: As it is in the store now.
        shared: Segments that more than one table had.
        warnings: What a reader of its numbers must know.
    """

    table: LatencyTable
    shared: int
    warnings: tuple[str, ...]


def merge_tables(store: Store, tables: Sequence[LatencyTable]) -> Merged:
    """Merge tables of the store and keep the result there; the tables themselves stay as they are.

    Equal segments become their mean, weighted by the inverse squares of their intervals' widths. Where the intervals
    do not meet, the mean keeps the hull of them as its interval and is marked ``drifted``. Whole networks are pooled;
    `latency.merged_networks` says when the result counts as validated.

    Args:
        store: Opened with latency's component.
        tables: Two or more, of the store.

    Raises:
        LutError: ``LUT35``: fewer than two different tables, or their metadata disagree; the message names the fields.
    """
    _require_alike(tables)
    shares, warnings = shares_of(tables), _device_warnings(tables)
    entries = {segment: mean_of(own) for segment, own in shares.items()}
    shared = [segment for segment, own in shares.items() if len(own) > 1]
    if apart := [segment for segment in shared if not do_meet(shares[segment])]:
        shown = ", ".join(segment.label() for segment in apart[:_SHOWN])
        warnings.append(
            f"{len(apart)} of {len(shared)} shared segments differ beyond their intervals, now marked drifted: {shown}"
        )
    networks = {table.lut_id: networks_of(store, table.lut_id) for table in tables}
    judgement = judge(tables, networks, entries)
    saved = save_table(store, _table(tables, entries, judgement), judgement.networks)
    return Merged(saved, len(shared), (*warnings, *judgement.warnings))


def _require_alike(tables: Sequence[LatencyTable]) -> None:
    first, differing = tables[0], [] if len(tables) > 1 else ["one table alone"]
    families = [{(t.lut_id, t.created_at_utc), *(t.origin.ancestors if t.origin else ())} for t in tables]
    for (one, family), (other, others) in combinations(zip(tables, families, strict=True), 2):
        if twice := family & others:
            differing.append(
                f"{one.lut_id} and {other.lut_id} both hold {', '.join(sorted(name for name, _ in twice))}"
            )
    for other in tables[1:]:
        pairs = (
            ("dtype", first.dtype, other.dtype),
            ("batch", first.batch, other.batch),
            ("mode", first.settings.get("mode"), other.settings.get("mode")),
            ("is_simulated", first.device.is_simulated, other.device.is_simulated),
            *((name, *values) for name, values in first.device_differences(other.device).items()),
        )
        differing += [f"{name}: {first.lut_id} {a!r}, {other.lut_id} {b!r}" for name, a, b in pairs if a != b]
    if differing:
        raise LutError(
            "LUT35",
            "these tables cannot be merged",
            value="; ".join(dict.fromkeys(differing)),
            why="entries add up only where all were measured on one device in one way, and each table counts once",
            fix="merge two or more different tables that agree in these fields; compare others with: mnas lut diff",
        )


def _device_warnings(tables: Sequence[LatencyTable]) -> list[str]:
    warnings = []
    for name in ("device_id", "os_build"):
        values = dict.fromkeys(str(getattr(table.device, name)) for table in tables)
        if len(values) > 1:
            warnings.append(f"the tables differ in {name}: {', '.join(values)}")
    return warnings


def _table(tables: Sequence[LatencyTable], entries: dict[Segment, LutEntry], judgement: Judgement) -> LatencyTable:
    first, others = tables[0], tables[1:]
    spaces = dict.fromkeys(name for table in tables for name in names_of(table))
    sources = tuple(Source(t.lut_id, t.space, t.created_at_utc, len(t.entries), t.origin) for t in tables)
    draws = draws_of(tables, judgement)
    common = {
        name: value
        for name, value in first.settings.items()
        if all(name in other.settings and other.settings[name] == value for other in others)
    }
    return LatencyTable(
        lut_id="",
        space=" + ".join(spaces),
        device=first.device,
        dtype=first.dtype,
        batch=first.batch,
        settings=common | judgement.space_setting,
        entries=entries,
        calibration=judgement.calibration,
        validation=judgement.validation,
        created_at_utc=(now := utc_now()),
        uncertainty=uncertainty_by(draws, entries, judgement) if draws and judgement.validation else None,
        draws=draws,
        origin=Origin("merged", now, sources=sources),
    )
