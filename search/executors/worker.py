"""What runs inside a worker process: jobs off a pipe, outcomes back, and never longer than the parent lives."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection

from search.executors.executor import Outcome, run_safely

_PR_SET_PDEATHSIG = 1
_WATCH_PERIOD_S = 1.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def serve(connection: Connection, parent_pid: int, by_main_thread: bool) -> None:
    """Run jobs until the pipe closes.

    Args:
        connection: Receives a `Job`, sends its `Outcome`.
        parent_pid: The process without which this one must not go on.
        by_main_thread: Whether that process's main thread started this one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with(parent_pid, by_main_thread)
    use_one_thread()
    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            return
        except Exception as error:
            outcome = Outcome(error_message=f"the job cannot be read by a worker: {error}")
        else:
            outcome = run_safely(job)
        try:
            _send(connection, outcome)
        except (BrokenPipeError, OSError):
            return


def _send(connection: Connection, outcome: Outcome) -> None:
    try:
        connection.send(outcome)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError) as error:
        connection.send(Outcome(error_message=f"the result cannot be sent back: {error}"))


def use_one_thread() -> None:
    """Keep numeric libraries to one thread, whether they are loaded already or not."""
    for name in _THREAD_VARIABLES:
        os.environ[name] = "1"
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def _die_with(parent_pid: int, by_main_thread: bool) -> None:
    """Make sure that this process ends when the parent does, even by SIGKILL.

    Linux sends a signal (prctl(2), PR_SET_PDEATHSIG), but when the *thread* that started this process ends, so it is
    asked only where that was the main thread. Elsewhere, and for a parent that was gone before the call, a thread
    watches the parent's id.
    """
    if sys.platform == "linux" and by_main_thread:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    threading.Thread(target=_watch, args=(parent_pid,), daemon=True, name="parent-watch").start()


def _watch(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_WATCH_PERIOD_S)
    os._exit(1)
