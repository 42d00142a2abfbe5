"""From what a runtime says when it fails to one line that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from devices.trial import How

MAX_CHARS = 300

_OUT_OF_MEMORY = re.compile(
    r"bad_alloc|MemoryError|Failed to allocate memory|can't allocate memory|not enough memory|Unable to allocate"
    r"|Cannot allocate memory|out of memory|failed to allocate|ArrayMemoryError|bad_array_new_length",
    re.IGNORECASE,
)
_MISSING_OPERATORS = (
    re.compile(r"([\w.]+:\w+)\(-?\d+\) is not a registered function/op"),
    re.compile(r"(\w+)\(-?\d+\) is not a registered function/op"),
    re.compile(r"No Op registered for ([\w.:]+)"),
    re.compile(r"Could not find an implementation for ([\w.:]+)\("),
    re.compile(r"Encountered unresolved custom op: ([^\s.]+)"),
    re.compile(r"Didn't find op for builtin opcode '(\w+)'"),
    re.compile(r"No operator found for ([\w.:]+)"),
    re.compile(r"has no attribute '(\w+)'.*torch\.ops", re.DOTALL),
    re.compile(r"'_OpNamespace' '\w+' object has no attribute '(\w+)'"),
)
_BAD_INDEX = re.compile(r"out of data bounds|index out of (?:range|bounds)|indices .* out of", re.IGNORECASE)
_NOISE = (
    re.compile(r"\x1b\[[0-9;]*m"),
    re.compile(r"^(?:RuntimeError|ValueError|Fail|RuntimeException): "),
    re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : "),
    re.compile(r"\S*\.(?:cc|cpp|h|hpp):\d+(?: [^()]*\([^()]*\)(?: const)?)?(?= )"),
    re.compile(r"Exception raised from .*", re.DOTALL),
    re.compile(r"Non-zero status code returned while running (?=\w+ node)"),
    re.compile(r"^\d{4}-\d\d-\d\d \S+ \[[EWF]:onnxruntime:[^\]]*\]", re.MULTILINE),
    re.compile(r"^(?:INFO|VERBOSE): .*$", re.MULTILINE),
    re.compile(r"^[WIE]\d{4,} .*$", re.MULTILINE),
)


def one_line(text: str) -> str:
    """Return a runtime's message without colours, prefixes, C++ signatures and line breaks, cut to 300 characters."""
    for noise in _NOISE:
        text = noise.sub("", text)
    text = " ".join(text.split())
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 3] + "..."


def missing_operator(text: str) -> str:
    """Return the operator that a runtime says it lacks, ``domain:Name`` outside the standard domain, or ""."""
    for pattern in _MISSING_OPERATORS:
        match = pattern.search(text)
        if match:
            return match.group(1)
    return ""


def is_out_of_memory(text: str) -> bool:
    """Return whether a message says that memory could not be had."""
    return bool(_OUT_OF_MEMORY.search(text))


def explain(reply: Mapping[str, Any]) -> tuple[How, str]:
    """Return how a request to a worker ended, and one line why; ``("ok", "")`` for a success.

    Args:
        reply: Of `devices.runtimes.worker_process.WorkerProcess.ask`.
    """
    error, said = str(reply.get("error", "")), str(reply.get("stderr", ""))
    if not error:
        return "ok", ""
    if reply.get("hung"):
        return "hung", one_line(error)
    # What a runtime prints beside its exception often holds the reason; memory that was had is not the reason.
    if reply.get("out_of_memory") or is_out_of_memory(f"{error}\n{said}"):
        return "out of memory", _memory_line(error, said, reply.get("memory_limit"))
    if reply.get("lost"):
        tail = one_line(said)
        return "crashed", f"{one_line(error)}; it said: {tail}" if tail else one_line(error)
    operator = missing_operator(f"{error}\n{said}")
    if operator:
        return "refused", f"the runtime has no operator {operator}"
    line = one_line(error)
    if _BAD_INDEX.search(error):
        line += " (integer inputs are filled with 0 to 99; --fill NAME=NUMBER gives one that suits)"
    return "refused", line


def _memory_line(error: str, said: str, limit: object) -> str:
    size = re.search(r"requested buffer of size (\d+)|tried to allocate (\d+) bytes", f"{error}\n{said}")
    wanted = f" for a buffer of {int(size.group(1) or size.group(2)) / 1e9:.1f} GB" if size else ""
    allowed = f"; it may take {limit / 1e9:.1f} GB" if isinstance(limit, int | float) and limit else ""
    return f"out of memory: the model could not get it{wanted}{allowed}"
