"""``mnas data``: the data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mnas.cli.options import FileOption, FormatOption
from mnas.cli.output import Format, Result, emit

app = typer.Typer(help="Look at data sets.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Look at data sets."""


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="fashion or digits.")],
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Folder that holds the files.")] = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
) -> None:
    """Find a data set, check it and show its splits."""
    from search.data.dataset import SPLITS
    from search.data.registry import open_dataset

    dataset = open_dataset(name, data_dir)
    rows: list[list[object]] = [
        [
            split,
            dataset.size(split),
            *dataset.labels[dataset.indices(split)].bincount(minlength=dataset.classes).tolist(),
        ]
        for split in SPLITS
    ]
    title = f"{name}: {len(dataset.labels)} images, {dataset.classes} classes, fingerprint {dataset.fingerprint[:12]}"
    emit(Result(("split", "images", *dataset.class_names), rows, title=title), output_format, output)
