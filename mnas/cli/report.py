"""``mnas report``: a study as one HTML page."""

from __future__ import annotations

from typing import Annotated

import typer

from mnas.cli.options import OutOption, output_folder


def report(
    study_id: Annotated[str, typer.Argument(help="Id of a study, or its beginning; the newest without.")] = "",
    out: OutOption = None,
) -> None:
    """Write the report of a study as one self-contained HTML file and print its path."""
    from mnas.cli.study_report import write_report
    from search.result import load_result
    from search.study import open_store

    folder = output_folder(out)
    with open_store(folder, must_exist=True) as store:
        page = write_report(store, load_result(store, study_id), folder)
    typer.echo(page)
