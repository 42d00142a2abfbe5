"""``mnas study``: what was searched into an output folder."""

from __future__ import annotations

from typing import Annotated

import typer

from mnas.cli import study_run
from mnas.cli.options import FileOption, FormatOption, OutOption, output_folder
from mnas.cli.output import Format, Result, emit

app = typer.Typer(help="List, show, compare and export studies; run some on a table of networks.", no_args_is_help=True)
app.command("run")(study_run.run)


@app.command("list")
def list_studies(out: OutOption = None, output_format: FormatOption = Format.table, output: FileOption = None) -> None:
    """List the studies of the output folder, newest first: running, interrupted, finished or refused."""
    from mnas.cli.study_list import list_result
    from mnas.store import FILE_NAME, Store
    from search.schema import SEARCH

    with Store(output_folder(out) / FILE_NAME, (SEARCH,), must_exist=True) as store:
        emit(list_result(store), output_format, output)


@app.command()
def show(
    study_id: Annotated[str, typer.Argument(help="Id of a study, or its beginning; the newest without.")] = "",
    candidates: Annotated[bool, typer.Option("--candidates", help="Every candidate instead of the front.")] = False,
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
) -> None:
    """Show the front of a study, or all its candidates with the reasons of those that failed."""
    from mnas.cli.study_view import front_result, study_document
    from search.result import load_result
    from search.study import open_store

    with open_store(output_folder(out), must_exist=True) as store:
        result = load_result(store, study_id)
    if not candidates:
        emit(front_result(result), output_format, output)
        return
    columns = ("number", "network", "generation", "predicted ms", "rank-val error", "reward", "status", "reason")
    rows = [
        [c.number, c.arch_id[:12], c.generation, c.predicted_ms, c.error, c.reward, c.status, c.reason]
        for c in result.candidates
    ]
    emit(Result(columns, rows, study_document(result), result.study_id), output_format, output)
