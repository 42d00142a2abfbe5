"""What a runner is to the rest of the tool: a way to be called, and a way to be understood."""

from __future__ import annotations

from typing import Protocol

from devices.profiling.profile import OpTime
from devices.runners.launch import LaunchRequest, LaunchResult
from devices.runners.litert_benchmark import LitertBenchmark
from devices.runners.ort_perf_test import OrtPerfTest
from devices.runners.tflite_benchmark import TfliteBenchmark
from mnas.errors import ConfigError


class RunnerDialect(Protocol):
    """The command line of one runner and the meaning of what it prints. Pure: it touches no device."""

    @property
    def name(self) -> str:
        """Name of the runner in a device spec: ``tflite``, ``litert`` or ``ortperf``."""

    @property
    def model_format(self) -> str:
        """Format of the models that it runs: ``tflite`` or ``onnx``."""

    @property
    def delegates(self) -> tuple[str, ...]:
        """Delegates that it can be asked for."""

    @property
    def default_delegate(self) -> str:
        """What an empty delegate means."""

    def command(self, runner_path: str, request: LaunchRequest) -> list[str]:
        """Return the argv of one launch.

        Raises:
            ConfigError: ``RNR11`` something is missing in the request, ``RNR12`` the runner has no such delegate.
        """

    def read(self, request: LaunchRequest, rc: int, stdout: str, stderr: str, output: str = "") -> LaunchResult:
        """Return what a launch gave; it never raises for what a runner prints.

        Args:
            request: What `command` was made from.
            rc: Exit code; 128 + n for signal n.
            stdout: All of it.
            stderr: All of it; LiteRT's tool prints results there.
            output: Text of the file at ``output_path`` where the runner writes one.
        """

    def read_profile(self, stdout: str, output: str = "") -> list[OpTime]:
        """Return the operators of a launch with ``per_op``, in order of execution.

        Args:
            stdout: All of it.
            output: For ``tflite`` a CSV that the tool wrote, if any; for ``litert`` its stderr; for ``ortperf`` the
                JSON that it wrote.

        Raises:
            DeviceError: ``RNR17``: there is no whole profile.
        """


_DIALECTS: tuple[RunnerDialect, ...] = (TfliteBenchmark(), LitertBenchmark(), OrtPerfTest())
RUNNER_NAMES = tuple(dialect.name for dialect in _DIALECTS)


def dialect_of(name: str) -> RunnerDialect:
    """Return the dialect of a runner.

    Raises:
        ConfigError: ``RNR13``: there is no such runner.
    """
    for dialect in _DIALECTS:
        if dialect.name == name:
            return dialect
    raise ConfigError("RNR13", "there is no such runner", value=name, fix=f"use one of {', '.join(RUNNER_NAMES)}")
