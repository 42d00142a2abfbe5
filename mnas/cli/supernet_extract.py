"""``mnas supernet extract``: one network of a supernet as a folder of its own."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.cli.options import FileOption, FormatOption, OutOption, QuietOption, output_folder
from mnas.cli.output import Format, Result, emit, say

if TYPE_CHECKING:
    from mnas.architecture import Architecture
    from search.supernet.checkpoint import Checkpoint

FOLDER = "subnets"
_ENDS = ("smallest", "largest")


def extract(
    path: Annotated[Path, typer.Argument(help="The supernet's file, or its folder.")],
    network: Annotated[
        str, typer.Argument(help="An architecture.json or .arch, the text form, or smallest or largest of the space.")
    ],
    data: Annotated[str, typer.Option("--data", help="Data set that it was trained on; else by its name.")] = "",
    data_dir: Annotated[str | None, typer.Option("--data-dir", help="Folder that holds the data set.")] = None,
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Write a network with its share of the weights, norms calibrated: architecture, weights, ONNX, TFLite, card."""
    from search.data.registry import open_dataset
    from search.supernet.checkpoint import read_checkpoint
    from search.supernet.subnet import subnet_of, write_subnet

    checkpoint = read_checkpoint(path)
    dataset = open_dataset(data or checkpoint.description.dataset, Path(data_dir) if data_dir else None)
    found = subnet_of(checkpoint, _architecture(checkpoint, network), dataset)
    folder = write_subnet(found, dataset, output_folder(out) / FOLDER)
    document = {
        "schema_version": 1,
        "arch_id": found.architecture.arch_id,
        "supernet_sha256": found.supernet_sha256,
        "val_error": found.evaluation.error,
        "val_loss": found.evaluation.loss,
        "val_images": found.evaluation.images,
        "folder": str(folder),
    }
    rows: list[list[object]] = [[name.replace("_", " "), value] for name, value in list(document.items())[1:]]
    notes = [] if checkpoint.is_finished else ["the supernet's training is not finished"]
    emit(Result(("what", "value"), rows, document, "subnet", notes), output_format, output)
    say(f"next: mnas bench {quote(str(folder / 'model.tflite'))}", quiet=quiet)


def _architecture(checkpoint: Checkpoint, network: str) -> Architecture:
    from mnas.reading import read_architecture
    from mnas.spaces.staged import StagedSpace

    if network not in _ENDS:
        return read_architecture(network)
    space = StagedSpace(checkpoint.description.definition)
    return space.decode(space.extremes()[_ENDS.index(network)])
