"""``mnas accuracy``: how far estimates of accuracy can be trusted."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnas.cli.options import (
    FileOption,
    FormatOption,
    OutOption,
    PlanOption,
    ProxyEpochsOption,
    ProxyFractionOption,
    ProxyPresetOption,
    ProxyResolutionOption,
    ProxyWidthOption,
    QuietOption,
    output_folder,
)
from mnas.cli.output import ConsoleReporter, Format, Result, emit, say

if TYPE_CHECKING:
    from mnas.config import StudyConfig

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
    proxy_preset: ProxyPresetOption = None,
    proxy_epochs: ProxyEpochsOption = None,
    proxy_fraction: ProxyFractionOption = None,
    proxy_resolution: ProxyResolutionOption = None,
    proxy_width: ProxyWidthOption = None,
    population: Annotated[
        int, typer.Option("--population", min=4, max=1000, help="Networks among which halving and curves decide.")
    ] = 8,
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
    keys["population"] = population
    keys |= {"accuracy_cmd": accuracy_cmd, "accuracy_timeout": accuracy_timeout} if accuracy_cmd else {}
    proxy = {
        "proxy_preset": proxy_preset,
        "proxy_epochs": proxy_epochs,
        "proxy_fraction": proxy_fraction,
        "proxy_resolution": proxy_resolution,
        "proxy_width": proxy_width,
    }
    keys |= {name: value for name, value in proxy.items() if value is not None}
    asked = make_config({**keys, "training": training})
    names = tuple(dict.fromkeys((*(estimator or DEFAULT_ESTIMATORS), *(["command"] if accuracy_cmd else []))))
    if plan:
        emit(_plan(asked, networks, seeds, names), output_format, output)
        return
    reporter = ConsoleReporter(quiet)
    config = resolve(asked, reporter)
    found = Audit(config, *_space_and_data(config), networks, seeds, names)
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


def _plan(asked: StudyConfig, networks: int, seeds: int, names: tuple[str, ...]) -> Result:
    """Work out what an audit would do; nothing is decoded, fetched or trained."""
    from search.accuracy.proxy_schedule import schedule_of
    from search.accuracy.registry import require_accuracy
    from search.data.registry import data_shape, train_images
    from search.fitting import AUTO, fitting_space

    data = "fashion" if asked.data == AUTO else asked.data
    for name in names:
        require_accuracy(name, asked.accuracy_cmd)
    _, space = fitting_space(asked.space, asked.preset, data, data_shape(data))
    config, size = asked.model_copy(update={"data": data}), train_images(data)
    counts = {
        "space": space.name,
        "data": data,
        "networks": networks,
        "trainings of the truth": networks * seeds,
        "schedule of the truth": schedule_of(config, "final", size).fidelity,
        "schedule of the proxy": schedule_of(config, "proxy", size).fidelity,
        "estimates": networks * len(names),
        "estimators": ", ".join(names),
    }
    return Result(("what", "value"), [[name, value] for name, value in counts.items()], {"audit": counts}, "plan")
