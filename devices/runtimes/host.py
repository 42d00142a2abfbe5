"""This machine as a device: models run in a child process that may crash or hang without taking the session along."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from devices.device import DeviceInfo
from devices.measurement import Sample, SampleEvent, Visit
from devices.runtimes import machine
from devices.runtimes.capabilities import check_capabilities
from devices.runtimes.failures import explain
from devices.runtimes.host_trial import load_request, run_trial
from devices.runtimes.scheduling import real_time_limit
from devices.runtimes.sessions import DEFAULT_DELEGATES, FORMATS
from devices.runtimes.worker_process import WorkerProcess
from devices.spec import CPU_CLASSES, DeviceSpec
from devices.trial import Trial
from mnas.errors import ConfigError, DeviceError
from mnas.export.artifact import ModelArtifact
from mnas.jsonio import sha256_bytes

_RUNTIME_NAMES = {"ort": "onnxruntime", "litert": "litert", "torch": "torch"}
_RUNS_PER_DEADLINE = 10
_START_DEADLINE_S = 60.0
_LOSSES_IN_A_ROW = 3


class HostDevice:
    """A runtime on this machine. Use it as a context manager.

    Args:
        spec: ``host:ort``, ``host:litert`` or ``host:torch`` with options; ``cpus`` must be a mask here.
        deadline_s: A visit of up to ten runs, or a loading, that takes longer counts as hung; more runs have more time
            in proportion.
        memory_limit_bytes: What the measuring process, and that of each trial, may take beyond what it has at its
            start; 0 for 80 % of what is available then. Models beyond it fail, and the machine lives on.

    Raises:
        ConfigError: ``CFG11``: an option that this runtime does not have.
        DeviceError: ``DEV02`` the runtime is not available, ``DEV03`` the worker does not start, ``DEV06`` it cannot
            have the CPUs asked for.
    """

    def __init__(self, spec: DeviceSpec, *, deadline_s: float = 60.0, memory_limit_bytes: int = 0) -> None:
        if spec.kind != "host" or spec.runtime not in FORMATS:
            raise DeviceError(
                "DEV02",
                "this runtime is not available on this machine yet",
                value=str(spec),
                fix=f"use one of {', '.join(f'host:{name}' for name in FORMATS)}",
            )
        self.spec = spec
        self._deadline_s = deadline_s
        self._memory_limit_bytes = memory_limit_bytes
        self._delegate = _check_options(spec)
        self._loaded: dict[str, ModelArtifact] = {}
        self._errors: dict[str, str] = {}
        self._notes: dict[str, tuple[str, ...]] = {}
        self._ordinary: set[str] = set()
        self._losses: list[str] = []
        self._tried: set[str] = set()
        self._checked: dict[Path, tuple[str, tuple[int, ...]]] = {}
        self._is_closed = False
        self._worker, self._greeting = self._start()
        # Workers that come later start while less memory may be free; a model that fits once must fit again.
        self._memory_limit_bytes = self._memory_limit_bytes or int(self._greeting["memory_limit"] or 0)
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
        return FORMATS[self.spec.runtime]

    @property
    def worker_pid(self) -> int:
        """Process id of the present worker."""
        return self._worker.pid

    def load(self, artifacts: Iterable[ModelArtifact]) -> dict[str, str]:
        """Load models that are not loaded yet; see `devices.device.Device.load`."""
        failed = {}
        for artifact in artifacts:
            if not self._is_loaded(artifact):
                error = self._load(artifact)
                if error:
                    failed[artifact.identity] = error
        return failed

    def unload(self, sha256s: Iterable[str]) -> None:
        """Give back the memory of models; those that are not loaded are passed over."""
        for sha256 in sha256s:
            if self._loaded.pop(sha256, None) and self._worker.alive:
                self._worker.ask({"op": "unload", "sha256": sha256}, self._deadline_s)

    def renew(self) -> dict[str, str]:
        """Load all loaded models anew in a fresh worker; see `devices.device.Device.renew`."""
        self._check_open()
        before = set(self._loaded)
        # Not asked to end: nothing in it is worth the tenth of a second that freeing everything takes.
        self._worker.kill()
        self._ensure_worker()
        return {sha256: self._errors[sha256] for sha256 in before - self._loaded.keys()}

    def run(self, batch: Iterable[Visit]) -> Iterator[SampleEvent]:
        """Run visits in order; see `devices.device.Device.run`.

        Raises:
            DeviceError: ``DEV04`` the device was closed, ``DEV05`` the worker died three times in a row on different
                models.
        """
        if not isinstance(batch, Sequence):
            yield from (self._visit(visit, _run_request(visit)) for visit in batch)
            return
        # Each is asked for while the one before runs, so that the worker never waits for this process.
        requests = [_run_request(visit) for visit in batch]
        for visit, request, following, ahead in zip(
            batch, requests, [*batch[1:], None], [*requests[1:], None], strict=True
        ):
            goes_on = following is not None and self._is_loaded(following.artifact)
            yield self._visit(visit, request, ahead if goes_on else None)

    def try_model(self, artifact: ModelArtifact) -> Trial:
        """Load a model and run it once in a fresh process; see `devices.device.Device.try_model`.

        Raises:
            DeviceError: ``DEV04`` the device was closed.
        """
        self._check_open()
        error = self._check_file(artifact)
        if error:
            return Trial("refused", error)
        trial = run_trial(self._arguments(), artifact, start_deadline_s=_START_DEADLINE_S, deadline_s=self._deadline_s)
        if trial.how == "ok":
            self._tried.add(artifact.identity)
        return trial

    def conditions(self) -> dict[str, Any]:
        """Return the machine's state, what the worker was granted, and what of its models is out of the ordinary."""
        greeting, state = self._greeting, machine.conditions()
        found = check_capabilities(
            pinned=bool(greeting["cpu_mask"]), fifo=bool(greeting["fifo"]), memory_limit=greeting["memory_limit"]
        )
        state["capabilities"] = {one.name: one.is_there for one in found}
        limit = real_time_limit()
        if limit:
            state["real_time_limit_us"] = [limit.runtime_us, limit.period_us]
        if greeting["memory_limit"]:
            state["memory_limit_bytes"] = greeting["memory_limit"]
        if self._ordinary:
            state["ordinary_priority"] = sorted(self._ordinary)
        notes = {sha256: list(notes) for sha256, notes in self._notes.items() if notes and sha256 in self._loaded}
        return {**state, "model_notes": notes} if notes else state

    def close(self) -> None:
        """End the worker; a second call does nothing."""
        self._is_closed = True
        self._worker.close()

    def _arguments(self) -> list[str]:
        """Return the worker's command line."""
        spec = self.spec
        options = {
            "runtime": spec.runtime,
            "threads": spec.threads,
            "delegate": self._delegate,
            "cpus": spec.cpus,
            "memory-limit": self._memory_limit_bytes,
        }
        return [f"--{name}={value}" for name, value in options.items()]

    def _start(self) -> tuple[WorkerProcess, dict[str, Any]]:
        spec = self.spec
        worker = WorkerProcess(self._arguments(), huge_pages=True)
        greeting = worker.greet(_START_DEADLINE_S)
        if "ready" not in greeting:
            worker.kill()
            if "delegates" in greeting:
                raise _unknown_option(spec, tuple(greeting["delegates"]))
            raise DeviceError(
                "DEV03",
                "the measuring process does not start",
                value=str(spec),
                why=explain(greeting)[1],
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

    def _check_open(self) -> None:
        if self._is_closed:
            raise DeviceError(
                "DEV04", "the device was closed", value=str(self.spec), why="it cannot run any more", fix="open another"
            )

    def _is_loaded(self, artifact: ModelArtifact) -> bool:
        """Say whether this very file with these very inputs is loaded."""
        loaded = self._loaded.get(artifact.identity)
        return loaded is not None and (loaded is artifact or load_request(loaded) == load_request(artifact))

    def _ensure_worker(self) -> None:
        self._check_open()
        if self._worker.alive:
            return
        self._worker, self._greeting = self._start()
        again, self._loaded = self._loaded, {}
        for artifact in again.values():
            self._load(artifact, is_reload=True)

    def _load(self, artifact: ModelArtifact, *, is_reload: bool = False) -> str:
        """Load one model; return why not, or ""."""
        error = self._check_file(artifact)
        if not error:
            self._ensure_worker()
            request = {**load_request(artifact), "has_run": is_reload or artifact.identity in self._tried}
            reply = self._worker.ask(request, self._deadline_s)
            # A reload that works is no sign of health: it comes between any two losses.
            if reply.get("lost") or not is_reload:
                self._count_loss(artifact.identity, reply)
            error = explain({"memory_limit": self._greeting["memory_limit"], **reply})[1]
            self._notes[artifact.identity] = tuple(reply.get("notes", ()))
        if error:
            self._errors[artifact.identity] = error
        else:
            self._loaded[artifact.identity] = artifact
            self._errors.pop(artifact.identity, None)
        return error

    def _check_file(self, artifact: ModelArtifact) -> str:
        """Return why a file cannot be what its artefact says, or ""; one that was read before is not read again."""
        if artifact.format != self.model_format:
            return f"format is {artifact.format}, this runtime reads {self.model_format}"
        try:
            stamp = _stamp(artifact.path)
            if self._checked.get(artifact.path) == (artifact.sha256, stamp):
                return ""
            data = artifact.path.read_bytes()
        except OSError as error:
            return f"cannot be read: {error}"
        if sha256_bytes(data) != artifact.sha256:
            return f"the file changed since it was described: its sha256 is not {artifact.sha256[:12]}..."
        self._checked[artifact.path] = (artifact.sha256, stamp)
        return ""

    def _visit(self, visit: Visit, request: dict[str, Any], following: dict[str, Any] | None = None) -> SampleEvent:
        sha256 = visit.artifact.identity
        self._ensure_worker()
        if not self._is_loaded(visit.artifact):
            error = self._errors.get(sha256) or self._load(visit.artifact)
            if error:
                return SampleEvent(visit, (), error=f"cannot be loaded: {error}")
        runs = visit.runs + visit.warmup
        deadline_s = self._deadline_s * max(1.0, runs / _RUNS_PER_DEADLINE)
        reply = self._worker.ask(request, deadline_s, following)
        self._count_loss(sha256, reply)
        if "error" in reply:
            return SampleEvent(visit, (), error=explain(reply)[1])
        if self._greeting["fifo"] and reply["priority"] == "ordinary":
            self._ordinary.add(sha256)
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
                why=explain(reply)[1],
                fix="check memory and the runtime's installation",
            )


def _run_request(visit: Visit) -> dict[str, Any]:
    return {"op": "run", "sha256": visit.artifact.identity, "runs": visit.runs, "warmup": visit.warmup}


def _check_options(spec: DeviceSpec) -> str:
    """Return the delegate that a spec means on this machine."""
    if spec.threads > (os.cpu_count() or 1):
        raise ConfigError(
            "CFG11",
            "more threads than this machine has CPUs",
            value=str(spec),
            why=f"it has {os.cpu_count()}; they would only wait for each other, in every loaded model",
            fix="use fewer threads",
        )
    if spec.cpus in CPU_CLASSES:
        raise ConfigError(
            "CFG11",
            "CPU classes are for phones",
            value=str(spec),
            why="on this machine cpus must be a hexadecimal mask",
            fix="leave it out, or write cpus=2",
        )
    return spec.delegate or DEFAULT_DELEGATES[spec.runtime]


def _unknown_option(spec: DeviceSpec, present: tuple[str, ...]) -> ConfigError:
    return ConfigError(
        "CFG11",
        f"a delegate that '{spec.runtime}' does not have on this machine",
        value=str(spec),
        why=f"present are {', '.join(present)}",
        fix="use one of them, or install a build of the runtime that has it",
    )


def _stamp(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return (found.st_ino, found.st_size, found.st_mtime_ns)
