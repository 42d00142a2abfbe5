"""Measures models on a device in one session and keeps the run: what `mnas bench` does, for programs.

with Store(folder / FILE_NAME, BENCH_COMPONENTS) as store, Bench("host:ort", store) as bench:
    run = bench.run(["a.onnx", "mobilenetv3-large"])
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from devices.calibration import ready_harness
from devices.contenders import Contender, Entrant, Progress, gather
from devices.device import Device
from devices.extras import Extras
from devices.gate import Gates
from devices.harness import SessionRecorder
from devices.judging import SessionJudge
from devices.keeping import RunKeeper
from devices.models.shapes import Shapes
from devices.protocol import ProtocolSettings, VisitRecord, protocol_for
from devices.references import DEVICES
from devices.registry import open_device
from devices.run import BenchedModel, BenchRun, Problem
from devices.runs import RUNS
from devices.spec import DeviceSpec
from devices.stopping import Stopping, StoppingRule, default_rule
from devices.versions import versions
from mnas.store import Store, utc_now

BENCH_COMPONENTS = (DEVICES, RUNS)
"""What the store of a `Bench` is opened with."""


class Bench:
    """A device on which models are measured, run by run. Use it as a context manager.

    Args:
        device: Device spec, e.g. ``host:ort,threads=2``, or an open device; it is closed on leaving.
        store: Opened with `BENCH_COMPONENTS`.
        settings: The measuring protocol; the usual one of the kind of device unless given.
        rule: How long to measure; `devices.stopping.default_rule` unless given.
        gates: What the models must hold.
        seed: Draws the order of the visits; from the clock unless given.
        progress: Called as the run goes on.
        clock: Seconds on a clock that only runs forward.

    Raises:
        ConfigError: Not a device spec.
        DeviceError: The device cannot be opened.
    """

    def __init__(
        self,
        device: str | DeviceSpec | Device,
        store: Store,
        *,
        settings: ProtocolSettings | None = None,
        rule: StoppingRule | None = None,
        gates: Gates | None = None,
        seed: int | None = None,
        progress: Progress = lambda what, done, total: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.device = open_device(device) if isinstance(device, str | DeviceSpec) else device
        self._store = store
        self._rule = rule
        self._gates = gates or Gates()
        self._settings = settings or _settings_for(self.device.info.kind, self._gates)
        self._rng = np.random.default_rng(seed)
        self._progress = progress
        self._clock = clock
        self._cleanup = ExitStack()
        self._folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="mnas-bench-")))
        self.warnings: list[str] = []

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.device.close()
        self._cleanup.close()

    def run(
        self,
        models: Sequence[str | Entrant],
        *,
        shapes: Shapes | None = None,
        fill: Mapping[str, float] | None = None,
        allow_nan: bool = False,
        per_op: bool = False,
        sustained_s: float = 0.0,
        request: Mapping[str, Any] | None = None,
    ) -> BenchRun:
        """Measure models interleaved with each other and with the reference networks.

        A model that cannot be opened, run or measured has a problem in the result; the others are measured.

        Args:
            models: Files, named networks or factories, as texts; or entrants, baselines among them.
            shapes: Input name, or "" for the only input -> sizes, for models that leave sizes open.
            fill: Input name -> the number that all of it is filled with, where random ones are out of range.
            allow_nan: Measure models whose outputs hold a NaN, too.
            per_op: Profile each model operator by operator afterwards, in a process of its own.
            sustained_s: Run each model back to back for so many seconds afterwards.
            request: What was asked for, to be kept with the run.

        Raises:
            DeviceError: The device itself is gone.
            MeasurementError: The reference networks cannot be measured.
        """
        started = utc_now()
        entrants = [Entrant(one) if isinstance(one, str) else one for one in models]
        asked = {"models": [entrant.text for entrant in entrants], **(request or {})}
        with RunKeeper(self._store, self.device.info, asked, versions(), started) as keeper:
            contenders = gather(
                entrants,
                self.device,
                self._folder,
                shapes or {},
                fill=fill,
                allow_nan=allow_nan,
                progress=self._progress,
            )
            keeper.models([one.model for one in contenders])
            fit = [one for one in contenders if one.is_fit]
            run = BenchRun(
                keeper.run_id, "done", started, "", self.device.info, asked, versions(), {}, {}, {},
                tuple(one.model for one in contenders),
            )  # fmt: skip
            if fit:
                run = self._measured(run, fit, keeper)
                keeper.judged(run)
                extras = Extras(self.device, fit, self._progress, keeper.extra)
                run = replace(run, extras=extras.measure(per_op=per_op, sustained_s=sustained_s))
                self.warnings += extras.warnings
            self.device.unload([one.model.sha256 for one in fit])
            has_number = any(model.latency_ms is not None for model in run.models)
            run = replace(run, finished_at_utc=utc_now(), status="done" if has_number else "failed")
            keeper.finish(run)
        self.warnings += keeper.warnings
        return run

    def _measured(self, run: BenchRun, fit: Sequence[Contender], keeper: RunKeeper) -> BenchRun:
        self._progress("calibrating", 0, 1)
        ready = ready_harness(self.device, self._store, self._folder, self._settings, rng=self._rng)
        if ready.was_calibrated_now:
            self.warnings.append("the device was calibrated now: its reference networks had no nominals yet")
        if ready.heat:
            self.warnings.append(f"calibrated while hot, so calibrate again with --replace: {'; '.join(ready.heat)}")
        harness = ready.harness
        keeper.measuring(harness, self.device.conditions())
        rule = self._rule or default_rule(len(fit), self.device.info.kind)
        recorder = SessionRecorder(harness)
        unfit = [model for model in run.models if model.problem]
        judge = SessionJudge(recorder, harness, [one.model for one in fit], self._gates, unfit)
        stopping = Stopping(rule, judge.settled, self._clock)
        began = self._clock()
        artifacts = {one.model.sha256: one.artifact for one in fit if one.artifact}
        visits = harness.visits(artifacts.values(), rule.max_rounds, enough=stopping.enough)
        for record in visits:
            recorder.add(record)
            keeper.add(record)
            if record.is_reference:
                self._progress(*_course(stopping, rule, self._clock() - began))
        wall_s = self._clock() - began
        keeper.flush()
        if not stopping.rounds:  # nothing was loaded that could be visited
            return replace(run, models=_with_errors(run.models, recorder.records))
        session = recorder.session(stopping.rounds)
        judged = judge.models(session)
        return replace(
            run,
            stopping=stopping.describe(),
            timing=_timing(recorder.records, wall_s),
            session=session.describe(),
            models=tuple(judged.get(model.label, model) for model in run.models),
            gates=judge.gates(session),
        )


_GATED_RELAUNCH_SHARE = 0.25
"""A gate stands on the differences between launches, so it needs several even in a short session."""


_MODEL_VISITS = 3


def _settings_for(kind: str, gates: Gates) -> ProtocolSettings:
    settings = replace(protocol_for(kind), max_model_visits=_MODEL_VISITS)
    if gates.max_regression is None:
        return settings
    return replace(settings, relaunch_share=max(settings.relaunch_share, _GATED_RELAUNCH_SHARE))


def _with_errors(models: Sequence[BenchedModel], records: Sequence[VisitRecord]) -> tuple[BenchedModel, ...]:
    """Return the models with what kept each from being measured at all."""
    errors = {record.sha256: record.error for record in records if record.error}
    return tuple(
        replace(model, problem=Problem("MEA10", f"MEA10: {model.label} gave no number: {errors[model.sha256]}", 4))
        if model.problem is None and model.sha256 in errors
        else model
        for model in models
    )


def _course(stopping: Stopping, rule: StoppingRule, elapsed_s: float) -> tuple[str, int, int]:
    """Return what to tell of a session under way: by rounds or by its budget, whichever will end it."""
    if rule.is_fixed and stopping.rounds * rule.budget_s >= elapsed_s * rule.max_rounds:
        return "measuring, rounds", stopping.rounds, rule.max_rounds
    return "measuring, seconds at most", min(int(elapsed_s), int(rule.budget_s) - 1), int(rule.budget_s)


def _timing(records: Sequence[VisitRecord], wall_s: float) -> dict[str, float]:
    times = [value * record.runs for record in records for value in record.samples_ms]
    times += [value for record in records for value in record.warmup_ms]
    runs_s = float(np.nansum(times)) / 1000
    return {"wall_s": wall_s, "runs_s": runs_s, "overhead_fraction": 1 - runs_s / wall_s if wall_s > 0 else 0.0}
