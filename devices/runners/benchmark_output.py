"""From the output of ``benchmark_model``, old or new, to the result of a launch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from devices.runners.delegation import Delegation, applied_without_asking, read_delegation
from devices.runners.exit_status import exit_reason
from devices.runners.launch import PARTIAL_HINT, LaunchRequest, LaunchResult, failed_launch
from devices.runners.statistics_lines import (
    LoopStats,
    Summary,
    plain_lines,
    read_loops,
    read_peak_memory,
    read_summary,
    unconsumed_flags,
)

PEAK_MEMORY_FLAG = "--report_peak_memory_footprint=true"
"""A build of 2020 says that it does not know this one, and its times are as good as any."""

_AGREEMENT = 2e-4
"""Relative difference that rounding to six digits leaves between two prints of one average, with room."""

Judge = Callable[[LaunchRequest, Delegation], tuple[Delegation, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Wording:
    """How one tool's output differs from the other's.

    Attributes:
        default_delegate: What an empty delegate of a request means.
        has_summary: Whether the tool always repeats its mean at the end, which proves that the output is whole.
        summary_ms: Absolute rounding of that mean, in milliseconds.
        judge: Says what to make of a delegation that the output does not state.
    """

    default_delegate: str
    has_summary: bool
    summary_ms: float
    judge: Judge


def read_benchmark(request: LaunchRequest, rc: int, stdout: str, stderr: str, wording: Wording) -> LaunchResult:
    """Read the output of one launch.

    Args:
        request: What the launch was asked to do.
        rc: Exit code.
        stdout: All that it printed.
        stderr: The same of its errors; LiteRT's tool prints half of its results there.
        wording: Which tool it is.
    """
    lines = plain_lines(stdout, stderr)
    delegate = (request.delegate or wording.default_delegate).partition(":")[0]
    error = exit_reason(rc, stdout, stderr)
    if not error and (flags := _unknown_flags(request, lines)):
        error = f"the runner does not know these flags and ran without them: {flags}"
    if error:
        return failed_launch(error)
    taken = _judge_delegation(request, delegate, lines, wording)
    if taken.error:
        return taken
    try:
        loops = read_loops(lines)
    except ValueError as broken:
        return _failed_after(taken, str(broken))
    summary = read_summary(lines)
    if error := _find_fault(request, loops, summary, wording, stdout):
        return _failed_after(taken, error, runs=loops[1].count if len(loops) > 1 else 0)
    return _result(request, loops, summary, lines, taken)


def _unknown_flags(request: LaunchRequest, lines: Sequence[str]) -> str:
    """Return the flags that were passed over and without which the numbers would be others, or ""."""
    unknown = unconsumed_flags(lines).split()
    return " ".join(flag for flag in unknown if not (request.peak_memory and flag == PEAK_MEMORY_FLAG))


def _failed_after(taken: LaunchResult, error: str, runs: int = 0) -> LaunchResult:
    return failed_launch(
        error,
        runs=runs,
        delegate=taken.delegate,
        delegation=taken.delegation,
        partitions=taken.partitions,
        notes=taken.notes,
    )


def _judge_delegation(request: LaunchRequest, delegate: str, lines: Sequence[str], wording: Wording) -> LaunchResult:
    """Return a result that holds the delegation alone, with an error when the launch must not count."""
    if delegate == "none":
        found = applied_without_asking(lines)
        if found:
            return failed_launch(f"no delegate was asked for, yet the runner applied {found}", delegate=found.lower())
        return failed_launch("")
    told, notes = wording.judge(request, read_delegation(lines, delegate))
    if told.extent == "none":
        why = told.complaint or ("it says so" if told.is_told else "its output says nothing of it")
        return failed_launch(f"the model was not run by the delegate {delegate}: {why}", partitions=told.partitions)
    pieces = f" in {told.partitions} partitions" if told.partitions else ""
    nodes = f" ({told.share[0]} of {told.share[1]} nodes)" if told.share else ""
    what = f"only parts of the model are run by the delegate {delegate}{nodes}{pieces}"
    if told.extent == "partial" and told.is_told:
        notes = (*notes, what)
    elif told.extent == "partial":
        what = f"not all of the model may be run by the delegate {delegate}: {notes[-1]}"
    refused = told.extent == "partial" and not request.allow_partial
    return failed_launch(
        what + PARTIAL_HINT if refused else "",
        delegate=delegate,
        delegation=told.extent,
        partitions=told.partitions,
        notes=notes,
    )


def _find_fault(
    request: LaunchRequest, loops: Sequence[LoopStats], summary: Summary, wording: Wording, stdout: str
) -> str:
    if len(loops) < 2:
        return "the output is broken off: it holds no statistics of the timed runs"
    timed = loops[1]
    if timed.count != request.runs:
        return f"{timed.count} timed runs instead of {request.runs}"
    if (summary.inference_ms is None and wording.has_summary) or _ends_in_statistics(stdout):
        return "the output is broken off after the statistics"
    mean_ms = _ms(timed.avg_us)
    if mean_ms is None or mean_ms <= 0:
        return f"a mean of {mean_ms} ms is no time"
    if summary.inference_ms is not None:
        apart = abs(summary.inference_ms - mean_ms)
        if not apart <= mean_ms * _AGREEMENT + wording.summary_ms:
            return f"the output contradicts itself: means of {mean_ms:g} ms and {summary.inference_ms:g} ms"
    return _contradiction(timed)


def _ends_in_statistics(stdout: str) -> bool:
    """Whether an output stops within a line of statistics, whose last number may then lack digits."""
    return not stdout.endswith("\n") and plain_lines(stdout)[-1:] != [] and plain_lines(stdout)[-1].startswith("count=")


def _contradiction(timed: LoopStats) -> str:
    low, high = timed.min_us, timed.max_us
    centres = [value for value in (timed.avg_us, timed.median_us, timed.p5_us, timed.p95_us) if value is not None]
    if low is None or high is None:
        return "the output holds no fastest or slowest run"
    # Times are cut to whole microseconds, so that the fastest run of a tiny model truly reads 0.
    if low < 0 or high <= 0 or timed.median_us == 0:
        return f"times of {low:g} .. {high:g} us are too short for this tool: it counts whole microseconds"
    slack = high * 1e-5 + 1
    if not all(low - slack <= value <= high + slack for value in centres):
        return f"the statistics contradict each other: {low:g} .. {high:g} us with {centres}"
    if not _can_be_so_far(timed, low, high):
        return f"the statistics contradict each other: {low:g} .. {high:g} us with a spread of {timed.std_us:g}"
    return ""


def _can_be_so_far(timed: LoopStats, low: float, high: float) -> bool:
    """Whether the extremes lie where the spread lets them: none is more than sd * sqrt(n - 1) from the mean.

    Source: Samuelson, "How Deviant Can You Be?", JASA 63 (1968).
    """
    if timed.avg_us is None or timed.std_us is None:
        return True
    # The standard deviation is cut to a whole number, the mean has six digits.
    furthest = (timed.std_us + 1) * math.sqrt(max(timed.count - 1, 0)) + high * 1e-5 + 1
    return max(timed.avg_us - low, high - timed.avg_us) <= furthest


def _result(
    request: LaunchRequest, loops: Sequence[LoopStats], summary: Summary, lines: Sequence[str], taken: LaunchResult
) -> LaunchResult:
    warm, timed = loops[0], loops[1]
    has_median = timed.median_us is not None
    value = _ms(timed.median_us if has_median else timed.avg_us)
    memory = read_peak_memory(lines)
    notes = list(taken.notes)
    if warm.count != request.warmup:
        notes.append(f"{warm.count} warm-up runs instead of {request.warmup}")
    if memory:
        notes.append(f"peak memory: {memory[1]}")
    elif unconsumed_flags(lines):
        notes.append("peak memory: this build cannot watch it")
    warm_mean = _ms(warm.avg_us)
    very_first = warm.first_us if warm.count else timed.first_us
    return replace(
        taken,
        samples_ms=() if value is None else (value,),
        statistic="launch_median" if has_median else "launch_mean",
        runs=timed.count,
        warmup_ms=() if warm_mean is None else (warm_mean,),
        init_ms=_finite(summary.init_ms),
        first_ms=_finite(summary.first_ms) if very_first is None else _ms(very_first),
        peak_memory_bytes=memory[0] if memory else None,
        p5_ms=_ms(timed.p5_us),
        p95_ms=_ms(timed.p95_us),
        min_ms=_ms(timed.min_us),
        max_ms=_ms(timed.max_us),
        std_ms=_ms(timed.std_us),
        notes=tuple(notes),
    )


def _ms(value_us: float | None) -> float | None:
    return None if value_us is None else value_us / 1000


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
