"""``mnas accuracy``: how far estimates of accuracy can be trusted."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from mnas.cli.options import FileOption, FormatOption, OutOption, PlanOption, QuietOption, output_folder
from mnas.cli.output import ConsoleReporter, Format, Result, emit, say

app = typer.Typer(help="Judge estimates of accuracy.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Judge estimates of accuracy."""


@app.command()
def audit(
    data: Annotated[str, typer.Option("--data", help="Data set, as of mnas search.")] = "auto",
    data_dir: Annotated[str, typer.Option("--data-dir", help="Folder that holds it.")] = "",
    space: Annotated[str, typer.Option("--space", help="Family of the space, or a .toml file.")] = "mobilenetv3",
    preset: Annotated[str, typer.Option("--preset", help="Preset of the space.")] = "auto",
    training: Annotated[str, typer.Option("--training", help="normal or small, as of mnas search.")] = "normal",
    networks: Annotated[int, typer.Option("--networks", min=6, max=10_000, help="Networks trained.")] = 24,
    seeds: Annotated[int, typer.Option("--seeds", min=2, max=20, help="Trainings of each.")] = 2,
    estimator: Annotated[
        list[str] | None,
        typer.Option("--estimator", help="Estimator to judge; repeatable. Default: proxy and all zero-cost scores."),
    ] = None,
    accuracy_cmd: Annotated[str, typer.Option("--accuracy-cmd", help="Your trainer, to judge it as well.")] = "",
    accuracy_timeout: Annotated[float, typer.Option("--accuracy-timeout", help="Seconds for one network.")] = 3600.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the sample and of all training.")] = 0,
    minutes: Annotated[
        float, typer.Option("--minutes", min=0, help="Stop after so many, go on the next time; 0: never.")
    ] = 0.0,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Training processes; 0: one for each core.")] = 0,
    plan: PlanOption = False,
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Train a sample of networks on several seeds, and see how well estimators rank them, beside params and MACs.

    The same command goes on where it was; more networks, seeds or estimators add to what is there.
    """
    from devices.long_work import long_work
    from mnas.cli.audit_table import audit_result
    from mnas.config import make_config
    from search.accuracy.audit import DEFAULT_ESTIMATORS, Audit
    from search.executors.processes import ProcessExecutor
    from search.resolve import resolve
    from search.study import open_store

    keys: dict[str, Any] = {"data": data, "data_dir": data_dir, "space": space, "preset": preset, "seed": seed}
    command = {"accuracy_cmd": accuracy_cmd, "accuracy_timeout": accuracy_timeout} if accuracy_cmd else {}
    reporter = ConsoleReporter(quiet)
    config = resolve(make_config({**keys, "training": training, **command}), reporter)
    names = tuple(estimator or DEFAULT_ESTIMATORS) + (("command",) if accuracy_cmd else ())
    found = Audit(config, *_space_and_data(config), networks, seeds, tuple(dict.fromkeys(names)))
    if plan:
        emit(_plan(found), output_format, output)
        return
    end = time.monotonic() + 60 * minutes if minutes else float("inf")
    folder = output_folder(out)
    workers = workers or os.cpu_count() or 1
    with long_work("mnas accuracy audit"), ProcessExecutor(workers) as executor, open_store(folder) as store:
        reporter.line(f"{found.audit_id} in {folder}; if interrupted, the same command goes on")
        verdict = found.run(store, executor, reporter, lambda: time.monotonic() > end, workers)
    if verdict is None:
        say("time is over and what was done is kept: the same command goes on", quiet=quiet)
        raise typer.Exit(5)
    emit(audit_result(verdict), output_format, output)


def _space_and_data(config: Any) -> tuple[Any, Any]:
    from mnas.spaces.presets import chosen_space
    from search.data.registry import open_dataset

    folder = Path(config.data_dir) if config.data_dir else None
    return chosen_space(config.space, config.preset), open_dataset(config.data, folder)


def _plan(found: Any) -> Result:
    counts = {
        "audit": found.audit_id,
        "networks": found.networks,
        "trainings of the truth": found.networks * found.seeds,
        "schedule of the truth": found.schedule("final").fidelity,
        "estimates": found.networks * len(found.estimators),
        "estimators": ", ".join(found.estimators),
    }
    return Result(("what", "value"), [[name, value] for name, value in counts.items()], {"audit": counts}, "plan")
