"""LiteRT's newer ``benchmark_model``, which runs a compiled model: its command line and its output.

It prints each loop as the classic tool does, and the rest with two decimals of a millisecond on stderr. Which nodes a
delegate took is told by lines of severity VERBOSE alone, which builds for Android print and others leave out.

Source: litert/tools/benchmark_litert_model.{h,cc} and benchmark_litert_model_main.cc of August 2026.
"""

from __future__ import annotations

from devices.profiling.profile import OpTime
from devices.runners.benchmark_output import PEAK_MEMORY_FLAG, Wording, read_benchmark
from devices.runners.delegation import Delegation
from devices.runners.launch import LaunchRequest, LaunchResult
from devices.runners.op_table import read_op_table
from devices.runners.tflite_benchmark import loop_flags, unknown_delegate

DELEGATES = ("xnnpack", "gpu")


class LitertBenchmark:
    """The dialect of the newer tool."""

    name = "litert"
    model_format = "tflite"
    delegates = DELEGATES
    default_delegate = "xnnpack"

    def command(self, runner_path: str, request: LaunchRequest) -> list[str]:
        """Return the argv of one launch.

        Raises:
            ConfigError: ``RNR12``: the tool has no such delegate; XNNPACK cannot be switched off in it.
        """
        delegate = request.delegate or self.default_delegate
        if delegate == "xnnpack":
            flags = ["--use_cpu=true"]
        elif delegate == "gpu" and request.allow_partial:
            flags = ["--use_gpu=true", "--use_cpu=true"]
        elif delegate == "gpu":
            flags = ["--use_gpu=true", "--use_cpu=false", "--require_full_delegation=true"]
        else:
            raise unknown_delegate(self.name, delegate, DELEGATES)
        if request.per_op:
            flags.append("--use_profiler=true")
        if request.peak_memory:
            flags.append(PEAK_MEMORY_FLAG)
        return [runner_path, *loop_flags(request), *flags]

    def read(self, request: LaunchRequest, rc: int, stdout: str, stderr: str, output: str = "") -> LaunchResult:
        """Read what one launch printed; see `devices.runners.dialect.RunnerDialect.read`."""
        return read_benchmark(request, rc, stdout, stderr, _WORDING)

    def read_profile(self, stdout: str, output: str = "") -> list[OpTime]:
        """Read the operators of a profiled launch.

        Args:
            stdout: What it printed.
            output: Its stderr, which is where this tool prints the table.

        Raises:
            DeviceError: ``RNR17``: there is no whole table.
        """
        return read_op_table(output if "Run Order" in output else stdout)


def _judge(request: LaunchRequest, found: Delegation) -> tuple[Delegation, tuple[str, ...]]:
    """Judge a delegation of which the output says nothing.

    On the CPU there is nothing but XNNPACK and, for what it cannot do, the runtime's own kernels. On a GPU without
    fall-back the tool ends with an error unless everything runs there.
    """
    if found.is_told or found.extent == "full":
        note = () if found.is_told else ("this build does not say how much of the model XNNPACK runs",)
        return found, note
    is_cpu = (request.delegate or LitertBenchmark.default_delegate) == "xnnpack"
    if is_cpu and not found.complaint:
        return Delegation("full", False), ("this build does not say how much of the model XNNPACK runs",)
    if not is_cpu and not request.allow_partial and not found.complaint:
        return Delegation("full", False), ("that all of the model runs on the GPU rests on the tool's own check",)
    return found, ()


_WORDING = Wording("xnnpack", has_summary=False, summary_ms=0.006, judge=_judge)
