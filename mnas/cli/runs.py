"""``mnas runs``: what ``mnas bench`` measured into an output folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.cli.options import FileOption, FormatOption, OutOption, output_folder
from mnas.cli.output import Format, Result, emit

if TYPE_CHECKING:
    from devices.runs import RunRow
    from mnas.store import Store

app = typer.Typer(help="List, show and compare runs of mnas bench.", no_args_is_help=True)
_LABELS = 3
_COLUMNS = ("run", "started (UTC)", "device", "models", "status", "verdict", "first ms")


def _open(out: Path | None) -> Store:
    from devices.runs import RUNS
    from mnas.store import FILE_NAME, Store

    return Store(output_folder(out) / FILE_NAME, (RUNS,), must_exist=True)


@app.command("list")
def list_runs(
    device: Annotated[str, typer.Option("--device", help="Only of device specs or keys that begin so.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 50,
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
) -> None:
    """List the runs of the output folder, newest first."""
    from devices.runs import list_runs as stored_runs
    from mnas.cli.column_fit import terminal_width

    with _open(out) as store:
        found = stored_runs(store, limit + 1, device or None)
    shown = found[:limit]
    notes = [f"there are more; --limit {2 * limit} shows more of them"] if len(found) > limit else []
    emit(_list_result(shown, notes, terminal_width() if output_format is Format.table else None), output_format, output)


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(help="Id of a run, its beginning, or: latest.")] = "latest",
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
) -> None:
    """Show everything that a run measured; as JSON with every raw sample."""
    from devices.runs import load_run
    from mnas.cli.column_fit import terminal_width
    from mnas.cli.run_view import run_result

    with _open(out) as store:
        run = load_run(store, run_id)
    width = terminal_width() if output_format is Format.table else None
    emit(run_result(run, width), output_format, output)


@app.command()
def compare(
    run_ids: Annotated[list[str], typer.Argument(help="Two runs or more; ratios are to the first.", metavar="A B...")],
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
) -> None:
    """Set runs beside each other: latencies, ratios, and what else differs."""
    from devices.comparison import compare_runs
    from devices.runs import load_run
    from mnas.cli.column_fit import terminal_width
    from mnas.cli.run_comparison import comparison_result

    if len(run_ids) < 2:
        raise typer.BadParameter("name two runs or more; mnas runs list has their ids")
    with _open(out) as store:
        runs = [load_run(store, one) for one in run_ids]
    width = terminal_width() if output_format is Format.table else None
    emit(comparison_result(compare_runs(runs), width), output_format, output)


def _list_result(rows: Sequence[RunRow], notes: Sequence[str], width: int | None) -> Result:
    from mnas.cli.column_fit import Column, fitting, left_out

    cells = list(zip(*map(_cells, rows), strict=True)) or [()] * len(_COLUMNS)
    columns = [Column(name, texts) for name, texts in zip(_COLUMNS, cells, strict=True)]
    kept, dropped = fitting(columns, width, ("verdict", "device"), "models", 20, at_end=True)
    records = [row.to_json() for row in rows]
    flat = [{**record, "models": "; ".join(row.models)} for record, row in zip(records, rows, strict=True)]
    return Result(
        [column.name for column in kept],
        list(zip(*(column.cells for column in kept), strict=True)),
        {"runs": records},
        "runs",
        [*notes, *left_out(dropped, width)],
        flat,
    )


def _cells(row: RunRow) -> tuple[str | None, ...]:
    from mnas.cli.number_format import significant

    labels = ", ".join(row.models[:_LABELS])
    more = f" and {len(row.models) - _LABELS} more" if len(row.models) > _LABELS else ""
    first = None if row.latency_ms is None else significant(row.latency_ms, 4)
    when = row.started_at_utc[:16].replace("T", " ")
    status = row.status + (" (simulated)" if row.is_simulated else "")
    return (row.run_id, when, row.device_id, labels + more, status, row.verdict, first)
