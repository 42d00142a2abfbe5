"""``mnas search``: from data and a device to a Pareto front."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnas.cli.options import (
    AdbOption,
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
    use_adb,
)
from mnas.cli.output import ConsoleReporter, Format, emit, say

if TYPE_CHECKING:
    from search.executors.executor import Executor
    from search.following import Follower
    from search.result import StudyResult


def _option(*names: str, text: str) -> Any:
    return typer.Option(*names, help=text, show_default=False)


def search(
    config: Annotated[Path | None, _option("--config", text="A study.toml; flags override its keys.")] = None,
    data: Annotated[
        str | None, _option("--data", text="fashion, digits, cifar10, cifar100, a folder ./DIR, or auto.")
    ] = None,
    data_dir: Annotated[str | None, _option("--data-dir", text="Folder that holds the data set.")] = None,
    space: Annotated[
        str | None, _option("--space", text="Family of the space (mobilenetv3), or your own .toml file.")
    ] = None,
    preset: Annotated[str | None, _option("--preset", text="Preset of the space (default: like the data).")] = None,
    device: Annotated[
        list[str] | None, _option("--device", text="Device spec (host:ort); repeat it: one network for several.")
    ] = None,
    target_ms: Annotated[float | None, _option("--target-ms", text="Latency target T (median of the space).")] = None,
    alpha: Annotated[float | None, _option("--alpha", text="Exponent of LAT/T at or below T (-0.07).")] = None,
    beta: Annotated[float | None, _option("--beta", text="Exponent of LAT/T above T (-0.07).")] = None,
    algorithm: Annotated[
        str | None, _option("--algorithm", text="nsga2 (default), surrogate, ppo, local, random or another.")
    ] = None,
    budget: Annotated[
        str | None, _option("--budget", text="Networks whose accuracy is paid for (24), or time: 30m, 10m-device.")
    ] = None,
    population: Annotated[int | None, _option("--population", text="Networks of a generation (8).")] = None,
    patience: Annotated[int | None, _option("--patience", text="Generations without gain before stopping.")] = None,
    oversample: Annotated[int | None, _option("--oversample", text="Candidates seen for each trained (16).")] = None,
    training: Annotated[str | None, _option("--training", text="normal (default) or small.")] = None,
    finalists: Annotated[int | None, _option("--finalists", text="Networks trained longer and exported (8).")] = None,
    finalist_seeds: Annotated[int | None, _option("--finalist-seeds", text="Seeds of each finalist (2).")] = None,
    lut: Annotated[
        str | None, _option("--lut", text="Id of a finished latency table; with commas, one for each device.")
    ] = None,
    allow_foreign_lut: Annotated[
        bool | None, _option("--allow-foreign-lut", text="Use that table even if it is of another device.")
    ] = None,
    missing: Annotated[
        str | None, _option("--missing", text="Entries that the table lacks: refuse (default) or interpolate.")
    ] = None,
    lut_mode: Annotated[str | None, _option("--lut-mode", text="accurate (default) or fast.")] = None,
    lut_rounds: Annotated[int | None, _option("--lut-rounds", text="Visits of each segment (6).")] = None,
    lut_calibration: Annotated[int | None, _option("--lut-calibration", text="Networks to calibrate on (12).")] = None,
    lut_validation: Annotated[int | None, _option("--lut-validation", text="Networks to validate on (12).")] = None,
    accuracy: Annotated[
        str | None,
        _option(
            "--accuracy",
            text="proxy (default), halving, halving-async, curves, zero-cost:NAME, supernet:PATH, command.",
        ),
    ] = None,
    accuracy_cmd: Annotated[
        str | None, _option("--accuracy-cmd", text="Your trainer, e.g. 'python train.py {architecture}'.")
    ] = None,
    accuracy_timeout: Annotated[
        float | None, _option("--accuracy-timeout", text="Seconds for one network in it (3600).")
    ] = None,
    proxy_preset: ProxyPresetOption = None,
    proxy_epochs: ProxyEpochsOption = None,
    proxy_fraction: ProxyFractionOption = None,
    proxy_resolution: ProxyResolutionOption = None,
    proxy_width: ProxyWidthOption = None,
    seed: Annotated[int | None, _option("--seed", text="Seed of everything random (0).")] = None,
    warm_start: Annotated[
        list[str] | None, _option("--warm-start", text="Begin with it: a network, a front.json or a study. Repeatable.")
    ] = None,
    objectives: Annotated[
        str | None,
        _option(
            "--objectives",
            text="error,latency (default), macs, params, size, peak_memory; latency@2: of the second device; "
            "latency=measured: measured on it; params:max: the more the better.",
        ),
    ] = None,
    combine: Annotated[
        str | None, _option("--combine", text="Latency of several devices: the worst (default), or weighted.")
    ] = None,
    weights: Annotated[str | None, _option("--weights", text="Of the devices, with commas (equal ones).")] = None,
    dtype: Annotated[str | None, _option("--dtype", text="Whose latency counts: float32 (default) or int8.")] = None,
    confidence: Annotated[
        float | None, _option("--confidence", text="Only networks with P(latency <= T) of at least this.")
    ] = None,
    resume: Annotated[str | None, _option("--resume", text="Go on with a study; without an ID, the newest.")] = None,
    workers: Annotated[int, typer.Option("--workers", help="Training processes; 0: one for each core.")] = 0,
    ray: Annotated[str, _option("--ray", text="Train on a Ray cluster: HOST:PORT of its head, or auto.")] = "",
    job_cpus: Annotated[float, typer.Option("--job-cpus", min=0, help="CPUs that a training takes of a Ray node.")] = 1,
    job_gpus: Annotated[float, typer.Option("--job-gpus", min=0, help="GPUs that it takes.")] = 0,
    tensorboard: Annotated[Path | None, _option("--tensorboard", text="Log for TensorBoard into this folder.")] = None,
    adb: AdbOption = "",
    plan: PlanOption = False,
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Search the Pareto front of accuracy and latency on this data and device, and export it.

    Kill it whenever you like; the same command with --resume goes on.
    """
    named = dict(locals())
    use_adb(adb)
    given = {name: value for name, value in named.items() if name in _config_keys() and value not in (None, [])}
    if device:
        given |= {"device": device[0], "other_devices": tuple(device[1:])}
    if config is not None:
        from mnas.config import read_config_file

        given = {**read_config_file(config), **given}
    folder = output_folder(out)
    if plan and resume is not None:
        raise typer.BadParameter("--plan is of a new search; leave --resume out")
    if plan:
        from mnas.cli.search_plan import plan_result

        emit(plan_result(given, workers or os.cpu_count() or 1), output_format, output)
        return
    followers = _followers(tensorboard)
    executor = _executor(workers or os.cpu_count() or 1, ray, job_cpus, job_gpus)
    result = _run(given, folder, resume, executor, quiet, followers)
    _tell(result, folder, output_format, output, quiet)


def _config_keys() -> set[str]:
    from mnas.config import StudyConfig

    return set(StudyConfig.model_fields)


def _executor(workers: int, ray: str, job_cpus: float, job_gpus: float) -> Executor:
    """Return where networks are trained: processes of this machine, or a Ray cluster."""
    if not ray:
        from search.executors.processes import ProcessExecutor

        return ProcessExecutor(workers)
    from search.executors.ray_cluster import RayExecutor
    from search.executors.ray_round import RayTerms

    return RayExecutor(ray, RayTerms(cpus=job_cpus, gpus=job_gpus))


def _followers(tensorboard: Path | None) -> list[Follower]:
    """Return who takes a study's events as they happen."""
    if tensorboard is None:
        return []
    from search.adapters.tensorboard_log import TensorBoardLog

    return [TensorBoardLog(tensorboard)]


def _run(
    given: dict[str, Any],
    folder: Path,
    resume: str | None,
    executor: Executor,
    quiet: bool,
    followers: Sequence[Follower],
) -> StudyResult:
    """Run a study to its end, report included."""
    from mnas.cli.study_report import write_report
    from mnas.config import make_config
    from search.following import followed
    from search.resolve import resolve
    from search.study import Study, open_store

    reporter = ConsoleReporter(quiet)
    with executor:
        config = resolve(make_config(given), reporter, executor) if resume is None else None
        with open_store(folder, must_exist=resume is not None) as store:
            study = Study.create(store, config) if config else Study.resume(store, resume or "", given, reporter)
            reporter.line(
                f"study {study.study_id} in {folder}; if interrupted: mnas search --resume --out {quote(str(folder))}"
            )

            def on_result(result: StudyResult) -> None:
                write_report(store, result, folder)

            with followed(reporter, store, study.study_id, followers) as told:
                return study.run(folder, executor, told, on_result)


def _tell(result: StudyResult, folder: Path, output_format: Format, output: Path | None, quiet: bool) -> None:
    """Print the front of a study and say where everything lies."""
    from mnas.cli.study_report import report_path
    from mnas.cli.study_view import front_result

    emit(front_result(result), output_format, output)
    say(f"front:   {folder / 'front.json'}", quiet=quiet)
    say(f"exports: {folder / 'exports'}", quiet=quiet)
    say(f"report:  {report_path(folder, result.study_id)}", quiet=quiet)
    say(f"next:    mnas study show {result.study_id} --out {quote(str(folder))}", quiet=quiet)
