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

_PR_SET_PDEATHSIG = 1
_PPID_POLL_S = 1.0
_RT_IDLE_FRACTION = 0.06
"""Linux lets real-time processes have 95 % of a second; who sleeps more than 5 % is never throttled."""


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


def go_real_time() -> bool:
    """Take the lowest real-time priority and say whether it was granted.

    Threads made later inherit it. The lowest is enough: it stands above all ordinary work.
    """
    if not hasattr(os, "sched_setscheduler"):
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return False
    return True


def rest_after(busy_s: float) -> None:
    """Sleep so long that real-time throttling never strikes inside a timed run."""
    time.sleep(min(max(busy_s * _RT_IDLE_FRACTION, 0.0003), 0.1))


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
