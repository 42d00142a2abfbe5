"""``mnas report``: a study as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mnas.cli.options import OutOption, output_folder
from mnas.cli.output import say


def report(
    study_id: Annotated[str, typer.Argument(help="Id of a study, or its beginning; the newest without.")] = "",
    is_opened: Annotated[bool, typer.Option("--open", help="Open the page in a browser as well.")] = False,
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
    if is_opened and not open_page(page):
        say(f"no browser could be opened here; open the file yourself: {page.absolute().as_uri()}")


def open_page(page: Path) -> bool:
    """Open a file in the user's browser and tell whether one was found that takes it."""
    import webbrowser

    try:
        return webbrowser.open(page.absolute().as_uri())
    except (webbrowser.Error, OSError):  # none is known, or the one that is known does not start
        return False
