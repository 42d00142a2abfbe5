"""``mnas lut diff`` and ``mnas lut merge``: several tables."""

from __future__ import annotations

from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.cli.options import FileOption, FormatOption, OutOption, QuietOption, output_folder
from mnas.cli.output import Format, Result, emit, say

if TYPE_CHECKING:
    from latency.diff import Comparison, TableDiff
    from latency.merge import Merged
    from latency.table import LatencyTable

_COLUMNS = (
    "role",
    "operator",
    "kernel",
    "SE",
    "stride",
    "segments",
    "ratio",
    "spread",
    "least",
    "greatest",
    "Spearman",
    "Kendall tau",
)
_SHOWN = 5


def diff(
    first: Annotated[str, typer.Argument(help="Id of a table, or its beginning.")],
    second: Annotated[str, typer.Argument(help="Id of another table, or its beginning.")],
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
) -> None:
    """Compare two tables, of two devices say: the ratio for each kind of operator, and whether they rank alike."""
    from latency.diff import diff_tables
    from latency.schema import LATENCY
    from latency.table import load_table
    from mnas.store import FILE_NAME, Store

    with Store(output_folder(out) / FILE_NAME, (LATENCY,), must_exist=True) as store:
        tables = load_table(store, first), load_table(store, second)
    emit(_diff_result(*tables, diff_tables(*tables)), output_format, output)


def _cells(found: Comparison) -> list[object]:
    numbers = (found.ratio, found.spread, found.least, found.greatest)
    ranks = (found.spearman, found.kendall_tau)
    rounded = [None if rank is None else round(rank, 4) for rank in ranks]
    return [found.segments, *(round(number, 4) for number in numbers), *rounded]


def _name(table: LatencyTable) -> str:
    info = table.device
    name = f"{table.lut_id} ({info.model}, {info.runtime} {info.runtime_version}".rstrip() + ")"
    return f"SIMULATED {name}" if info.is_simulated else name


def _diff_result(first: LatencyTable, second: LatencyTable, found: TableDiff) -> Result:
    rows: list[list[object]] = [
        [k.role, k.op, k.kernel_size, "yes" if k.has_se else "no", k.stride, *_cells(comparison)]
        for k, comparison in found.kinds.items()
    ]
    rows.append(["all", "", None, "", None, *_cells(found.whole)])
    notes = [
        "ratio: geometric mean of second over first, of entries as they stand, without calibration",
        "spread: the factor of one standard deviation around it; 1 is the same ratio for every segment",
    ]
    for name, labels in (
        (f"only in {first.lut_id}", found.only_first),
        (f"only in {second.lut_id}", found.only_second),
        ("in both, but not positive", found.not_positive),
    ):
        if labels:
            more = "" if len(labels) <= _SHOWN else f"; and {len(labels) - _SHOWN} more"
            notes.append(f"{name}: {len(labels)} segments: {'; '.join(labels[:_SHOWN])}{more}")
    notes += [f"{table.lut_id}: {mark}" for table in (first, second) for mark in table.marks()]
    return Result(_COLUMNS, rows, _diff_document(first, second, found), f"{_name(second)} over {_name(first)}", notes)


def _diff_document(first: LatencyTable, second: LatencyTable, found: TableDiff) -> dict[str, object]:
    about = [
        {"lut_id": t.lut_id, "space": t.space, "device": t.device.to_json(), "device_key": t.device_key}
        | {"marks": t.marks()}
        for t in (first, second)
    ]
    return {
        "first": about[0],
        "second": about[1],
        "kinds": [{**asdict(kind), **asdict(comparison)} for kind, comparison in found.kinds.items()],
        "whole": asdict(found.whole),
        "segments": [
            {"segment": p.segment.label(), "first_ms": p.first_ms, "second_ms": p.second_ms, "ratio": p.ratio}
            for p in found.pairs
        ],
        "only_first": list(found.only_first),
        "only_second": list(found.only_second),
        "not_positive": list(found.not_positive),
    }


def merge(
    lut_ids: Annotated[list[str], typer.Argument(help="Ids of two or more tables of one device.")],
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Make one table of several of one device, with the segments of all; the tables themselves stay."""
    from latency.merge import merge_tables
    from latency.schema import LATENCY
    from latency.table import load_table
    from mnas.store import FILE_NAME, Store

    folder = output_folder(out)
    with Store(folder / FILE_NAME, (LATENCY,), must_exist=True) as store:
        tables = [load_table(store, lut_id) for lut_id in lut_ids]
        merged = merge_tables(store, tables)
    emit(_merge_result(tables, merged), output_format, output)
    for warning in merged.warnings:
        say(f"warning: {warning}")
    say(f"next: mnas lut show {merged.table.lut_id} --out {quote(str(folder))}", quiet=quiet)


def _merge_result(tables: list[LatencyTable], merged: Merged) -> Result:
    columns = ("table", "what", "entries", "calibration", "validated")
    rows: list[list[object]] = [
        [t.lut_id, t.space, len(t.entries), t.calibration.formula(), "yes" if t.validation else "NO"]
        for t in (*tables, merged.table)
    ]
    table = merged.table
    document = {
        "lut_id": table.lut_id,
        "space": table.space,
        "device_key": table.device_key,
        "entries": len(table.entries),
        "shared": merged.shared,
        "calibration": table.calibration.to_json(),
        "validation": table.validation.to_json() if table.validation else None,
        "origin": table.origin.to_json() if table.origin else None,
        "warnings": list(merged.warnings),
    }
    notes = [f"{merged.shared} segments were in more than one table"]
    return Result(columns, rows, document, f"merged latency table {table.lut_id} (the last row)", notes)


def register(app: typer.Typer) -> None:
    """Add the commands to ``mnas lut``."""
    app.command("diff")(diff)
    app.command("merge")(merge)
