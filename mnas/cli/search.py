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
from mnas.cli.output import ConsoleReporter, Format, Result, emit, say

if TYPE_CHECKING:
    from mnas.config import StudyConfig
    from mnas.space import SearchSpace
    from search.executors.executor import Executor
    from search.following import Follower
    from search.result import StudyResult
    from search.training.schedule import TrainingSchedule


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
        emit(_plan(given, workers or os.cpu_count() or 1), output_format, output)
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


def _plan(given: dict[str, Any], workers: int) -> Result:
    """Work out what a search would do; nothing is opened, fetched or measured."""
    from latency.on_device import lut_settings
    from latency.plan import LutPlan
    from mnas.config import make_config
    from search.data.registry import data_shape
    from search.fitting import fitting_space

    asked = make_config(given)
    data = "fashion" if asked.data == "auto" else asked.data
    preset, space = fitting_space(asked.space, asked.preset, data, data_shape(data))
    config = asked.model_copy(update={"data": data, "preset": preset})
    luts = {}
    for spec in config.devices:
        settings = lut_settings(config.lut_mode, config.lut_rounds, config.lut_calibration, config.lut_validation, spec)
        luts[spec] = LutPlan(space, settings, config.dtype).counts()
    counts, training = luts[config.device], _training_plan(config, space, workers)
    document = {"config": config.model_dump(), "space_size": str(space.size()), "lut": counts, **training}
    rows: list[list[object]] = [["networks in the space", f"{space.size():.3g}"]]
    rows += [[f"latency table: {name.replace('_', ' ')}", value] for name, value in counts.items()]
    rows += [[f"training: {name.replace('_', ' ')}", value] for name, value in training.items()]
    if config.other_devices:
        document["luts"] = luts
        rows.append(["latency tables", f"{len(luts)}, one for each device; the counts are of {config.device}"])
    return Result(("what", "value"), rows, document, title=f"plan of a search on {' and '.join(config.devices)}")


_MS_PER_IMAGE, _MS_PER_IMAGE_AND_MMAC = 0.08, 0.2
"""Training on one core of a 2025 server CPU, evaluation included; other machines differ by their speed."""


def _images(schedule: TrainingSchedule) -> int:
    """Images that a training sees; where the schedule takes all, those of the only data set that it does so for."""
    return (schedule.train_images or 1_000) * schedule.epochs


def _search_minutes(config: StudyConfig) -> float:
    """Return the minutes that the search may use where its budget is time alone."""
    limits = config.limits
    return (limits.time_s or 0.0) / 60 if limits.evaluations is None else 0.0


def _training_plan(config: StudyConfig, space: SearchSpace, workers: int) -> dict[str, Any]:
    """Return counts and rough minutes of training, for networks of the space's mean size."""
    import numpy as np

    from mnas.counts import total_macs
    from mnas.layers import layers_of
    from search.accuracy.proxy_schedule import with_fidelities
    from search.training.schedule import schedule_for

    is_small = config.training == "small"
    proxy, final = (schedule_for(config.data, purpose, is_small=is_small) for purpose in ("proxy", "final"))
    proxy = with_fidelities(proxy, config, 0)
    rng = np.random.default_rng(0)
    mmacs = np.mean([total_macs(layers_of(space.decode(space.draw(rng)))) for _ in range(50)]) / 1e6
    trainings = config.finalists * config.finalist_seeds
    candidates = config.limits.evaluations
    images = (candidates or 0) * _images(proxy) + trainings * _images(final)
    ms = images * (_MS_PER_IMAGE + _MS_PER_IMAGE_AND_MMAC * mmacs)
    return {
        "candidates": candidates if candidates is not None else f"as many as fit into {config.budget}",
        "schedule": proxy.fidelity,
        "finalist_trainings": trainings,
        "final_schedule": final.fidelity,
        "estimated_minutes": round(float(ms) / 60_000 / workers + _search_minutes(config), 1),
    }
