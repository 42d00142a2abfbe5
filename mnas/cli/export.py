"""``mnas export``: a network as model files, each of which passed the export gate."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnas.cli.export_int8 import COLUMNS, SUFFIX, int8_document, int8_notes, int8_request, int8_row
from mnas.cli.options import FileOption, FormatOption, QuietOption, output_folder
from mnas.cli.output import ConsoleReporter, Format, Result, emit, say

if TYPE_CHECKING:
    from mnas.export.artifact import ModelArtifact
    from mnas.export.calibration_images import ImageSet
    from mnas.export.gate import GateReport
    from mnas.export.gated import GatedModel
    from mnas.export.int8 import Int8Model
    from mnas.export.source import ExportSource

FOLDER = "models"
"""Below the output folder: where files go for which no folder is named."""

_COLUMNS = (
    "format",
    "path",
    "bytes",
    "sha256",
    "difference",
    "moves",
    "operators",
    "transposes",
    "partitions",
)
_SHOWN_DIGITS = 12
_NOTES = (
    "difference: largest of any output against torch, as a share of the outputs' range",
    "moves: how far the outputs of two images differ, as a share of it",
    "partitions: pieces that XNNPACK takes the network in",
)


class Target(StrEnum):
    """Formats of model files."""

    onnx = "onnx"
    tflite = "tflite"
    both = "both"


def export(
    source: Annotated[
        str,
        typer.Argument(help="A named network, an architecture.json or .arch, a weights.pt, or a study's exports."),
    ],
    to: Annotated[Target, typer.Option("--to", help="Formats of the model files.")] = Target.both,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the files; else models/ in $MNAS_OUT or ./mnas-out.", show_default=False),
    ] = None,
    architecture: Annotated[
        Path | None,
        typer.Option("--architecture", help="The architecture.json of the weights, where it is not beside them."),
    ] = None,
    px: Annotated[int | None, typer.Option("--px", min=1, help="Pixels of a named network's input (224).")] = None,
    classes: Annotated[int | None, typer.Option("--classes", min=1, help="Outputs of a named network (1000).")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of random weights and of the gate's images.")] = 0,
    int8: Annotated[bool, typer.Option("--int8", help="Write files of 8-bit integers as well.")] = False,
    calibration: Annotated[
        Path | None, typer.Option("--calibration", help="Folder of images (PNG, JPEG, NPY) for --int8.")
    ] = None,
    mean: Annotated[str, typer.Option("--mean", help="Of these images' pixels in 0..1; else as card.json says.")] = "",
    std: Annotated[str, typer.Option("--std", help="Likewise, e.g. 0.229,0.224,0.225.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Write a network as ONNX and TFLite; a file that does not compute what torch computes is not written.

    Named networks and architectures come with random weights: such files are good for timing and for nothing else.
    """
    from mnas.export.placing import place_models, require_places
    from mnas.export.source import find_source

    reporter = ConsoleReporter(quiet)
    found = find_source(source, architecture, px, classes)
    formats = ("onnx", "tflite") if to is Target.both else (to.value,)
    folder = out or output_folder(None) / FOLDER
    paths = {model_format: folder / f"{found.name}.{model_format}" for model_format in formats}
    request = int8_request(found, calibration, mean, std, is_wanted=int8)
    integer_paths = {one: folder / f"{found.name}{SUFFIX}.{one}" for one in formats if request}
    require_places([*paths.values(), *integer_paths.values()], may_replace=force)
    images = request.images() if request else None
    if found.weights is None:
        reporter.warn(
            f"{source} has RANDOM WEIGHTS (seed {seed}): its files are good for timing, and their outputs mean nothing"
        )
    models = _gated(found, seed, paths)
    integers = request.models(found, seed, images, integer_paths) if request and images is not None else {}
    files = place_models(models, paths, found.architecture, may_replace=force)
    integer_files = place_models(integers, integer_paths, found.architecture, may_replace=force)
    for model_format, model in models.items():
        for warning in model.report.file.warnings:
            reporter.warn(f"{paths[model_format].name}: {warning}")
    reports = {model_format: model.report for model_format, model in models.items()}
    result = _result(found, seed, files, reports)
    if images is not None:
        result = _with_integers(result, integer_files, integers, images)
    emit(result, output_format, output)
    say(f"next: mnas bench {quote(str(next(iter(paths.values()))))}", quiet=quiet)


def _gated(found: ExportSource, seed: int, paths: dict[str, Path]) -> dict[str, GatedModel]:
    """Write the files in memory and have the gate check them, on images that move the network's output."""
    from mnas.export import parity, probes
    from mnas.export.gated import gated_models

    module, shape = found.module(seed), found.architecture.input_shape_chw
    images = probes.probe_images(parity.run_torch(module), shape, seed)
    return gated_models(
        found.architecture,
        module,
        images,
        {model_format: os.fspath(path) for model_format, path in paths.items()},
        preprocessing=found.preprocessing,
        min_moves=parity.MIN_MOVES if found.weights is None else probes.MIN_MOVES,
    )


def _result(found: ExportSource, seed: int, files: dict[str, ModelArtifact], reports: dict[str, GateReport]) -> Result:
    rows = [_row(files[model_format], report) for model_format, report in reports.items()]
    weights = {"random": True, "seed": seed} if found.weights is None else {"random": False, "path": str(found.weights)}
    document = {
        "arch_id": found.architecture.arch_id,
        "weights": weights,
        "preprocessing": found.preprocessing,
        "files": [_file(file, "float32", reports[model_format].to_json()) for model_format, file in files.items()],
    }
    title = f"{found.name}: network {found.architecture.arch_id[:12]}"
    records = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    return Result(_COLUMNS, _shown(records), document, title, _NOTES, records)


def _shown(records: list[dict[str, Any]]) -> list[list[Any]]:
    """Return the rows of the table, which shows of a hash its first digits."""
    return [[cell[:_SHOWN_DIGITS] if name == "sha256" else cell for name, cell in one.items()] for one in records]


def _with_integers(
    result: Result, files: dict[str, ModelArtifact], models: dict[str, Int8Model], images: ImageSet
) -> Result:
    """Add the files of integers, with the columns that compare them."""
    columns = (*result.columns, *COLUMNS)
    rows = [int8_row(files[model_format], model) for model_format, model in models.items()]
    records = [{**one, **dict.fromkeys(COLUMNS)} for one in result.records or ()]
    records += [dict(zip(columns, row, strict=True)) for row in rows]
    document = {**(result.document or {}), "int8": int8_document(images)}
    document["files"] = [
        *document["files"],
        *[_file(files[one], "int8", model.report.to_json()) for one, model in models.items()],
    ]
    return Result(columns, _shown(records), document, result.title, (*result.notes, *int8_notes(images)), records)


def _file(file: ModelArtifact, dtype: str, gate: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": file.format,
        "dtype": dtype,
        "path": str(file.path),
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
        "input_shape": list(file.input_shape),
        "gate": gate,
    }


def _row(file: ModelArtifact, report: GateReport) -> list[Any]:
    found, parity = report.file, report.parity
    return [
        file.format,
        str(file.path),
        file.size_bytes,
        file.sha256,
        None if parity is None else parity.relative_difference,
        None if parity is None else parity.moves,
        sum(found.lint.operators.values()),
        found.lint.transposes,
        None if found.partitions is None else found.partitions.count,
    ]
