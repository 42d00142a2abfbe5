"""The measuring child process: ``python -m devices.runtimes.worker --runtime ort``.

It speaks JSON, one object a line. After its start it says ``{"ready": true, "version", "cpu_mask", "fifo"}``, then
answers each request with one line:

* ``{"op": "load", "sha256", "path", "shape"}`` -> ``{"load_ms"}``
* ``{"op": "run", "sha256", "runs", "warmup"}`` -> ``{"samples_ns", "warmup_ns", "involuntary_switches"}``
* ``{"op": "unload", "sha256"}`` -> ``{}``

or ``{"error": text}``. It ends when stdin ends or its parent does. A process of its own, because a bad model can take
its runtime down, and because pinning and real-time priority must not befall whoever wants to measure.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from typing import IO, Any

from devices.runtimes import scheduling
from devices.runtimes.sessions import Open, Run, opener


def timed_visit(run: Run, runs: int, warmup: int) -> dict[str, Any]:
    """Run a model ``warmup + runs`` times with the garbage collector off.

    Returns:
        ``samples_ns`` and ``warmup_ns``, in order of time, and ``involuntary_switches`` (-1 where unknown).
    """
    clock = time.perf_counter_ns
    times = [0] * (warmup + runs)
    switches = scheduling.involuntary_switches()
    gc.disable()
    try:
        for place in range(warmup + runs):
            start = clock()
            run()
            times[place] = clock() - start
    finally:
        gc.enable()
    delta = scheduling.involuntary_switches() - switches if switches >= 0 else -1
    return {"samples_ns": times[warmup:], "warmup_ns": times[:warmup], "involuntary_switches": delta}


class Worker:
    """The models that are loaded, and the answer to each request."""

    def __init__(self, open_model: Open) -> None:
        self._open = open_model
        self._models: dict[str, Run] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what a request asks; whatever a runtime raises becomes an error text."""
        try:
            return self._answer(request)
        except Exception as error:  # runtimes raise types of their own, and one bad model must not end the worker
            text = str(error).strip() or "no message"
            return {"error": f"{type(error).__name__}: {text}"[:2000]}

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        sha256 = str(request["sha256"])
        if request["op"] == "load":
            start = time.perf_counter()
            self._models[sha256] = self._open(request["path"], request["shape"])
            return {"load_ms": (time.perf_counter() - start) * 1000}
        if request["op"] == "unload":
            self._models.pop(sha256, None)
            return {}
        return timed_visit(self._models[sha256], int(request["runs"]), int(request["warmup"]))


def _serve(worker: Worker, replies: IO[str], fifo: bool) -> None:
    for line in sys.stdin:
        start = time.perf_counter()
        reply = worker.answer(json.loads(line))
        busy_s = time.perf_counter() - start
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        if fifo:
            scheduling.rest_after(busy_s)


def main() -> None:
    """Serve one parent over stdin and stdout until it closes them."""
    parser = argparse.ArgumentParser(description="measuring child process of mnas")
    parser.add_argument("--runtime", choices=("ort", "litert"), required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--delegate", default="")
    parser.add_argument("--cpus", default="")
    parser.add_argument("--signal-with-parent", action="store_true")
    options = parser.parse_args()
    # Runtimes print to stdout; what they print must not land between the replies.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    scheduling.die_with_parent(options.signal_with_parent)
    mask = scheduling.pin(options.threads, options.cpus)
    open_model, version = opener(options.runtime, options.threads, options.delegate)
    # Only now, so that no import runs at real-time priority; threads of later sessions inherit it.
    fifo = bool(mask) and scheduling.go_real_time()
    replies.write(json.dumps({"ready": True, "version": version, "cpu_mask": mask, "fifo": fifo}) + "\n")
    replies.flush()
    _serve(Worker(open_model), replies, fifo)


if __name__ == "__main__":
    main()
