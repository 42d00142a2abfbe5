"""The profiling child process: ``python -m devices.profiling.child``.

It reads one request as a line of JSON, says what its runtime's profiler noted or ``{"error": text}``, and ends. A
process of its own, so that a model which crashes its runtime costs one profile, and so that no profiler is ever on in
a process that times.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from devices.profiling.raw import RawProfile
from devices.profiling.request import ProfileRequest, Runner
from devices.runtimes import scheduling


def _profiler(runtime: str) -> Callable[[ProfileRequest, Runner], RawProfile]:
    if runtime == "ort":
        from devices.profiling.ort import profile_ort

        return profile_ort
    if runtime == "litert":
        from devices.profiling.litert import profile_litert

        return profile_litert
    from devices.profiling.torch_program import profile_torch

    return profile_torch


def _answer(request: ProfileRequest) -> dict[str, Any]:
    mask = scheduling.pin(request.threads, request.cpus)
    if request.cpus and mask != request.cpus:
        return {"error": f"pinned to '{mask}' in place of the CPUs asked for, '{request.cpus}'"}
    try:
        return _profiler(request.runtime)(request, Runner(bool(mask))).to_json()
    except Exception as error:  # runtimes raise types of their own, and the parent wants a sentence
        return {"error": f"{type(error).__name__}: {str(error).strip() or 'no message'}"[:2000]}


def main() -> None:
    """Answer one request."""
    parser = argparse.ArgumentParser(description="profiling child process of mnas")
    parser.add_argument("--signal-with-parent", action="store_true")
    options = parser.parse_args()
    # Runtimes print to stdout; what they print must not land in the answer.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = ProfileRequest.from_json(json.loads(sys.stdin.readline()))
    scheduling.die_with_parent(options.signal_with_parent)
    replies.write(json.dumps(_answer(request)))
    replies.close()


if __name__ == "__main__":
    main()
