"""``mnas study optuna``: a study into a storage of Optuna, to be looked at with its tools."""

from __future__ import annotations

from typing import Annotated

import typer

from mnas.cli.options import FileOption, FormatOption, OutOption, QuietOption, output_folder
from mnas.cli.output import Format, Result, emit, say

_FILE = "optuna.sqlite3"


def optuna(
    study_id: Annotated[str, typer.Argument(help="Id of a study, or its beginning; the newest without.")] = "",
    storage: Annotated[
        str, typer.Option("--storage", help=f"URL; else sqlite:///{_FILE} in the output folder.", show_default=False)
    ] = "",
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Copy a study into a storage of Optuna; again, it adds what was found since. Needs the package optuna."""
    from mnas.store import FILE_NAME, Store
    from search.adapters.optuna_storage import copy_to_optuna
    from search.schema import SEARCH

    folder = output_folder(out)
    url = storage or f"sqlite:///{(folder / _FILE).absolute()}"
    with Store(folder / FILE_NAME, (SEARCH,), must_exist=True) as store:
        copied = copy_to_optuna(store, study_id, url)
    columns = ("study_id", "added", "trials", "storage")
    emit(Result(columns, [[copied.study_id, copied.added, copied.trials, url]]), output_format, output)
    say(f"next: optuna-dashboard {url}", quiet=quiet)
