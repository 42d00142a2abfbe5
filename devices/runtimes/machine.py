"""What this machine is, and the state that it is in."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def cpu_model() -> str:
    """Return the CPU's name as the system has it, or the architecture where it has none."""
    match = re.search(r"^(?:model name|Hardware|cpu model)\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    name = match.group(1) if match else platform.processor() or platform.machine()
    return " ".join(name.split()) or "unknown"


def os_build() -> str:
    """Return the operating system with its release."""
    return platform.platform()


def parse_cpu_mhz(cpuinfo: str) -> list[float]:
    """Return the clock of each CPU that ``/proc/cpuinfo`` tells, in MHz."""
    return [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([0-9.]+)\s*$", cpuinfo, re.MULTILINE)]


def parse_steal_ticks(stat: str) -> int | None:
    """Return the ticks that the hypervisor took from this machine since its start, from ``/proc/stat``."""
    match = re.search(r"^cpu\s+(?:\d+\s+){7}(\d+)", stat, re.MULTILINE)
    return int(match.group(1)) if match else None


def conditions() -> dict[str, Any]:
    """Return what can be read of the machine's state; a value that cannot be read is absent."""
    state: dict[str, Any] = {}
    if hasattr(os, "getloadavg"):
        try:
            state["load_average"] = [round(value, 2) for value in os.getloadavg()]
        except OSError:
            pass
    clocks = parse_cpu_mhz(_read("/proc/cpuinfo"))
    if clocks:
        state["cpu_mhz"] = clocks
    steal = parse_steal_ticks(_read("/proc/stat"))
    if steal is not None:
        state["steal_ticks"] = steal
    return state
