"""This machine as a device: models run in a child process that may crash or hang without taking the session along."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

from devices.device import DeviceInfo
from devices.measurement import Sample, SampleEvent, Visit
from devices.runtimes import machine
from devices.runtimes.worker_process import WorkerProcess
from devices.spec import CPU_CLASSES, DeviceSpec
from mnas.errors import ConfigError, DeviceError
from mnas.export.artifact import ModelArtifact
from mnas.jsonio import sha256_bytes

_FORMATS = {"ort": "onnx", "litert": "tflite"}
_RUNTIME_NAMES = {"ort": "onnxruntime", "litert": "litert"}
_DELEGATES = {"ort": ("cpu",), "litert": ("xnnpack", "none")}
_RUNS_PER_DEADLINE = 10
_START_DEADLINE_S = 30.0
_LOSSES_IN_A_ROW = 3


class HostDevice:
    """A runtime on this machine. Use it as a context manager.

    Args:
        spec: ``host:ort`` or ``host:litert`` with options; ``cpus`` must be a mask here.
        deadline_s: A visit of up to ten runs, or a loading, that takes longer counts as hung; more runs have more time
            in proportion.

    Raises:
        ConfigError: ``CFG11``: an option that this runtime does not have.
        DeviceError: ``DEV02`` the runtime is not available, ``DEV03`` the worker does not start, ``DEV06`` it cannot
            have the CPUs asked for.
    """

    def __init__(self, spec: DeviceSpec, *, deadline_s: float = 60.0) -> None:
        if spec.kind != "host" or spec.runtime not in _FORMATS:
            raise DeviceError(
                "DEV02",
                "this runtime is not available on this machine yet",
                value=str(spec),
                fix=f"use one of {', '.join(f'host:{name}' for name in _FORMATS)}",
            )
        self.spec = spec
        self._deadline_s = deadline_s
        self._delegate = _check_options(spec)
        self._loaded: dict[str, ModelArtifact] = {}
        self._errors: dict[str, str] = {}
        self._losses: list[str] = []
        self._is_closed = False
        self._worker, self._greeting = self._start()
        self.info = DeviceInfo(
            device_id=str(spec),
            kind="host",
            model=machine.cpu_model(),
            soc="",
            os_build=machine.os_build(),
            runtime=_RUNTIME_NAMES[spec.runtime],
            runtime_version=self._greeting["version"],
            runner_sha256="",
            delegate=self._delegate,
            threads=spec.threads,
            cpu_mask=self._greeting["cpu_mask"],
        )

    def __enter__(self) -> HostDevice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def model_format(self) -> str:
        """Format of the models that it runs."""
        return _FORMATS[self.spec.runtime]

    @property
    def worker_pid(self) -> int:
        """Process id of the present worker."""
        return self._worker.pid

    def load(self, artifacts: Iterable[ModelArtifact]) -> dict[str, str]:
        """Load models that are not loaded yet; see `devices.device.Device.load`."""
        failed = {}
        for artifact in artifacts:
            if artifact.sha256 not in self._loaded:
                error = self._load(artifact)
                if error:
                    failed[artifact.sha256] = error
        return failed

    def unload(self, sha256s: Iterable[str]) -> None:
        """Give back the memory of models; those that are not loaded are passed over."""
        for sha256 in sha256s:
            if self._loaded.pop(sha256, None) and self._worker.alive:
                self._worker.ask({"op": "unload", "sha256": sha256}, self._deadline_s)

    def run(self, batch: Iterable[Visit]) -> Iterator[SampleEvent]:
        """Run visits in order; see `devices.device.Device.run`.

        Raises:
            DeviceError: ``DEV04`` the device was closed, ``DEV05`` the worker died three times in a row on different
                models.
        """
        for visit in batch:
            yield self._visit(visit)

    def conditions(self) -> dict[str, Any]:
        """Return load, clocks, steal ticks, and whether the worker is pinned and at real-time priority."""
        pinned = bool(self._greeting["cpu_mask"])
        return {**machine.conditions(), "capabilities": {"pinned": pinned, "fifo": bool(self._greeting["fifo"])}}

    def close(self) -> None:
        """End the worker; a second call does nothing."""
        self._is_closed = True
        self._worker.close()

    def _start(self) -> tuple[WorkerProcess, dict[str, Any]]:
        spec = self.spec
        arguments = ["--runtime", spec.runtime, "--threads", str(spec.threads), "--delegate", self._delegate]
        worker = WorkerProcess([*arguments, "--cpus", spec.cpus])
        greeting = worker.greet(_START_DEADLINE_S)
        if "ready" not in greeting:
            worker.kill()
            raise DeviceError(
                "DEV03",
                "the measuring process does not start",
                value=str(spec),
                why=str(greeting.get("error")),
                fix=f"check that the runtime of '{spec.runtime}' imports in this environment",
            )
        if spec.cpus and greeting["cpu_mask"] != spec.cpus:
            worker.kill()
            raise DeviceError(
                "DEV06",
                "the measuring process cannot be pinned to the CPUs asked for",
                value=str(spec),
                why=f"it got the mask '{greeting['cpu_mask']}'",
                fix="name CPUs that this process may use, or leave cpus out",
            )
        return worker, greeting

    def _ensure_worker(self) -> None:
        if self._is_closed:
            raise DeviceError(
                "DEV04", "the device was closed", value=str(self.spec), why="it cannot run any more", fix="open another"
            )
        if self._worker.alive:
            return
        self._worker, self._greeting = self._start()
        again, self._loaded = self._loaded, {}
        for artifact in again.values():
            self._load(artifact, is_reload=True)

    def _load(self, artifact: ModelArtifact, *, is_reload: bool = False) -> str:
        """Load one model; return why not, or ""."""
        error = _check_file(artifact, self.model_format)
        if not error:
            self._ensure_worker()
            request = {
                "op": "load",
                "sha256": artifact.sha256,
                "path": str(artifact.path.resolve()),
                "shape": list(artifact.input_shape),
            }
            reply = self._worker.ask(request, self._deadline_s)
            # A reload that works is no sign of health: it comes between any two losses.
            if reply.get("lost") or not is_reload:
                self._count_loss(artifact.sha256, reply)
            error = str(reply.get("error", ""))
        if error:
            self._errors[artifact.sha256] = error
        else:
            self._loaded[artifact.sha256] = artifact
            self._errors.pop(artifact.sha256, None)
        return error

    def _visit(self, visit: Visit) -> SampleEvent:
        sha256 = visit.artifact.sha256
        self._ensure_worker()
        if sha256 not in self._loaded:
            error = self._errors.get(sha256) or self._load(visit.artifact)
            if error:
                return SampleEvent(visit, (), error=f"cannot be loaded: {error}")
        runs = visit.runs + visit.warmup
        deadline_s = self._deadline_s * max(1.0, runs / _RUNS_PER_DEADLINE)
        request = {"op": "run", "sha256": sha256, "runs": visit.runs, "warmup": visit.warmup}
        reply = self._worker.ask(request, deadline_s)
        self._count_loss(sha256, reply)
        if "error" in reply:
            return SampleEvent(visit, (), error=str(reply["error"]))
        return SampleEvent(
            visit,
            tuple(Sample(value / 1e6) for value in reply["samples_ns"]),
            tuple(Sample(value / 1e6) for value in reply["warmup_ns"]),
            involuntary_switches=int(reply["involuntary_switches"]),
        )

    def _count_loss(self, sha256: str, reply: dict[str, Any]) -> None:
        """Give up when worker after worker dies, whatever model it is given: then no model is to blame."""
        if not reply.get("lost"):
            self._losses.clear()
            return
        self._losses.append(sha256)
        last = self._losses[-_LOSSES_IN_A_ROW:]
        if len(set(last)) == _LOSSES_IN_A_ROW:
            raise DeviceError(
                "DEV05",
                f"the measuring process died {_LOSSES_IN_A_ROW} times in a row on different models",
                value=str(self.spec),
                why=str(reply["error"]),
                fix="check memory and the runtime's installation",
            )


def _check_options(spec: DeviceSpec) -> str:
    """Return the delegate that a spec means on this machine."""
    known = _DELEGATES[spec.runtime]
    if spec.threads > (os.cpu_count() or 1):
        raise ConfigError(
            "CFG11",
            "more threads than this machine has CPUs",
            value=str(spec),
            why=f"it has {os.cpu_count()}; they would only wait for each other, in every loaded model",
            fix="use fewer threads",
        )
    delegate = spec.delegate or known[0]
    if delegate not in known or spec.cpus in CPU_CLASSES:
        raise ConfigError(
            "CFG11",
            f"an option that '{spec.runtime}' does not have on this machine",
            value=str(spec),
            why=f"delegates are {', '.join(known)}, and cpus must be a hexadecimal mask",
            fix="leave it out",
        )
    return delegate


def _check_file(artifact: ModelArtifact, model_format: str) -> str:
    """Return why a file cannot be what its artefact says, or ""."""
    if artifact.format != model_format:
        return f"format is {artifact.format}, this runtime reads {model_format}"
    try:
        data = artifact.path.read_bytes()
    except OSError as error:
        return f"cannot be read: {error}"
    if sha256_bytes(data) != artifact.sha256:
        return f"the file changed since it was described: its sha256 is not {artifact.sha256[:12]}..."
    return ""
