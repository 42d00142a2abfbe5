"""``mnas study export``: the best networks of a study into a folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Annotated, Literal

import typer

from mnas.cli.options import FileOption, FormatOption, OutOption, QuietOption, output_folder
from mnas.cli.output import Format, Result, emit, say

_COLUMNS = ("rank", "network", "reward", "top-1 %", "split", "ms", "latency", "within T", "files")


def export(
    study_id: Annotated[str, typer.Argument(help="Id of a study, or its beginning; the newest without.")] = "",
    top: Annotated[int, typer.Option("--top", min=1, help="Networks at most.")] = 5,
    by: Annotated[
        Literal["reward", "accuracy"], typer.Option("--by", help="Reward, or accuracy among those at or below T.")
    ] = "reward",
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder; else top/<study> in the output folder.", show_default=False)
    ] = None,
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Write the best networks of a study: finalists whole, other candidates as architectures without weights."""
    from mnas.cli.study_view import stamped, table_notes, titled
    from search.events import EventLog
    from search.result import load_result
    from search.study import open_store
    from search.study_space import study_space
    from search.top import stamps_of, top_networks, write_top

    source = output_folder(out)
    with open_store(source, must_exist=True) as store:
        result = load_result(store, study_id)
        space = study_space(EventLog(store, result.study_id), result.config)
    found = top_networks(result, top, by)
    folder = to or source / "top" / result.study_id
    write_top(result, found, space, source, folder)
    rows: list[list[object]] = [
        [
            one.rank,
            one.arch_id[:12],
            round(one.reward, 4),
            round(100 * one.top1, 2),
            one.split,
            round(one.ms, 4),
            one.latency_source,
            "yes" if one.is_within_target else "no",
            "all" if one.export else "architecture",
        ]
        for one in found
    ]
    notes = []
    if any(one.export is None for one in found):
        notes.append("architecture: ranked after a short training whose weights were not kept; train it before use")
    notes += [*table_notes(result), *result.notices]
    about = {"study_id": result.study_id, "folder": str(folder), **stamps_of(result)}
    document = {**about, "networks": [asdict(one) for one in found]}
    title, records = titled(result, f"best of {result.study_id} by {by}"), stamped(result, _COLUMNS, rows)
    emit(Result(_COLUMNS, rows, document, title, notes, records), output_format, output)
    say(f"folder:  {quote(str(folder))}", quiet=quiet)
