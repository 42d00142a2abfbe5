"""``mnas data``: the data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnas.cli.options import FileOption, FormatOption
from mnas.cli.output import Format, Result, emit

if TYPE_CHECKING:
    from search.data.dataset import Dataset

app = typer.Typer(help="Look at data sets.", no_args_is_help=True)
_MOST_COLUMNS, _LISTED = 12, 20


@app.callback()
def _group() -> None:
    """Look at data sets."""


@app.command()
def check(
    name: Annotated[
        str, typer.Argument(help="fashion, digits, cifar10, cifar100, or a folder of images by class: ./DIR, ./DIR@64.")
    ],
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Folder that holds the files.")] = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
) -> None:
    """Find a data set, check it, and show its splits, its images and the spaces that fit it.

    Exit status 6 when networks cannot be trained on it.
    """
    from mnas.data_names import is_image_folder
    from mnas.errors import ConfigError
    from search.data.registry import DATASET_NAMES, open_dataset

    if data_dir is not None and is_image_folder(name):
        why = "a folder of images is named by its path alone"
        raise ConfigError("CFG01", "--data-dir goes with a data set of a name", value=name, why=why, fix="leave it out")
    # A folder needs no separator here, where nothing but a data set can be meant.
    is_folder = name not in DATASET_NAMES and not is_image_folder(name) and Path(name.partition("@")[0]).is_dir()
    dataset = open_dataset(f"./{name}" if is_folder else name, data_dir)
    emit(_checked(dataset), output_format, output)


def _checked(dataset: Dataset) -> Result:
    """Return what is told of a data set: images by split and class, files, spaces."""
    from search.data.dataset import SPLITS

    counts = {
        split: dataset.labels[dataset.indices(split)].bincount(minlength=dataset.classes).tolist() for split in SPLITS
    }
    is_wide = dataset.classes > _MOST_COLUMNS
    columns = ("fewest", "most") if is_wide else dataset.class_names
    shown = {split: [min(row), max(row)] if is_wide else row for split, row in counts.items()}
    rows: list[list[object]] = [[split, sum(counts[split]), *shown[split]] for split in SPLITS]
    px = dataset.images_u8.shape[2]
    document: dict[str, Any] = {
        "name": dataset.name,
        "images": len(dataset.labels),
        "classes": list(dataset.class_names),
        "channels": dataset.channels,
        "px": px,
        "fingerprint": dataset.fingerprint,
        "splits": {split: dict(zip(dataset.class_names, row, strict=True)) for split, row in counts.items()},
        "files": dataset.facts,
        "spaces": _fitting_spaces(dataset),
        "rows": [dict(zip(("split", "images", *columns), row, strict=True)) for row in rows],
    }
    title = (
        f"{dataset.name}: {len(dataset.labels)} images of {px} px and {dataset.channels} channels, {dataset.classes} "
        f"classes, fingerprint {dataset.fingerprint[:12]}"
    )
    return Result(("split", "images", *columns), rows, document, title, _notes(dataset, document))


def _fitting_spaces(dataset: Dataset) -> list[dict[str, str]]:
    from mnas.spaces.presets import FAMILIES, fitted_preset

    px = int(dataset.images_u8.shape[2])
    # A folder may be called like a data set of ours.
    name = "" if dataset.facts else dataset.name
    return [
        {"space": family, "preset": fitted_preset(family, name, dataset.channels, dataset.classes, px)}
        for family in FAMILIES
    ]


def _notes(dataset: Dataset, document: dict[str, Any]) -> list[str]:
    notes = []
    for key, title in (("modes", "modes of the files"), ("sizes", "sizes")):
        if found := dataset.facts.get(key):
            notes.append(f"{title}: " + ", ".join(f"{name} {count}" for name, count in found.items()))
    if corrupt := dataset.facts.get("corrupt"):
        notes.append(dataset.left_out)
        notes += [f"  {path}: {why}" for path, why in list(corrupt.items())[:_LISTED]]
        notes += [f"  and {len(corrupt) - _LISTED} more"] if len(corrupt) > _LISTED else []
    fitting = ", ".join(f"--space {one['space']} --preset {one['preset']}" for one in document["spaces"])
    notes.append(f"spaces that fit: {fitting}")
    points = 100 * (0.1 * 0.9 / max(dataset.size("rank-val"), 1)) ** 0.5
    notes.append(f"an accuracy of 90 % on rank-val has a standard error of {points:.1f} points by the draw of images")
    return notes
