"""Measures what ``mnas bench`` was asked for: on this machine's runtimes one after the other, on phones all at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.cli.output import ConsoleReporter
from mnas.errors import ConfigError, DeviceError, MnasError

if TYPE_CHECKING:
    from devices.gate import Gates
    from devices.run import BenchRun
    from devices.spec import DeviceSpec
    from devices.stopping import StoppingRule
    from mnas.cli.bench_request import DevicePlan


@dataclass(frozen=True)
class BenchJob:
    """What is done on every device alike.

    Attributes:
        rule: When to stop, or ``None`` for what a bench does by itself.
        gates: What the models must hold.
        seed: Of the order of the visits.
        options: Of `devices.bench.Bench.run`.
        request: Kept with the run.
        lost: Exit status of each device that could not be measured on; filled as it happens.
    """

    rule: StoppingRule | None
    gates: Gates
    seed: int | None
    options: dict[str, Any]
    request: dict[str, Any]
    lost: list[int] = field(default_factory=list)


def measure_all(job: BenchJob, plans: Sequence[DevicePlan], folder: Path, quiet: bool) -> list[BenchRun]:
    """Measure on every device and return the runs in the order of the plans.

    A device that is lost, or cannot be opened, costs its own run; the others go on.

    Raises:
        MnasError: No device gave a run; that of the last one.
    """
    found: dict[int, BenchRun | MnasError] = {}
    phones = [place for place, plan in enumerate(plans) if plan.spec.kind == "adb"]
    for place, plan in enumerate(plans):
        if place not in phones:
            found[place] = _attempt(job, plan, folder, ConsoleReporter(quiet))
    if len(phones) == 1:
        found[phones[0]] = _attempt(job, plans[phones[0]], folder, ConsoleReporter(quiet))
    elif phones:
        found.update(zip(phones, _at_once(job, [plans[place] for place in phones], folder, quiet), strict=True))
    runs, errors = [], []
    for place, plan in enumerate(plans):
        one = found[place]
        if isinstance(one, MnasError):
            errors.append((plan, one))
        else:
            runs.append(one)
    if not runs:
        for plan, error in errors[:-1]:
            ConsoleReporter().warn(f"{plan.spec}: {error}")
        raise errors[-1][1]
    for plan, error in errors:
        ConsoleReporter().warn(f"{plan.spec}: {error}")
        job.lost.append(error.exit_code)
    return runs


def offsets(runs: Sequence[BenchRun]) -> Iterator[str]:
    """Say of every two phones of one model how far they lie apart, by the raw times of their reference networks.

    Their latencies do not show it: both are scaled to the nominals that belong to the model.
    """
    from devices.offset import offset_of

    phones = [run for run in runs if run.device.kind == "adb" and run.session.get("reference_ms")]
    for first, second in combinations(phones, 2):
        if first.device.device_key == second.device.device_key:
            names = (first.device.device_id, second.device.device_id)
            found = offset_of(names[0], first.session["reference_ms"], names[1], second.session["reference_ms"])
            if found is not None:
                yield f"by the reference networks {found}"


def _attempt(job: BenchJob, plan: DevicePlan, folder: Path, reporter: ConsoleReporter) -> BenchRun | MnasError:
    try:
        return _run(job, plan, folder, reporter, threading.Event())
    except (DeviceError, ConfigError) as error:
        return error


def _at_once(job: BenchJob, plans: Sequence[DevicePlan], folder: Path, quiet: bool) -> list[BenchRun | MnasError]:
    """Measure on several phones, a thread each; after Ctrl-C each ends where it is and puts its phone back.

    What is asked of one phone in several ways is done one after the other.
    """
    is_over = threading.Event()
    by_phone: dict[str, list[DevicePlan]] = {}
    for plan in plans:
        by_phone.setdefault(plan.spec.serial, []).append(plan)

    def serve(own: Sequence[DevicePlan]) -> dict[DeviceSpec, BenchRun | MnasError]:
        found: dict[DeviceSpec, BenchRun | MnasError] = {}
        for plan in own:
            try:
                found[plan.spec] = _run(job, plan, folder, ConsoleReporter(quiet, prefix=f"{plan.spec}: "), is_over)
            except (DeviceError, ConfigError) as error:
                found[plan.spec] = error
        return found

    with ThreadPoolExecutor(len(by_phone)) as pool:
        try:
            served = [future.result() for future in [pool.submit(serve, own) for own in by_phone.values()]]
            found = {spec: one for part in served for spec, one in part.items()}
            return [found[plan.spec] for plan in plans]
        except BaseException:
            is_over.set()
            raise


def _run(
    job: BenchJob, plan: DevicePlan, folder: Path, reporter: ConsoleReporter, is_over: threading.Event
) -> BenchRun:
    from devices.bench import BENCH_COMPONENTS, Bench
    from devices.registry import open_device
    from mnas.store import FILE_NAME, Store

    def wait(seconds: float) -> None:
        if is_over.wait(seconds):
            raise KeyboardInterrupt

    def progress(what: str, done: int, total: int) -> None:
        wait(0)
        reporter.progress(what, done, total)

    wait(0)
    reporter.line(f"measuring on {plan.spec}")
    with (
        Store(folder / FILE_NAME, BENCH_COMPONENTS) as store,
        Bench(
            open_device(plan.spec, tell=reporter.line, sleep=wait),
            store,
            rule=job.rule,
            gates=job.gates,
            seed=job.seed,
            progress=progress,
        ) as one,
    ):
        # The device's own name for itself, since the spec of a phone holds its serial.
        run = one.run(plan.entrants, request={**job.request, "device": one.device.info.device_id}, **job.options)
    for warning in one.warnings:
        reporter.warn(warning)
    return run
