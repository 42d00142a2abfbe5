"""The parent's end of a profile: start the child, wait with a deadline, read what it says."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import devices
from devices.profiling.profile import OpProfile
from devices.profiling.raw import RawProfile, to_profile
from devices.profiling.request import ProfileRequest
from devices.runtimes.inputs import Feed
from devices.spec import CPU_CLASSES, DeviceSpec
from mnas.errors import ConfigError, MeasurementError
from mnas.export.artifact import ModelArtifact

_FORMATS = {"ort": "onnx", "litert": "tflite", "torch": "pt2"}
_LITERT_DELEGATES = ("", "xnnpack", "none")
_TAIL_CHARS = 400


def profile_model(
    spec: DeviceSpec,
    artifact: ModelArtifact,
    *,
    runs: int = 30,
    warmup: int = 3,
    deadline_s: float = 120.0,
    fill: Mapping[str, float] | None = None,
) -> OpProfile:
    """Profile one model operator by operator, in a child process of its own; not while anything is timed.

    With LiteRT, ``delegate=xnnpack`` (the default) shows what XNNPACK ran, ``delegate=none`` the built-in kernels.

    Args:
        spec: A runtime of this machine.
        artifact: The model.
        runs: Profiled inferences, at least 1.
        warmup: Inferences before them, at least 0.
        deadline_s: The child is killed after so many seconds.
        fill: Name of an input -> the number that all of it is filled with, in place of random ones.

    Raises:
        ConfigError: ``CFG16``: nothing on this device makes profiles, or a number is out of range.
        MeasurementError: ``MEA20``: the model cannot be profiled; ``MEA21``: the process crashed or hung.
    """
    request = _request(spec, artifact, runs, warmup, fill)
    answer = _ask(request, deadline_s, str(artifact.path))
    if "error" in answer:
        raise _refuse("MEA20", "the model cannot be profiled", artifact, str(answer["error"]))
    try:
        return to_profile(RawProfile.from_json(answer))
    except ValueError as error:
        raise _refuse("MEA20", "the model cannot be profiled", artifact, str(error)) from error


def _refuse(code: str, what: str, artifact: ModelArtifact, why: str) -> MeasurementError:
    fix = "check that the model runs on this device; measuring does not need a profile"
    return MeasurementError(code, what, value=str(artifact.path), why=why, fix=fix)


def _request(
    spec: DeviceSpec, artifact: ModelArtifact, runs: int, warmup: int, fill: Mapping[str, float] | None
) -> ProfileRequest:
    why = ""
    if spec.kind != "host" or spec.runtime not in _FORMATS:
        why = f"profiles are made by {', '.join(f'host:{name}' for name in _FORMATS)}"
    elif spec.cpus in CPU_CLASSES or (spec.runtime == "litert" and spec.delegate not in _LITERT_DELEGATES):
        why = "LiteRT is profiled with the delegates xnnpack and none, and cpus must be a mask"
    elif runs < 1 or warmup < 0:
        why = f"{runs} runs after {warmup} to warm up cannot be"
    if why:
        raise ConfigError("CFG16", "nothing can be profiled so", value=str(spec), why=why, fix="change the request")
    if artifact.format != _FORMATS[spec.runtime]:
        raise _refuse(
            "MEA20", "the model cannot be profiled", artifact, f"{spec.runtime} reads {_FORMATS[spec.runtime]}"
        )
    return ProfileRequest(
        runtime=spec.runtime,
        path=str(artifact.path.resolve()),
        threads=spec.threads,
        cpus=spec.cpus,
        delegate=spec.delegate,
        runs=runs,
        warmup=warmup,
        feed=Feed(artifact.input_shape, dict(artifact.input_shapes), dict(fill or {})),
    )


def _ask(request: ProfileRequest, deadline_s: float, name: str) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", "devices.profiling.child"]
    if threading.current_thread() is threading.main_thread():
        command.append("--signal-with-parent")
    # Files, because a pipe that nobody reads blocks whoever writes much into it.
    # The child writes in a folder of ours, since it may be killed before it can tidy up.
    with (
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
        tempfile.TemporaryDirectory(prefix="mnas-profile-", ignore_cleanup_errors=True) as folder,
    ):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=errors, env=_environment(folder), text=True
        )
        try:
            assert process.stdin is not None
            # stdin stays open: its end tells the child that its parent is gone.
            with contextlib.suppress(OSError):
                process.stdin.write(json.dumps(request.to_json()) + "\n")
                process.stdin.flush()
            process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise _lost(name, f"it did not end within {deadline_s:g} s", errors) from None
        finally:
            process.kill()
            process.wait()
            with contextlib.suppress(OSError, ValueError):
                if process.stdin is not None:
                    process.stdin.close()
        answer = _read(process.returncode, output, errors, name)
        said = _errors_said(errors) if "error" in answer else ""
        return {"error": f"{answer['error']}; it said: {said}"} if said else answer


def _read(code: int, output: IO[bytes], errors: IO[bytes], name: str) -> dict[str, Any]:
    output.seek(0)
    with contextlib.suppress(ValueError):
        answer = json.loads(output.read())
        if isinstance(answer, dict):
            return answer
    how = f"it was killed by {signal.Signals(-code).name}" if code < 0 else f"it ended with code {code}"
    raise _lost(name, how, errors)


def _errors_said(errors: IO[bytes]) -> str:
    """Return the lines that a runtime marked as errors: often they alone name the operator that it lacks."""
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").splitlines()
    return "; ".join(line.partition("ERROR:")[2].strip() for line in lines if "ERROR:" in line)[-_TAIL_CHARS:]


def _lost(name: str, how: str, errors: IO[bytes]) -> MeasurementError:
    errors.seek(0)
    tail = " ".join(errors.read().decode("utf-8", "replace")[-_TAIL_CHARS:].split())
    why = how + (f"; it said: {tail}" if tail else "")
    fix = "check that the model runs on this device, or allow more time"
    return MeasurementError("MEA21", "the profiling process was lost", value=name, why=why, fix=fix)


def _environment(temporary: str) -> dict[str, str]:
    root = str(Path(devices.__file__).resolve().parents[1])
    older = os.environ.get("PYTHONPATH")
    return {**os.environ, "TMPDIR": temporary, "PYTHONPATH": root + (os.pathsep + older if older else "")}
