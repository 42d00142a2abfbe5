"""The lines in which ``benchmark_model`` and LiteRT's newer tool state times and memory.

Source: the tools' sources from TensorFlow 1.12 (2018) to LiteRT of August 2026, and transcripts that users published.
Times are whole microseconds but for averages, which have six significant digits and may have an exponent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

_PREFIX = re.compile(r"^\s*(?:(?:INFO|WARN|WARNING|VERBOSE|DEBUG)\s*:\s*)?(?:\[[^\]\s]*:\d+\]\s*)?")
_COUNT = re.compile(r"^count=(\d{1,18})(?=\s|$)(.*)$")
_FIELD = re.compile(r"\b(first|curr|min|max|avg|std|p5|median|p95)=([^\s(]*)(\(all same\))?")
_LOOP = re.compile(r"^Running benchmark for (?:at least )?\d+ iterations")
_INITIALISED = re.compile(r"^Initialized session in ([\d.e+-]+)\s*ms")
_TIMINGS = re.compile(r"^(?:Average inference|Inference) timings in us:\s*(.*)$")
_TIMING = re.compile(r"([A-Za-z][A-Za-z ()]*?):\s*([\d.e+-]+)")
_LITERT_TIMING = re.compile(r"^(Model initialization|Warmup \(first\)|Inference \(avg\)):\s*([\d.e+-]+) ms")
_UNCONSUMED = re.compile(r"^Unconsumed cmdline flags:\s*(.*)$")
_MEMORY = (
    (
        re.compile(r"^Overall peak memory footprint \(MB\) via periodic monitoring:\s*([\d.e+-]+)"),
        "watched by the tool",
    ),
    (re.compile(r"^Peak memory:\s*([\d.e+-]+) MB"), "watched by the tool"),
    (re.compile(r"^Peak memory footprint \(MB\):.*\boverall=([\d.e+-]+)"), "growth since the tool's start"),
    (re.compile(r"^Memory footprint delta .*\boverall=([\d.e+-]+)"), "growth since the tool's start"),
    (re.compile(r"^Overall footprint:\s*([\d.e+-]+) MB"), "growth since the tool's start"),
)


@dataclass(frozen=True, slots=True)
class LoopStats:
    """One ``count=...`` line.

    Attributes:
        count: Inferences.
        first_us: First one; ``None`` where the line does not tell, as for all below.
        min_us: Fastest.
        max_us: Slowest.
        avg_us: Mean.
        std_us: Population standard deviation, cut to a whole number.
        p5_us: 5 % quantile, of tools since about 2025.
        median_us: Median, of the same.
        p95_us: 95 % quantile, of the same.
    """

    count: int
    first_us: float | None = None
    min_us: float | None = None
    max_us: float | None = None
    avg_us: float | None = None
    std_us: float | None = None
    p5_us: float | None = None
    median_us: float | None = None
    p95_us: float | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What the tool says at its end; ``None`` where it does not tell."""

    init_ms: float | None = None
    first_ms: float | None = None
    inference_ms: float | None = None


def plain_lines(*texts: str) -> list[str]:
    """Return the lines of outputs without severity and place in the source, in order."""
    return [_PREFIX.sub("", line).rstrip() for text in texts for line in text.splitlines()]


def read_loop_stats(line: str) -> LoopStats | None:
    """Read a ``count=...`` line without its prefix.

    Returns:
        ``None`` for another line.

    Raises:
        ValueError: It is such a line but broken off, or a value is no finite number.
    """
    found = _COUNT.match(line)
    if found is None:
        return None
    count = int(found[1])
    if count == 0:
        return LoopStats(0)
    fields, same = {}, False
    for name, text, mark in _FIELD.findall(found[2]):
        fields[name], same = _number(text, line), same or bool(mark)
    if count == 1 or same:
        if "curr" not in fields:
            raise ValueError(f"a line of statistics is broken off: {line}")
        value = fields["curr"]
        fields = {"first": value, "min": value, "max": value, "avg": value, "std": 0.0, **fields}
    needed = {"first", "min", "max", "avg", "std"} | ({"p5", "median", "p95"} if "p5" in fields else set())
    if not needed <= set(fields):
        raise ValueError(f"a line of statistics is broken off: {line}")
    return LoopStats(count, **{f"{name}_us": value for name, value in fields.items() if name != "curr"})


def _number(text: str, line: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"a line of statistics holds no number at '{text}': {line}")
    return value


def read_loops(lines: Sequence[str]) -> list[LoopStats]:
    """Return the statistics of each loop that the tool announced, warm-up first.

    The totals of an operator profile look alike but follow no announcement.

    Args:
        lines: As `plain_lines` gives them.

    Raises:
        ValueError: One of them is broken off.
    """
    loops: list[LoopStats] = []
    is_open = False
    for line in lines:
        if _LOOP.match(line):
            is_open = True
        elif is_open and (stats := read_loop_stats(line)) is not None:
            loops.append(stats)
            is_open = False
    return loops


def read_summary(lines: Sequence[str]) -> Summary:
    """Return what the tool says at its end, in any of its wordings since 2018."""
    found: dict[str, float] = {}
    for line in lines:
        if start := _INITIALISED.match(line):
            found.setdefault("init", _float(start[1]))
        elif timings := _TIMINGS.match(line):
            for name, text in _TIMING.findall(timings[1]):
                found[_TIMING_NAMES.get(name, name)] = _float(text) / 1000
        elif timing := _LITERT_TIMING.match(line):
            found.setdefault(_TIMING_NAMES[timing[1]], _float(timing[2]))
    return Summary(found.get("init"), found.get("first"), found.get("inference"))


_TIMING_NAMES = {
    "Init": "init",
    "First inference": "first",
    "Inference (avg)": "inference",
    "Inference": "inference",
    "no stats": "inference",
    "Model initialization": "init",
    "Warmup (first)": "first",
}


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def read_peak_memory(lines: Sequence[str]) -> tuple[int, str] | None:
    """Return bytes and how they were taken, the best that the output holds; ``None`` where it tells nothing."""
    for pattern, how in _MEMORY:
        for line in lines:
            if (found := pattern.match(line)) and math.isfinite(_float(found[1])) and _float(found[1]) > 0:
                return round(_float(found[1]) * 2**20), how
    return None


def unconsumed_flags(lines: Sequence[str]) -> str:
    """Return the flags that the tool did not know and passed over, or ""."""
    return next((found[1] or "?" for line in lines if (found := _UNCONSUMED.match(line))), "")
