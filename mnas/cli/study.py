"""``mnas study``: what was searched into an output folder."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from mnas.cli import study_optuna, study_run, study_top
from mnas.cli.options import FileOption, FormatOption, OutOption, QuietOption, output_folder
from mnas.cli.output import Format, emit, say

app = typer.Typer(help="List, show, compare and export studies; run some on a table of networks.", no_args_is_help=True)
app.command("run")(study_run.run)
app.command("export")(study_top.export)
app.command("optuna")(study_optuna.optuna)


@app.command("list")
def list_studies(out: OutOption = None, output_format: FormatOption = Format.table, output: FileOption = None) -> None:
    """List the studies of the output folder, newest first: running, interrupted, finished or refused."""
    from mnas.cli.study_list import list_result
    from mnas.store import FILE_NAME, Store
    from search.schema import SEARCH

    with Store(output_folder(out) / FILE_NAME, (SEARCH,), must_exist=True) as store:
        emit(list_result(store), output_format, output)


@app.command()
def compare(
    study_ids: Annotated[
        list[str] | None, typer.Argument(help="Studies; without, all finished ones on what the newest is on.")
    ] = None,
    at: Annotated[int | None, typer.Option("--at", min=1, help="Judge after so many evaluations.")] = None,
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Set methods beside each other: hypervolume over evaluations, intervals over seeds, p-values; and a page of it."""
    from mnas.cli.study_comparison import comparison_result, write_comparison
    from mnas.store import FILE_NAME, Store
    from search.comparison import compare as compare_curves
    from search.schema import SEARCH
    from search.study_curves import read_curves

    folder = output_folder(out)
    with Store(folder / FILE_NAME, (SEARCH,), must_exist=True) as store:
        found = compare_curves(read_curves(store, study_ids or ()), at)
    emit(comparison_result(found), output_format, output)
    say(f"page:    {write_comparison(found, folder)}", quiet=quiet)


@app.command()
def show(
    study_id: Annotated[str, typer.Argument(help="Id of a study, or its beginning; the newest without.")] = "",
    candidates: Annotated[bool, typer.Option("--candidates", help="Every candidate instead of the front.")] = False,
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
) -> None:
    """Show the front of a study, or all its candidates with the reasons of those that failed."""
    from mnas.cli.study_list import status_text
    from mnas.cli.study_view import candidates_result, front_result
    from search.result import load_result, study_row
    from search.study import open_store

    with open_store(output_folder(out), must_exist=True) as store:
        row = study_row(store, study_id)
        if row["kind"] == "table":
            from mnas.cli.study_table_view import tabular_result
            from search.tabular_result import load_tabular

            shown = tabular_result(load_tabular(store, row), status_text(row), every=candidates)
        else:
            result = replace(load_result(store, row["study_id"]), status=status_text(row))
            shown = candidates_result(result) if candidates else front_result(result)
    emit(shown, output_format, output)
