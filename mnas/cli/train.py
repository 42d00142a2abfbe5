"""``mnas train``: chosen networks trained to be used, with error bars, and exported."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mnas.cli.options import FileOption, FormatOption, OutOption, PlanOption, QuietOption, output_folder
from mnas.cli.output import ConsoleReporter, Format, Result, emit, say

if TYPE_CHECKING:
    from search.finishing.finish import Finished
    from search.finishing.request import Chosen, FinishRequest
    from search.training.schedule import TrainingSchedule

FOLDER = "trained"
"""Below the output folder."""

_COLUMNS = ("network", "M MACs", "val %", "+-", "test %", "+- ", "best seed's val %", "int8 points", "tied with")
_DISTILL, _TEMPERATURE = 0.5, 4.0


def train(
    networks: Annotated[
        list[str],
        typer.Argument(help="Named networks, architecture.json files, or folders (mnas study export writes one)."),
    ],
    data: Annotated[str, typer.Option("--data", help="fashion, digits, cifar10, cifar100, or a folder ./DIR.")],
    data_dir: Annotated[str | None, typer.Option("--data-dir", help="Folder that holds the data set.")] = None,
    recipe: Annotated[
        Literal["final", "mnasnet"], typer.Option("--recipe", help="As a search trains its finalists, or MnasNet's.")
    ] = "final",
    epochs: Annotated[int, typer.Option("--epochs", min=0, help="0: the recipe's own.")] = 0,
    batch: Annotated[int, typer.Option("--batch", min=0, help="Images of a step; 0: the recipe's own.")] = 0,
    lr: Annotated[float, typer.Option("--lr", min=0, help="Peak learning rate; 0: the recipe's own.")] = 0.0,
    images: Annotated[int, typer.Option("--images", min=0, help="Training images; 0: all.")] = 0,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="Trainings of each network.")] = 3,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything random.")] = 0,
    teacher: Annotated[
        str, typer.Option("--teacher", help="Distil from: supernet:PATH (its largest), an export folder, an .onnx.")
    ] = "",
    distill: Annotated[float, typer.Option("--distill", help=f"Teacher's share of the loss ({_DISTILL}).")] = -1.0,
    temperature: Annotated[
        float, typer.Option("--temperature", help=f"Of its outputs ({_TEMPERATURE:g}).")
    ] = _TEMPERATURE,
    int8: Annotated[bool, typer.Option("--int8", help="Write files of 8-bit integers as well.")] = False,
    px: Annotated[int | None, typer.Option("--px", min=1, help="Pixels of a named network's input (224).")] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")] = "cpu",
    amp: Annotated[bool, typer.Option("--amp", help="Mixed precision, on a GPU.")] = False,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Training processes; 0: one for each core.")] = 0,
    plan: PlanOption = False,
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Train networks from scratch on several seeds, and write each as a folder: weights, ONNX, TFLite, card.

    The same command goes on where it was interrupted. Val chooses the weights; test is only told.
    """
    from devices.long_work import long_work
    from mnas.data_names import canonical_data
    from search.data.registry import data_shape, open_dataset
    from search.executors.processes import ProcessExecutor
    from search.finishing.finish import finish
    from search.finishing.request import FinishRequest, chosen_networks
    from search.training.teacher import open_teacher

    data = canonical_data(data)
    dataset = None if plan else open_dataset(data, Path(data_dir) if data_dir else None)
    chosen = chosen_networks(networks, px, dataset.classes if dataset else data_shape(data).classes)
    schedule = _schedule(data, recipe, epochs, batch, lr)
    schedule = replace(schedule, train_images=images, eval_images=0, device=device, amp=amp)
    schedule = _distilling(schedule, teacher, distill, temperature)
    if dataset is None:
        emit(_plan(chosen, data, schedule, seeds, teacher), output_format, output)
        return
    request = FinishRequest(
        chosen,
        data,
        dataset,
        data_dir,
        schedule,
        seeds,
        seed,
        teacher,
        open_teacher(teacher, dataset).fingerprint if teacher else "",
        int8,
    )
    reporter, folder = ConsoleReporter(quiet), output_folder(out) / FOLDER
    with long_work("mnas train"), ProcessExecutor(workers or os.cpu_count() or 1) as executor:
        finished = finish(request, folder, executor, reporter)
    emit(_result(request, finished), output_format, output)
    say(f"folders: {', '.join(quote(str(one.folder)) for one in finished)}", quiet=quiet)
    say(f"next:    mnas bench {quote(str(finished[0].folder / 'model.tflite'))}", quiet=quiet)


def _schedule(data: str, recipe: str, epochs: int, batch: int, lr: float) -> TrainingSchedule:
    from search.training.schedule import mnasnet_recipe, schedule_for

    found = schedule_for(data, "final")
    found = replace(found, epochs=epochs or found.epochs, batch_size=batch or found.batch_size)
    found = mnasnet_recipe(found) if recipe == "mnasnet" else found
    return replace(found, lr=lr or found.lr)


def _distilling(schedule: TrainingSchedule, teacher: str, distill: float, temperature: float) -> TrainingSchedule:
    from mnas.errors import ConfigError

    is_asked = distill >= 0
    share = distill if is_asked else _DISTILL
    if is_asked and not teacher:
        why = "there is none to learn from"
        raise ConfigError("CFG48", "--distill needs a teacher", value=distill, why=why, fix="add --teacher")
    if not (0 <= share <= 1 and 0 < temperature < float("inf")):
        value, why = {"distill": share, "temperature": temperature}, "a share is from 0 to 1, a temperature above 0"
        raise ConfigError("CFG48", "the distillation is out of range", value=value, why=why, fix="correct it")
    return replace(schedule, distill=share, temperature=temperature) if teacher else schedule


def _plan(networks: tuple[Chosen, ...], data: str, schedule: TrainingSchedule, seeds: int, teacher: str) -> Result:
    """Work out what a training would do; nothing is decoded, fetched or trained."""
    from mnas.counts import total_macs, total_params
    from mnas.layers import layers_of
    from search.data.registry import train_images

    rows: list[list[Any]] = []
    for one in networks:
        layers, (_, px, _) = layers_of(one.architecture), one.architecture.input_shape_chw
        rows.append([one.name, px, total_macs(layers) / 1e6, total_params(layers) / 1e6, seeds])
    count = min(schedule.train_images or 1 << 62, train_images(data))
    notes = [
        f"schedule: {schedule.fidelity}, {schedule.epochs} epochs of about {count} images of {data}",
        f"teacher: {teacher or 'none'}",
    ]
    document = {
        "networks": [dict(zip(("name", "px", "mmacs", "mparams", "trainings"), row, strict=True)) for row in rows],
        "schedule": schedule.to_json(),
        "images": count,
        "teacher": teacher or None,
    }
    shown = [[*row[:2], round(row[2], 3), round(row[3], 3), row[4]] for row in rows]
    return Result(("network", "px", "M MACs", "M params", "trainings"), shown, document, "plan of a training", notes)


def _result(request: FinishRequest, finished: list[Finished]) -> Result:
    from mnas.counts import total_macs
    from mnas.layers import layers_of

    rows, documents = [], []
    for one in finished:
        (val, val_half), (test, test_half) = one.trainings.top1("val"), one.trainings.top1("test")
        best, mmacs = one.trainings.good[one.trainings.best], total_macs(layers_of(one.network.architecture)) / 1e6
        losses = [report.accuracy.loss_points for _, report in one.int8.values()]
        lost = max((loss for loss in losses if loss is not None), default=None)
        numbers = (100 * val, _points(val_half), 100 * test, _points(test_half), 100 * (1 - best.errors["val"]), lost)
        shown = [None if number is None else round(number, 2) for number in numbers]
        rows.append([one.network.name, round(mmacs, 3), *shown, ", ".join(one.tied_with)])
        documents.append(
            {
                "name": one.network.name,
                "arch_id": one.network.architecture.arch_id,
                "macs": round(mmacs * 1e6),
                "val": {"top1": val, "half_width": val_half},
                "test": {"top1": test, "half_width": test_half},
                "errors": {str(repeat): found.errors for repeat, found in one.trainings.good.items()},
                "failures": [found.error_message for found in one.trainings.outcomes.values() if not found.is_ok],
                "exported_repeat": one.trainings.best,
                "int8": {model_format: report.to_json() for model_format, (_, report) in one.int8.items()},
                "int8_refusal": one.int8_refusal or None,
                "ties_with": list(one.tied_with),
                "folder": str(one.folder),
            }
        )
    notes = ["+-: half of the 95 % interval of the mean over the seeds"] if request.seeds > 1 else []
    notes += (
        ["tied with: the seeds cannot tell their val accuracies apart"]
        if any(one.tied_with for one in finished)
        else []
    )
    document = {"schedule": request.schedule.to_json(), "teacher": request.teacher or None, "networks": documents}
    title = f"trained on {request.dataset.name}, {request.seeds} seeds, {request.schedule.fidelity}"
    return Result(_COLUMNS, rows, document, title, notes)


def _points(half: float | None) -> float | None:
    return None if half is None else 100 * half
