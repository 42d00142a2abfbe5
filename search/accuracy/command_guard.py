"""Runs one command in a process group of its own, and ends the whole group in time or when its parent is gone.

A program by itself, started by its path: it must not import anything of the package, so that it starts at once.

    python command_guard.py PARENT_PID TIMEOUT_S COMMAND [ARGUMENT...]

Exit status: the command's own, 128 + n where signal n ended it, 124 when time ran out, 127 when it cannot be started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

TIMED_OUT, NOT_STARTED = 124, 127
_POLL_S = 0.05


def guard(parent_pid: int, timeout_s: float, argv: list[str]) -> int:
    """Run a command; see the module."""
    try:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return NOT_STARTED
    signal.signal(signal.SIGTERM, _terminated)
    deadline = time.monotonic() + timeout_s
    try:
        while child.poll() is None:
            if time.monotonic() > deadline:
                return TIMED_OUT
            if os.getppid() != parent_pid:
                return 128 + signal.SIGKILL
            time.sleep(_POLL_S)
        return child.returncode if child.returncode >= 0 else 128 - child.returncode
    finally:
        _end_group(child)


def _terminated(*_: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Kill the command with whatever it started and left running."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    child.wait()


if __name__ == "__main__":
    raise SystemExit(guard(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
