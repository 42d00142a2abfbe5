"""Whether the process that holds a piece of work still lives, as another process sees it."""

from __future__ import annotations

import os
import socket
import time

STALE_S = 60.0
"""A holder that cannot be looked at, such as one on another machine, counts as gone when its heartbeat is this old."""


def process_token() -> str:
    """Return what names this process among all: ``host:pid:start time``."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start_time(os.getpid())}"


def is_alive(token: str, heartbeat_s: float) -> bool:
    """Return whether a holder lives: by its process where that can be seen from here, else by its heartbeat.

    Args:
        token: Its `process_token`; "" is nobody.
        heartbeat_s: When it last beat, in seconds of the wall clock.
    """
    if not token:
        return False
    host, pid, started = token.rsplit(":", 2)
    if host == socket.gethostname() and started:
        return _start_time(int(pid)) == started
    return time.time() - heartbeat_s < STALE_S


def _start_time(pid: int) -> str:
    """Return when a process started in the kernel's ticks.

    "" when there is none, when it is dead and nobody has waited for it, or where the system does not tell.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]
