"""The measuring child process: ``python -m devices.runtimes.worker --runtime ort``.

It speaks JSON, one object a line. After its start it says ``{"ready": true, "version", "cpu_mask", "fifo",
"memory_limit"}``, then answers each request with one line:

* ``{"op": "load", "sha256", "path", "shape", "shapes", "fill"}`` -> ``{"load_ms", "first_run_ms", "notes"}``
* ``{"op": "run", "sha256", "runs", "warmup"}`` -> ``{"samples_ns", "warmup_ns", "involuntary_switches", "priority"}``
* ``{"op": "try", ...as load}`` -> as ``load``, and ``{"outputs", "bad_outputs", "peak_memory_bytes"}``
* ``{"op": "unload", "sha256"}`` -> ``{}``

or ``{"error": text}``. It ends when stdin ends or its parent does. A process of its own, because a bad model can take
its runtime down, and because pinning, real-time priority and a limit to memory must not befall whoever wants to
measure. Models are loaded at ordinary priority: a model that hangs must not keep a CPU from everything else.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from typing import IO, Any

import numpy as np

from devices.runtimes import memory, scheduling
from devices.runtimes.inputs import Feed
from devices.runtimes.loaded import LoadedModel, Open, Run, UnknownDelegateError
from devices.runtimes.sessions import RUNTIMES, opener


def timed_visit(run: Run, runs: int, warmup: int, pacer: scheduling.Pacer) -> dict[str, Any]:
    """Run a model ``warmup + runs`` times with the garbage collector off; rests lie between runs, not inside.

    The first of several discarded runs has ordinary priority: others get the CPU then, and less rest is owed.

    Returns:
        ``samples_ns`` and ``warmup_ns``, in order of time, ``involuntary_switches`` (-1 where unknown), and
        ``priority``: ``real-time``, or ``ordinary`` where any of the timed runs had no more than that.
    """
    clock = time.perf_counter_ns
    times = [0] * (warmup + runs)
    switches = scheduling.involuntary_switches()
    is_real_time = pacer.now_real_time
    is_lowered = warmup > 1 and is_real_time
    if is_lowered:
        pacer.ordinary()
    gc.disable()
    try:
        for place in range(warmup + runs):
            if place == 1 and is_lowered and times[0] < scheduling.LONGEST_REAL_TIME_RUN_S * 1e9:
                pacer.restore()
            is_real_time = pacer.now_real_time
            start = clock()
            run()
            times[place] = took = clock() - start
            pacer.after_run(took / 1e9)
    finally:
        gc.enable()
    delta = scheduling.involuntary_switches() - switches if switches >= 0 else -1
    return {
        "samples_ns": times[warmup:],
        "warmup_ns": times[:warmup],
        "involuntary_switches": delta,
        "priority": "real-time" if is_real_time else "ordinary",
    }


def describe_outputs(model: LoadedModel) -> dict[str, Any]:
    """Return name, type and sizes of what the last run gave, and which outputs hold a NaN or an infinity."""
    outputs = model.outputs()
    return {
        "outputs": [{"name": name, "dtype": value.dtype.name, "shape": list(value.shape)} for name, value in outputs],
        "bad_outputs": [name for name, value in outputs if value.dtype.kind == "f" and not np.isfinite(value).all()],
    }


class Worker:
    """The models that are loaded, and the answer to each request."""

    def __init__(self, open_model: Open, pacer: scheduling.Pacer) -> None:
        self._open = open_model
        self._pacer = pacer
        self._models: dict[str, LoadedModel] = {}
        self._run_s: dict[str, float] = {}
        self._unsettled: set[str] = set()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what a request asks; whatever a runtime raises becomes an error text."""
        try:
            return self._answer(request)
        except Exception as error:  # runtimes raise types of their own, and one bad model must not end the worker
            text = str(error).strip() or "no message"
            return {
                "error": f"{type(error).__name__}: {text}"[:4000],
                "out_of_memory": isinstance(error, MemoryError),
            }

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        sha256 = str(request["sha256"])
        if request["op"] == "unload":
            self._models.pop(sha256, None)
            return {}
        try:
            if request["op"] == "load":
                return self._load(sha256, request)
            if request["op"] == "try":
                return self._try(sha256, request)
            return self._run(sha256, int(request["runs"]), int(request["warmup"]))
        finally:
            self._pacer.restore()

    def _load(self, sha256: str, request: dict[str, Any]) -> dict[str, Any]:
        self._pacer.ordinary()
        start = time.perf_counter()
        model = self._open(request["path"], Feed.from_json(request))
        loaded = time.perf_counter()
        if request.get("has_run"):  # its first run will be the first discarded one of its next visit
            self._models[sha256] = model
            self._unsettled.add(sha256)
            return {"load_ms": (loaded - start) * 1000, "notes": list(model.notes)}
        model.first_run()
        ran = time.perf_counter()
        # Before the model settles: its outputs may have no values from then until the next run.
        described = describe_outputs(model) if request["op"] == "try" else {}
        model.settle()
        self._models[sha256], self._run_s[sha256] = model, ran - loaded
        return {
            "load_ms": (loaded - start) * 1000,
            "first_run_ms": (ran - loaded) * 1000,
            "notes": list(model.notes),
            **described,
        }

    def _try(self, sha256: str, request: dict[str, Any]) -> dict[str, Any]:
        memory.forget_peak()
        before = memory.resident_bytes()
        reply = self._load(sha256, request)
        peak = memory.peak_bytes()
        growth = None if before is None or peak is None else max(0, peak - before)
        return {**reply, "peak_memory_bytes": growth}

    def _run(self, sha256: str, runs: int, warmup: int) -> dict[str, Any]:
        first_ns = self._first_run_ns(sha256) if sha256 in self._unsettled else None
        if self._run_s[sha256] > scheduling.LONGEST_REAL_TIME_RUN_S:
            self._pacer.ordinary()
        left = warmup if first_ns is None else max(warmup - 1, 0)
        reply = timed_visit(self._models[sha256].run, runs, left, self._pacer)
        if first_ns is not None and left < warmup:
            reply["warmup_ns"].insert(0, first_ns)
        # The fastest: a first run that was slow for being cold must not keep a model from its priority.
        self._run_s[sha256] = min([*reply["samples_ns"], *reply["warmup_ns"]], default=0) / 1e9
        return reply

    def _first_run_ns(self, sha256: str) -> int:
        """Run a model that was loaded anew for the first time, and return how long that took."""
        model = self._models[sha256]
        self._pacer.ordinary()
        start = time.perf_counter_ns()
        model.first_run()
        took = time.perf_counter_ns() - start
        model.settle()
        self._pacer.restore()
        self._unsettled.discard(sha256)
        self._run_s[sha256] = took / 1e9
        return took


def _serve(worker: Worker, replies: IO[str], pacer: scheduling.Pacer) -> None:
    asked = time.perf_counter()
    for line in sys.stdin:
        pacer.waited(time.perf_counter() - asked)
        reply = worker.answer(json.loads(line))
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        # Behind the reply: the parent works meanwhile.
        pacer.rest()
        asked = time.perf_counter()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="measuring child process of mnas")
    parser.add_argument("--runtime", choices=RUNTIMES, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--delegate", default="")
    parser.add_argument("--cpus", default="")
    parser.add_argument("--memory-limit", type=int, default=0, help="bytes of growth; 0: 80 %% of what is available")
    parser.add_argument("--ordinary", action="store_true", help="never take real-time priority")
    parser.add_argument("--signal-with-parent", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Serve one parent over stdin and stdout until it closes them."""
    options = _arguments()
    # Runtimes print to stdout; what they print must not land between the replies.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    scheduling.die_with_parent(options.signal_with_parent)
    mask = scheduling.pin(options.threads, options.cpus)
    try:
        open_model, version = opener(options.runtime, options.threads, options.delegate)
    except UnknownDelegateError as error:
        replies.write(json.dumps({"error": str(error), "delegates": error.present}) + "\n")
        replies.flush()
        return
    # Only now, so that no import is limited or runs at real-time priority.
    limit = memory.limit_growth(options.memory_limit)
    fifo = not options.ordinary and bool(mask) and scheduling.set_real_time(True)
    greeting = {"ready": True, "version": version, "cpu_mask": mask, "fifo": fifo, "memory_limit": limit}
    replies.write(json.dumps(greeting) + "\n")
    replies.flush()
    pacer = scheduling.Pacer(fifo, scheduling.real_time_limit())
    _serve(Worker(open_model, pacer), replies, pacer)


if __name__ == "__main__":
    main()
