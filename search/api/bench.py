"""Models measured on a device from a notebook or a script, and the runs that are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devices.bench import BENCH_COMPONENTS
from devices.bench import Bench as _Bench
from devices.contenders import Entrant, Progress
from devices.gate import Gates
from devices.run import BenchRun
from devices.run_rows import model_record
from devices.runs import LATEST, list_runs, load_run
from devices.spec import DeviceSpec
from devices.stopping import asked_rule
from mnas.output_folder import output_folder
from mnas.store import FILE_NAME, Store
from search.api.rows import Rows, Tabular

_SHOWN = ("model", "latency_ms", "low_ms", "high_ms", "relative", "raw_p50_ms", "macs", "size_bytes", "verdict")
_SHOWN_RUNS = ("run_id", "started_at_utc", "status", "device_id", "models", "verdict", "latency_ms")


@dataclass(frozen=True, slots=True, repr=False)
class BenchReport(Tabular):
    """One run: its models beside each other.

    Attributes:
        run: Everything that is known of it, raw samples included.
        warnings: What had to be said while it went on.
    """

    run: BenchRun
    warnings: tuple[str, ...] = ()

    @property
    def latency_ms(self) -> dict[str, float]:
        """Model -> its latency in milliseconds; one without a number is not among them."""
        return {model.label: model.latency_ms for model in self.run.models if model.latency_ms is not None}

    def rows(self) -> Rows:
        """Return one row for each model; a problem is told where there is one."""
        run = self.run
        records = tuple(model_record(run, model) for model in run.models)
        problems = tuple(f"{model.label}: {model.problem.message}" for model in run.models if model.problem)
        simulated = "SIMULATED " if run.device.is_simulated else ""
        state = "" if run.status == "done" else f" ({run.status})"
        title = f"{simulated}{run.run_id} on {run.device.model}, {run.device.runtime}{state}"
        gates = tuple(f"gate {gate.gate}: {gate.label}: {gate.outcome}: {gate.reason}" for gate in run.gates)
        return Rows(records, title, (*problems, *gates, *self.warnings), _SHOWN)

    def plot(self) -> Any:
        """Return a plotly figure: latencies with their 95 % intervals.

        Raises:
            PackageError: ``PKG01``: plotly is not installed.
        """
        from search.api.plots import bench_figure

        return bench_figure(self.run)


class Bench(Tabular):
    """Measures models on a device; each call of `run` opens the device and closes it again. A notebook shows its runs.

    Args:
        device: Device spec, e.g. ``host:ort``, ``host:litert,threads=2`` or ``adb:SERIAL/tflite``.
        out: Output folder; else ``$MNAS_OUT``, else ``./mnas-out``.
    """

    def __init__(self, device: str = "host:ort", out: str | Path | None = None) -> None:
        self.device = device
        self.out = output_folder(out)

    def __repr__(self) -> str:
        return f"<Bench on {self.device} in {self.out}>"

    def run(
        self,
        *models: str | Path,
        against: Sequence[str | Path] = (),
        rounds: int | None = None,
        budget_s: float | None = None,
        precision: float | None = None,
        gates: Gates | None = None,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
        per_op: bool = False,
        seed: int | None = None,
        progress: Progress = lambda what, done, total: None,
    ) -> BenchReport:
        """Measure models side by side, relative to reference networks, and keep the run.

        Args:
            models: Files, named networks or factories.
            against: Baselines, measured in the same session.
            rounds: Make so many rounds.
            budget_s: Seconds of the session; 10 s and 1 s a model unless something is asked for.
            precision: Stop when all intervals are so narrow, e.g. 0.01.
            gates: What the models must hold; nothing is raised, the report tells.
            shapes: Input name, or "" for the only input -> sizes, for models that leave sizes open.
            per_op: Profile each model operator by operator afterwards.
            seed: Of the order of the visits.
            progress: Told what is being done, how much of it is done, how much there is.

        Raises:
            ConfigError: Not a device spec, or limits out of range.
            DeviceError: The device cannot be opened, or is gone.
            MeasurementError: The reference networks cannot be measured.
        """
        entrants = [Entrant(str(one)) for one in models] + [Entrant(str(one), "baseline") for one in against]
        kind = DeviceSpec.parse(self.device).kind
        rule = asked_rule(len(entrants), kind, rounds=rounds, budget_s=budget_s, precision=precision)
        with (
            Store(self.out / FILE_NAME, BENCH_COMPONENTS) as store,
            _Bench(self.device, store, rule=rule, gates=gates, seed=seed, progress=progress) as bench,
        ):
            run = bench.run(entrants, shapes=shapes, per_op=per_op)
            return BenchReport(run, tuple(bench.warnings))

    def runs(self) -> Rows:
        """Return the runs of the output folder on all devices, newest first.

        Raises:
            StoreError: ``STO06``: nothing was measured into it yet.
        """
        with self._stored() as store:
            found = list_runs(store)
        records = tuple(replace(row, models=()).to_json() | {"models": ", ".join(row.models)} for row in found)
        return Rows(records, f"runs in {self.out}", shown=_SHOWN_RUNS)

    def rows(self) -> Rows:
        """Return the runs, none where nothing was measured into the folder yet."""
        return self.runs() if (self.out / FILE_NAME).exists() else Rows((), f"no runs in {self.out} yet")

    def read(self, run_id: str = LATEST) -> BenchReport:
        """Return a run that is kept.

        Args:
            run_id: Its id, the beginning of it, or ``latest``.

        Raises:
            RunError: ``RUN01`` no such run, ``RUN02`` more than one begins so.
            StoreError: ``STO06``: nothing was measured into the folder yet.
        """
        with self._stored() as store:
            return BenchReport(load_run(store, run_id))

    def _stored(self) -> Store:
        return Store(self.out / FILE_NAME, BENCH_COMPONENTS, must_exist=True)
