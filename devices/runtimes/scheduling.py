"""How a measuring process gets a quiet CPU, as far as the system and its rights allow."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PPID_POLL_S = 1.0
_RT_FILES = ("/proc/sys/kernel/sched_rt_runtime_us", "/proc/sys/kernel/sched_rt_period_us")
_MARGIN = 1.1
_MIN_REST_S = 0.0003
_LEAST_SLEEP_S, _MOST_SAVED_S = 0.001, 0.003
REST_AFTER_S = 0.1
"""A visit rests between two runs once it used this much since its last rest."""

LONGEST_REAL_TIME_RUN_S = 0.6
"""A model whose single run takes longer runs at ordinary priority: its runs and rests would not fit into a period."""


@dataclass(frozen=True, slots=True)
class RealTimeLimit:
    """How much of each period the system lets real-time processes have.

    Attributes:
        runtime_us: Microseconds; -1 for all of it.
        period_us: Microseconds.
    """

    runtime_us: int = 950_000
    period_us: int = 1_000_000

    def rest_s(self, busy_s: float) -> float:
        """Return how long to sleep after being busy, so that every window of one period holds the idle time asked for.

        A window holds ``period // (busy + rest)`` whole rests, so each has its part of the idle time. Without a limit
        the rest is the one of Linux's default, since the system's own work on that CPU needs time too.
        """
        period_s = self.period_us / 1e6
        idle_s = (self.period_us - self.runtime_us) / 1e6 if self.runtime_us >= 0 else 0.05 * period_s
        idle_s = min(max(idle_s, 0.0), 0.5 * period_s) * _MARGIN
        rests = max(1, int((period_s - idle_s) / busy_s)) if busy_s > 0 else 1_000_000
        return max(idle_s / rests, _MIN_REST_S)


def parse_real_time_limit(runtime: str, period: str) -> RealTimeLimit | None:
    """Return the limit that the texts of Linux's two files say."""
    try:
        limit = RealTimeLimit(int(runtime), int(period))
    except ValueError:
        return None
    return limit if limit.period_us > 0 else None


def real_time_limit() -> RealTimeLimit | None:
    """Return the limit of this system, or ``None`` where it does not tell."""
    try:
        runtime, period = (Path(name).read_text(encoding="ascii") for name in _RT_FILES)
    except (OSError, UnicodeDecodeError):
        return None
    return parse_real_time_limit(runtime, period)


def choose_cpus(allowed: set[int], threads: int, mask: str = "") -> set[int]:
    """Return the CPUs to pin to: those of the mask, else the last ``threads`` allowed ones.

    The last ones, because interrupts and other work gather on the first.
    """
    if mask:
        return {cpu for cpu in allowed if int(mask, 16) >> cpu & 1}
    return set(sorted(allowed)[-threads:])


def cpu_mask(cpus: set[int]) -> str:
    """Return CPUs as a mask in lower-case hexadecimal."""
    return f"{sum(1 << cpu for cpu in cpus):x}"


def pin(threads: int, mask: str = "") -> str:
    """Pin this process and return the mask that it got, or "" where that cannot be done."""
    if not hasattr(os, "sched_setaffinity"):
        return ""
    try:
        cpus = choose_cpus(os.sched_getaffinity(0), threads, mask)
        os.sched_setaffinity(0, cpus)
        return cpu_mask(os.sched_getaffinity(0))
    except OSError:
        return ""


def set_real_time(wanted: bool) -> bool:
    """Give every thread of this process the lowest real-time priority, or ordinary priority again.

    The lowest is enough: it stands above all ordinary work.

    Returns:
        Whether the calling thread has what was wanted.
    """
    if not hasattr(os, "sched_setscheduler"):
        return not wanted
    policy = os.SCHED_FIFO if wanted else os.SCHED_OTHER
    parameter = os.sched_param(1 if wanted else 0)
    try:
        os.sched_setscheduler(0, policy, parameter)
    except OSError:
        return False
    # Threads of a runtime inherited what its maker had when they were made.
    with contextlib.suppress(OSError):
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(OSError):
                os.sched_setscheduler(int(thread), policy, parameter)
    return True


class Pacer:
    """Keeps a measuring process from being throttled inside a timed run, and lets long models run without priority.

    Args:
        is_real_time: The process has real-time priority between visits; without it there is nothing to pace.
        limit: Of the system.
        sleep: Seconds to sleep.
        set_priority: `set_real_time`.
    """

    def __init__(
        self,
        is_real_time: bool,
        limit: RealTimeLimit | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        set_priority: Callable[[bool], bool] = set_real_time,
    ) -> None:
        self.is_real_time = is_real_time
        self.now_real_time = is_real_time
        self._limit = limit or RealTimeLimit()
        self._sleep = sleep
        self._set_priority = set_priority
        self.used_s = 0.0
        self._owed_s = 0.0

    def ordinary(self) -> None:
        """Go on at ordinary priority until `restore`."""
        if self.now_real_time:
            self.now_real_time = not self._set_priority(False)

    def restore(self) -> None:
        """Take back what the process had at its start."""
        if self.is_real_time and not self.now_real_time:
            self.now_real_time = self._set_priority(True)

    def after_run(self, took_s: float) -> None:
        """Take note of a run; rest now when it is time to, and drop the priority when runs are too long for it."""
        if not self.now_real_time:
            self.waited(took_s)  # real-time throttling counts real-time work alone
            return
        self.used_s += took_s
        if took_s > LONGEST_REAL_TIME_RUN_S:
            self.ordinary()
            self.used_s = 0.0
        elif self.used_s > REST_AFTER_S:
            self.rest()

    def waited(self, seconds: float) -> None:
        """Take note that the process slept by itself, waiting for what to do: that much less is owed."""
        self._owed_s = max(self._owed_s - seconds, -_MOST_SAVED_S)

    def rest(self) -> None:
        """Sleep for what was used since the last rest; what is too little to sleep for is owed."""
        if self.is_real_time:
            self._owed_s += self._limit.rest_s(self.used_s)
            if self._owed_s >= _LEAST_SLEEP_S:
                self._sleep(self._owed_s)
                self._owed_s = 0.0
        self.used_s = 0.0


def involuntary_switches() -> int:
    """Return how often the scheduler took the CPU from this process, or -1 where that is unknown."""
    if sys.platform == "win32":
        return -1
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def die_with_parent(by_signal: bool) -> None:
    """End this process when its parent ends, even in the middle of a run.

    Two ways, because each has a hole. The kernel's signal is tied to the *thread* that started the child, so it is
    asked for only where that was the parent's main thread. The watch on stdin needs the interpreter's lock, which a
    runtime that hangs may hold. Reading stdin to its end covers the rest.

    Args:
        by_signal: Ask Linux for a signal at the parent's death.
    """
    if by_signal and sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()


def _watch_parent(parent: int) -> None:
    if hasattr(select, "poll"):
        watch = select.poll()
        watch.register(0, 0)  # no events asked for: only a hang-up or an error wakes it
        watch.poll()
    else:
        while os.getppid() == parent:
            time.sleep(_PPID_POLL_S)
    os._exit(0)
