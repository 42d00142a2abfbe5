"""TensorFlow Lite's classic ``benchmark_model``: its command line and its output, 2018 to 2026.

Source: tensorflow/lite/tools/benchmark of TensorFlow 1.12 to 2.20, tflite/tools/benchmark of LiteRT.
"""

from __future__ import annotations

from devices.profiling.profile import OpTime
from devices.runners.benchmark_output import PEAK_MEMORY_FLAG, Wording, read_benchmark
from devices.runners.delegation import Delegation
from devices.runners.launch import MAX_SECONDS, LaunchRequest, LaunchResult
from devices.runners.op_table import read_op_table
from mnas.errors import ConfigError

DELEGATES = ("xnnpack", "none", "gpu", "nnapi", "external:PATH")
_MAX_PROFILE_EVENTS = 16_384


def loop_flags(request: LaunchRequest) -> list[str]:
    """Return the flags for exactly so many runs: no clock of the tool adds runs or cuts them."""
    return [
        f"--graph={request.model_path}",
        f"--num_threads={request.threads}",
        f"--num_runs={request.runs}",
        "--min_secs=0",
        f"--max_secs={MAX_SECONDS}",
        f"--warmup_runs={request.warmup}",
        "--warmup_min_secs=0",
    ]


class TfliteBenchmark:
    """The dialect of the classic tool."""

    name = "tflite"
    model_format = "tflite"
    delegates = DELEGATES
    default_delegate = "xnnpack"

    def command(self, runner_path: str, request: LaunchRequest) -> list[str]:
        """Return the argv of one launch.

        Raises:
            ConfigError: ``RNR12``: the tool has no such delegate.
        """
        flags = [*loop_flags(request), *_delegate_flags(request.delegate or self.default_delegate)]
        if request.per_op:
            flags += ["--enable_op_profiling=true", f"--max_profiling_buffer_entries={_MAX_PROFILE_EVENTS}"]
        if request.peak_memory:
            flags.append(PEAK_MEMORY_FLAG)
        return [runner_path, *flags]

    def read(self, request: LaunchRequest, rc: int, stdout: str, stderr: str, output: str = "") -> LaunchResult:
        """Read what one launch printed; see `devices.runners.dialect.RunnerDialect.read`."""
        return read_benchmark(request, rc, stdout, stderr, _WORDING)

    def read_profile(self, stdout: str, output: str = "") -> list[OpTime]:
        """Read the operators of a profiled launch from its output, or from the CSV that it wrote.

        Raises:
            DeviceError: ``RNR17``: there is no whole table.
        """
        return read_op_table(output or stdout)


def _delegate_flags(delegate: str) -> list[str]:
    kind, _, path = delegate.partition(":")
    if kind == "external" and path:
        return ["--use_xnnpack=false", f"--external_delegate_path={path}"]
    flags = {
        "xnnpack": ["--use_xnnpack=true"],
        "none": ["--use_xnnpack=false"],
        "gpu": ["--use_xnnpack=false", "--use_gpu=true"],
        "nnapi": ["--use_xnnpack=false", "--use_nnapi=true"],
    }
    if delegate not in flags:
        raise unknown_delegate("tflite", delegate, DELEGATES)
    return flags[delegate]


def unknown_delegate(runner: str, delegate: str, known: tuple[str, ...]) -> ConfigError:
    """Return the error for a delegate that a runner does not have."""
    return ConfigError(
        "RNR12",
        f"the runner {runner} has no such delegate",
        value=delegate,
        why=f"it has {', '.join(known)}",
        fix="use one of them, or another runner",
    )


def _judge(request: LaunchRequest, found: Delegation) -> tuple[Delegation, tuple[str, ...]]:
    """Take a delegate of which the tool only says that it was applied (2019) for one that took parts of the graph."""
    if found.extent == "full" and not found.is_told:
        note = "this build says that the delegate was applied but not how much of the model it runs"
        return Delegation("partial", False, found.partitions, found.share), (note,)
    return found, ()


_WORDING = Wording("xnnpack", has_summary=True, summary_ms=0.0, judge=_judge)
