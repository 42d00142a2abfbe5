"""``onnxruntime_perf_test``: its command line and its output, 2019 to 2026.

It gives every run. It has no flag for warm-up: it makes one run, whose time it states, and the rest of the warm-up are
the first rows of its file.

Source: onnxruntime/test/perftest/command_args_parser.cc and performance_runner.cc; outputs that users published in
microsoft/onnxruntime#2798, #4331, #4647 and #17313 and in Arm's learning paths (2026).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence

from devices.profiling.profile import OpTime
from devices.runners.exit_status import exit_reason
from devices.runners.launch import PARTIAL_HINT, LaunchRequest, LaunchResult, failed_launch
from devices.runners.ort_rows import RunRow, read_run_rows
from devices.runners.tflite_benchmark import unknown_delegate
from mnas.errors import ConfigError, DeviceError

DELEGATES = ("none", "xnnpack", "nnapi")
PROFILE_SUFFIX = ".profile"
"""A profile lies beside the file of runs: ``<output_path>.profile_<date>_<time>.json``, and newer builds add digits."""

_PROVIDERS = {"none": "cpu", "xnnpack": "xnnpack", "nnapi": "nnapi"}
_FIGURES = {
    "init_s": re.compile(r"^Session creation time cost:\s*([\d.e+-]+)\s*s", re.M),
    "first_ms": re.compile(r"^First inference time cost:\s*([\d.e+-]+)\s*ms", re.M),
    "requests": re.compile(r"^Total (?:inference requests|iterations):\s*(\d+)", re.M),
    "mean_ms": re.compile(r"^Average (?:inference )?time cost(?: total)?:\s*([\d.e+-]+)\s*ms", re.M),
    "peak": re.compile(r"^Peak working set size:\s*(\d+)", re.M),
}
_LEFT_OUT = "Some nodes were not assigned to the preferred execution providers"
_NNAPI = re.compile(
    r"number of partitions supported by NNAPI: (\d{1,18})(?!\d).*?number of nodes in the graph: (\d{1,18})(?!\d)"
    r".*?number of nodes supported by NNAPI: (\d{1,18})(?!\d)"
)
_AGREEMENT = 0.05


class OrtPerfTest:
    """The dialect of onnxruntime's tool."""

    name = "ortperf"
    model_format = "onnx"
    delegates = DELEGATES
    default_delegate = "none"

    def command(self, runner_path: str, request: LaunchRequest) -> list[str]:
        """Return the argv of one launch.

        Raises:
            ConfigError: ``RNR11`` there is no ``output_path``, ``RNR12`` the tool has no such delegate.
        """
        delegate = request.delegate or self.default_delegate
        if delegate not in _PROVIDERS:
            raise unknown_delegate(self.name, delegate, DELEGATES)
        if not request.output_path:
            raise ConfigError("RNR11", "onnxruntime_perf_test needs a file for its runs", fix="give an output_path")
        profile = ["-p", request.output_path + PROFILE_SUFFIX] if request.per_op else []
        runs = _rows_of(request)
        flags = ["-e", _PROVIDERS[delegate], "-m", "times", "-r", str(runs), "-x", str(request.threads), "-s", "-I"]
        return [runner_path, *flags, *profile, request.model_path, request.output_path]

    def read(self, request: LaunchRequest, rc: int, stdout: str, stderr: str, output: str = "") -> LaunchResult:
        """Read what one launch printed and wrote; see `devices.runners.dialect.RunnerDialect.read`."""
        delegate = request.delegate or self.default_delegate
        if error := exit_reason(rc, stdout, stderr) or _unknown_flag(stdout + "\n" + stderr):
            return failed_launch(error, statistic="run")
        taken = _delegation(delegate, stdout + "\n" + stderr, request.allow_partial)
        if taken.error:
            return taken
        try:
            rows = read_run_rows(output)
        except ValueError as broken:
            return failed_launch(str(broken), statistic="run")
        if error := _find_fault(request, rows, stdout):
            return failed_launch(error, statistic="run", runs=len(rows))
        return _result(request, rows, stdout, taken)

    def read_profile(self, stdout: str, output: str = "") -> list[OpTime]:
        """Read the operators of a profiled launch from the JSON that it wrote.

        Raises:
            DeviceError: ``RNR17``: it is no whole profile.
        """
        from devices.profiling.ort import VIEW, read_ort_profile
        from devices.profiling.raw import RawProfile, to_profile

        try:
            runs = tuple(read_ort_profile(json.loads(output)))
            return list(to_profile(RawProfile("onnxruntime", "", VIEW, runs)).ops)
        except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
            raise DeviceError(
                "RNR17", "onnxruntime's profile cannot be read", value=output[:80], why=str(error), fix="run it again"
            ) from error


def _rows_of(request: LaunchRequest) -> int:
    return request.runs + max(0, request.warmup - 1)


def _figure(name: str, stdout: str) -> float | None:
    found = _FIGURES[name].search(stdout)
    try:
        value = float(found[1]) if found else math.nan
    except ValueError:
        value = math.nan
    return value if math.isfinite(value) else None


def _unknown_flag(text: str) -> str:
    """Return a complaint of the reader of flags; older builds print it and go on with what they know."""
    found = re.search(r"^.*(?:Unknown command line flag|invalid option|unrecognized option).*$", text, re.M)
    return f"the runner does not know all flags: {found[0].strip()}" if found else ""


def _delegation(delegate: str, text: str, allow_partial: bool) -> LaunchResult:
    if delegate == "none":
        return failed_launch("", statistic="run")
    nnapi = _NNAPI.search(text) if delegate == "nnapi" else None
    partitions = int(nnapi[1]) if nnapi else None
    if nnapi and not int(nnapi[3]):
        return failed_launch("no part of the model is run by nnapi", statistic="run", partitions=0)
    nodes = f" ({nnapi[3]} of {nnapi[2]} nodes in {partitions} partitions)" if nnapi else ""
    if _LEFT_OUT not in text and not (nnapi and nnapi[2] != nnapi[3]):
        note = "that all of the model runs there rests on onnxruntime not warning of the contrary"
        return failed_launch(
            "", statistic="run", delegate=delegate, delegation="full", partitions=partitions, notes=(note,)
        )
    what = f"only parts of the model are run by {delegate}{nodes}"
    return failed_launch(
        "" if allow_partial else what + PARTIAL_HINT,
        statistic="run",
        delegate=delegate,
        delegation="partial",
        partitions=partitions,
        notes=(what,),
    )


def _find_fault(request: LaunchRequest, rows: Sequence[RunRow], stdout: str) -> str:
    expected = _rows_of(request)
    if len(rows) != expected:
        return f"{len(rows)} rows of runs instead of {expected}"
    requests = _figure("requests", stdout)
    if requests is not None and requests != expected:
        return f"the runner counts {requests:g} runs instead of {expected}"
    printed = _figure("mean_ms", stdout)
    mean = sum(row.seconds for row in rows) * 1000 / len(rows)
    if printed is None:
        return "the output is broken off: it states no mean"
    if abs(printed - mean) > _AGREEMENT * mean + 0.01:
        return f"the runner's mean of {printed:g} ms is not that of its rows, {mean:g} ms"
    return ""


def _result(request: LaunchRequest, rows: Sequence[RunRow], stdout: str, taken: LaunchResult) -> LaunchResult:
    times = [row.seconds * 1000 for row in rows]
    timed = times[-request.runs :]
    init, whole_first, peak = (_figure(name, stdout) for name in ("init_s", "first_ms", "peak"))
    # Cut to whole milliseconds: of a quick network it says 0, which is no time.
    first = whole_first or None
    mean = sum(timed) / len(timed)
    memory = int(peak) if peak else rows[-1].peak_bytes
    notes = taken.notes
    if request.warmup == 0:
        notes = (*notes, "the tool makes one warm-up run, asked for or not")
    return LaunchResult(
        samples_ms=tuple(timed),
        statistic="run",
        runs=len(timed),
        warmup_ms=(*(() if first is None else (first,)), *times[: -request.runs]),
        init_ms=None if init is None else init * 1000,
        first_ms=first,
        peak_memory_bytes=memory or None,
        min_ms=min(timed),
        max_ms=max(timed),
        std_ms=math.sqrt(sum((value - mean) ** 2 for value in timed) / len(timed)),
        delegate=taken.delegate,
        delegation=taken.delegation,
        partitions=taken.partitions,
        notes=notes,
    )
