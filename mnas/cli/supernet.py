"""``mnas supernet``: one set of weights for every network of a space, as an estimator of their accuracies."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.cli.options import FileOption, FormatOption, OutOption, PlanOption, QuietOption, output_folder
from mnas.cli.output import ConsoleReporter, Format, Result, emit, say
from mnas.cli.supernet_extract import extract

if TYPE_CHECKING:
    from search.supernet.checkpoint import Checkpoint
    from search.supernet.run import SupernetRequest

app = typer.Typer(help="Train and show supernets, and take networks out of them.", no_args_is_help=True)
app.command()(extract)


@app.command()
def train(
    space: Annotated[str, typer.Option("--space", help="Family of the space, or your own .toml file.")] = "mobilenetv3",
    preset: Annotated[
        str | None, typer.Option("--preset", help="Preset of the space (default: like the data).", show_default=False)
    ] = None,
    data: Annotated[str, typer.Option("--data", help="Data set.")] = "fashion",
    data_dir: Annotated[str | None, typer.Option("--data-dir", help="Folder that holds the data set.")] = None,
    out: OutOption = None,
    minutes: Annotated[float, typer.Option("--minutes", help="Stop after so many; --resume goes on.")] = float("inf"),
    resume: Annotated[
        str | None, typer.Option("--resume", help="Go on with the supernet of the output folder.", show_default=False)
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=0, help="Passes over the images; 0: the data's own.")] = 0,
    rule: Annotated[str, typer.Option("--rule", help="sandwich or single-path.")] = "sandwich",
    progressive: Annotated[bool, typer.Option("--progressive", help="From the largest network downwards.")] = False,
    batch: Annotated[int, typer.Option("--batch", min=0, help="Images at once in a process; 0: the data's own.")] = 0,
    accumulate: Annotated[int, typer.Option("--accumulate", min=1, help="Batches of a step.")] = 1,
    lr: Annotated[float, typer.Option("--lr", min=0, help="Peak learning rate; 0: the data's own.")] = 0.0,
    clip_norm: Annotated[
        float | None, typer.Option("--clip-norm", min=0, help="Longest gradient of a step; 0: any.", show_default="5")
    ] = None,
    ema: Annotated[
        float, typer.Option("--ema", min=0, max=0.99999, help="Decay of the weights' average, which is kept; 0: none.")
    ] = 0.0,
    flip: Annotated[bool, typer.Option("--flip", help="Mirror half of the images.")] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that train together.")] = 1,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    amp: Annotated[bool, typer.Option("--amp", help="Mixed precision, on a GPU.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything random.")] = 0,
    plan: PlanOption = False,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Train a supernet; interrupted and resumed it comes to the same weights."""
    from dataclasses import replace

    from devices.long_work import long_work
    from mnas.data_names import canonical_data
    from mnas.errors import ConfigError
    from search.data.registry import data_shape
    from search.fitting import AUTO, fitting_space
    from search.supernet.run import SupernetRequest
    from search.supernet.schedule import supernet_schedule

    if resume:
        why = "a folder has one supernet"
        raise ConfigError("CFG46", "--resume takes no name here", value=resume, why=why, fix="leave it out")
    data = canonical_data(data)
    _, fitting = fitting_space(space, AUTO if preset is None else preset, data, data_shape(data))
    schedule = supernet_schedule(
        data, epochs=epochs, rule=rule, progressive=progressive, batch_size=batch, lr=lr, clip_norm=clip_norm
    )
    schedule = replace(schedule, accumulate=accumulate, ema_decay=ema, flip=flip, amp=amp)
    folder = output_folder(out)
    request = SupernetRequest(
        fitting, data, data_dir, schedule, seed, folder, minutes, resume is not None, workers, device
    )
    if plan:
        emit(_plan(request), output_format, output)
        return
    with long_work("mnas supernet train"):
        found = _trained(request, quiet)
    emit(_described(found), output_format, output)
    say(f"supernet: {request.path}", quiet=quiet)
    if found.is_finished:
        say(f'next:     accuracy = "supernet:{request.path}" in a study.toml', quiet=quiet)
    else:
        say(f"next:     the same command with --resume --out {quote(str(folder))}", quiet=quiet)


def _trained(request: SupernetRequest, quiet: bool) -> Checkpoint:
    """Train; of several processes that torchrun started, all but the first end here and say nothing."""
    from mnas.errors import MnasError
    from search.supernet.parallel import is_first
    from search.supernet.run import train_supernet

    reporter = ConsoleReporter(quiet or not is_first())
    try:
        found = train_supernet(
            request, lambda done, steps: reporter.progress("training the supernet", done, steps), reporter.warn
        )
    except MnasError as error:
        if is_first():
            raise
        raise typer.Exit(error.exit_code) from error
    if not is_first():
        raise typer.Exit
    return found


@app.command()
def show(
    path: Annotated[Path | None, typer.Argument(help="The file, or its folder; the output folder without.")] = None,
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
) -> None:
    """Show what a supernet is of, how far it is trained, and its fidelity."""
    from search.supernet.checkpoint import read_checkpoint

    emit(_described(read_checkpoint(path or output_folder(out))), output_format, output)


def _described(checkpoint: Checkpoint) -> Result:
    description = checkpoint.description
    document = {
        "schema_version": 1,
        "sha256": checkpoint.sha256,
        "space": description.definition.name,
        "data": description.dataset,
        "fingerprint": description.fingerprint,
        "step": checkpoint.step,
        "steps": checkpoint.steps,
        "cost_cpu_s": round(checkpoint.cost_s, 1),
        "parameters": sum(tensor.numel() for tensor in checkpoint.weights.values()),
        "processes": description.processes,
        "seed": str(description.seed),
        "schedule": description.schedule.to_json(),
        "history": [list(row) for row in checkpoint.history],
    }
    rows: list[list[object]] = [
        [name.replace("_", " "), value]
        for name, value in list(document.items())[1:]
        if not isinstance(value, dict | list)
    ]
    rows += [[f"schedule: {name}", value] for name, value in description.schedule.to_json().items() if name != "phases"]
    rows += [
        [f"phase {number}", f"{100 * phase.share:.0f} % of the steps: {', '.join(phase.elastic)}"]
        for number, phase in enumerate(description.schedule.phases)
    ]
    if checkpoint.history:
        step, largest, mean = checkpoint.history[-1]
        rows.append([f"losses at step {step}", f"{largest:.3f} largest, {mean:.3f} mean"])
    return Result(("what", "value"), rows, document, title="supernet")


_MS_PER_IMAGE, _MS_PER_IMAGE_AND_MMAC = 0.1, 0.25
"""Of one network in training on one core of a 2025 server CPU; other machines differ by their speed."""


def _plan(request: SupernetRequest) -> Result:
    """Work out what a training would do; nothing is decoded, fetched or trained."""
    import numpy as np

    from mnas.counts import total_macs
    from search.supernet.network import Supernet
    from search.supernet.shapes import walk_of

    schedule, space, rng = request.schedule, request.space, np.random.default_rng(0)
    ends = [space.decode(genome) for genome in space.extremes()]
    drawn = [space.decode(space.draw(rng)) for _ in range(50)]
    mmacs = [total_macs(walk_of(one).layers) / 1e6 for one in (*ends, *drawn)]
    mean = _MS_PER_IMAGE + _MS_PER_IMAGE_AND_MMAC * float(np.mean(mmacs[2:]))
    ms, networks = mean, 1
    if schedule.rule == "sandwich":
        networks = 2 + schedule.random_networks
        ms = sum(_MS_PER_IMAGE + _MS_PER_IMAGE_AND_MMAC * end for end in mmacs[:2]) + schedule.random_networks * mean
    document = {
        "schema_version": 1,
        "networks_in_the_space": str(space.size()),
        "parameters": sum(parameter.numel() for parameter in Supernet(space).parameters()),
        "epochs": schedule.epochs,
        "networks_of_a_step": networks,
        "ms_per_image": round(ms, 3),
        "estimated_minutes_per_10000_images_and_epoch": round(ms / 6 / request.processes, 2),
    }
    rows: list[list[object]] = [[name.replace("_", " "), value] for name, value in list(document.items())[1:]]
    return Result(("what", "value"), rows, document, title=f"plan of a supernet of {space.name}")
