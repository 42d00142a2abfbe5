"""How much memory this machine has left, how much this process took, and a limit to what it may take."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

DEFAULT_FRACTION = 0.8
"""Of the available memory that a process which opens a foreign model may take: the rest keeps the machine alive."""

_KB = 1024


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def parse_available_bytes(meminfo: str) -> int | None:
    """Return ``MemAvailable`` of ``/proc/meminfo`` in bytes."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo, re.MULTILINE)
    return int(match.group(1)) * _KB if match else None


def parse_status_bytes(status: str, name: str) -> int | None:
    """Return a size of ``/proc/PID/status``, e.g. ``VmHWM``, in bytes."""
    match = re.search(rf"^{re.escape(name)}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(match.group(1)) * _KB if match else None


def parse_cgroup_bytes(limit: str, used: str) -> int | None:
    """Return what a control group leaves, from ``memory.max`` and ``memory.current``; ``None`` without a limit."""
    if not limit.strip().isdigit() or not used.strip().isdigit():
        return None
    return max(0, int(limit) - int(used))


def available_bytes() -> int | None:
    """Return what can be taken without swapping: the machine's, or the container's where that is less."""
    group = re.search(r"^0::(/\S*)$", _read("/proc/self/cgroup"), re.MULTILINE)
    folder = "/sys/fs/cgroup" + (group.group(1).rstrip("/") if group else "")
    found = (
        parse_available_bytes(_read("/proc/meminfo")),
        parse_cgroup_bytes(_read(f"{folder}/memory.max"), _read(f"{folder}/memory.current")),
    )
    return min((size for size in found if size is not None), default=None)


def resident_bytes() -> int | None:
    """Return the resident memory of this process."""
    return parse_status_bytes(_read("/proc/self/status"), "VmRSS")


def peak_bytes() -> int | None:
    """Return the most resident memory that this process ever had, since `forget_peak` where that works."""
    return parse_status_bytes(_read("/proc/self/status"), "VmHWM")


def forget_peak() -> None:
    """Let the peak start anew from what is resident now, where the system can do that."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def limit_growth(growth_bytes: int = 0) -> int | None:
    """Limit what this process may take from now on; beyond it, allocations fail and nothing is swapped or killed.

    The limit is on private writable memory (``RLIMIT_DATA``), asked for and not yet touched memory included.

    Args:
        growth_bytes: More than it has now; 0 for `DEFAULT_FRACTION` of what is available.

    Returns:
        The growth that is allowed, or ``None`` where no limit could be set.
    """
    if not sys.platform.startswith("linux"):
        return None
    import resource

    has, available = parse_status_bytes(_read("/proc/self/status"), "VmData"), available_bytes()
    growth = growth_bytes or int((available or 0) * DEFAULT_FRACTION)
    if has is None or growth <= 0:
        return None
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = has + growth if hard == resource.RLIM_INFINITY else min(has + growth, hard)
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    except (OSError, ValueError):
        return None
    return wanted - has


@contextlib.contextmanager
def bounded_growth(growth_bytes: int) -> Iterator[None]:
    """Limit what this process may take while the context lasts; beyond it, allocations fail. Nothing where unknown.

    Args:
        growth_bytes: More than it has now.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit_growth(growth_bytes)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
