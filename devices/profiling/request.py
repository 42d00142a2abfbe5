"""What the parent asks of the profiling child, and the loop that every runtime's part runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from devices.runtimes import scheduling
from devices.runtimes.inputs import Feed

_PLAIN_RUNS = 10
_COSTLY = 1.5


@dataclass(frozen=True, slots=True)
class ProfileRequest:
    """One model to be profiled.

    Attributes:
        runtime: ``ort``, ``litert`` or ``torch``.
        path: Model file.
        threads: Threads of the runtime.
        cpus: Mask of CPUs, or "" for the default.
        delegate: As in a device spec; "" for the runtime's default.
        runs: Profiled inferences.
        warmup: Inferences before them.
        feed: What the inputs hold.
    """

    runtime: str
    path: str
    threads: int
    cpus: str
    delegate: str
    runs: int
    warmup: int
    feed: Feed

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ProfileRequest:
        """Read what `to_json` wrote."""
        return cls(**{**value, "feed": Feed.from_json(value["feed"])})


class Runner:
    """Runs a model as a measuring process does: at real-time priority with rests, where that is granted.

    Args:
        is_pinned: Real-time priority is taken only then, so that one CPU stays free for whoever ends this process.
    """

    def __init__(self, is_pinned: bool) -> None:
        self._is_pinned = is_pinned
        self._pacer = scheduling.Pacer(False)

    def settle(self) -> None:
        """Take the priority; to be called once imports are done and before a model is loaded."""
        if self._is_pinned and scheduling.set_real_time(True):
            self._pacer = scheduling.Pacer(True, scheduling.real_time_limit())

    def repeat(self, count: int, run: Callable[[], object]) -> list[float]:
        """Run something so often, with rests where they are due, and return the milliseconds of each run."""
        times = []
        for _ in range(count):
            start = time.perf_counter()
            run()
            took_s = time.perf_counter() - start
            times.append(took_s * 1000)
            self._pacer.after_run(took_s)
        return times

    def fastest_plain_ms(self, run: Callable[[], object], warmup: int) -> float:
        """Return the fastest of a few runs without profiler, to tell how much slower a profile is."""
        return min(self.repeat(warmup + _PLAIN_RUNS, run)[warmup:])


def slowdown_note(plain_ms: float, profiled_ms: float) -> str:
    """Say what profiling costs; both are the fastest of a few runs of the same process."""
    ratio = profiled_ms / plain_ms if plain_ms > 0 else 1.0
    warning = "; the profiler itself takes much of that, and makes cheap operators look dear" if ratio > _COSTLY else ""
    return (
        f"fastest inference {profiled_ms:.4g} ms profiled, {plain_ms:.4g} ms without profiler "
        f"({ratio - 1:+.0%}){warning}"
    )
