"""What this machine is, and the state that it is in."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from devices.runtimes import memory

_CPUS = "/sys/devices/system/cpu"


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


def parse_huge_pages(enabled: str) -> str:
    """Return the chosen word of ``/sys/kernel/mm/transparent_hugepage/enabled``, "" where there is none."""
    match = re.search(r"\[(\w+)\]", enabled)
    return match.group(1) if match else ""


def huge_page_mode() -> str:
    """Return ``always``, ``madvise`` or ``never``: who gets transparent huge pages here; "" where it is unknown."""
    return parse_huge_pages(_read("/sys/kernel/mm/transparent_hugepage/enabled"))


def huge_page_variables() -> dict[str, str]:
    """Return environment variables with which a program's memory comes in huge pages where those have to be asked for.

    Source: GNU C library manual, "Memory Allocation Tunables", glibc.malloc.hugetlb; other libraries pass it over.
    """
    if huge_page_mode() != "madvise":
        return {}
    older = os.environ.get("GLIBC_TUNABLES")
    return {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1" + (f":{older}" if older else "")}


def parse_cpu_mhz(cpuinfo: str) -> list[float]:
    """Return the clock of each CPU that ``/proc/cpuinfo`` tells, in MHz."""
    return [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([0-9.]+)\s*$", cpuinfo, re.MULTILINE)]


def parse_steal_ticks(stat: str) -> int | None:
    """Return the ticks that the hypervisor took from this machine since its start, from ``/proc/stat``."""
    match = re.search(r"^cpu\s+(?:\d+\s+){7}(\d+)", stat, re.MULTILINE)
    return int(match.group(1)) if match else None


def parse_governors(texts: Iterable[str]) -> list[str]:
    """Return the names of the clocks' governors, each once, from the texts of ``scaling_governor``."""
    return sorted({text.strip() for text in texts if re.fullmatch(r"[a-z_]+\s*", text)})


def parse_counts(texts: Iterable[str]) -> int | None:
    """Return the sum of counters, one a text; ``None`` when there is none."""
    values = [int(text) for text in texts if re.fullmatch(r"\d+\s*", text)]
    return sum(values) if values else None


def parse_celsius(text: str) -> float | None:
    """Return a temperature from the text of ``/sys/class/thermal/.../temp`` (thousandths of a degree Celsius)."""
    if not re.fullmatch(r"-?\d+\s*", text):
        return None
    degrees = int(text) / 1000
    # Sensors that are off say 0 or impossible numbers.
    return degrees if 0 < degrees < 150 else None


def parse_turbo(no_turbo: str, boost: str) -> bool | None:
    """Return whether turbo is on, from the texts of Intel's ``no_turbo`` and of ``cpufreq/boost``."""
    for text, on in ((no_turbo, "0"), (boost, "1")):
        if text.strip() in ("0", "1"):
            return text.strip() == on
    return None


def turbo_state() -> bool | None:
    """Return whether turbo is on, or ``None`` where that cannot be read."""
    return parse_turbo(_read(f"{_CPUS}/intel_pstate/no_turbo"), _read(f"{_CPUS}/cpufreq/boost"))


def _texts(pattern: str, folder: str = _CPUS) -> list[str]:
    return [_read(str(path)) for path in sorted(Path(folder).glob(pattern))]


def _clocks() -> list[float]:
    khz = [int(text) for text in _texts("cpu[0-9]*/cpufreq/scaling_cur_freq") if re.fullmatch(r"\d+\s*", text)]
    return [value / 1000 for value in khz] or parse_cpu_mhz(_read("/proc/cpuinfo"))


def _temperatures() -> dict[str, float]:
    found: dict[str, float] = {}
    for zone in sorted(Path("/sys/class/thermal").glob("thermal_zone[0-9]*")):
        degrees = parse_celsius(_read(str(zone / "temp")))
        if degrees is not None:
            name = _read(str(zone / "type")).strip() or zone.name
            found[name if name not in found else f"{name}:{zone.name}"] = degrees
    return found


def conditions() -> dict[str, Any]:
    """Return what can be read of the machine's state; a value that cannot be read is absent.

    ``load_average`` (1, 5, 15 min), ``cpu_mhz`` of each CPU, ``cpu_governor`` names, ``turbo``, ``steal_ticks`` and
    ``throttle_count`` since the start of the machine, ``temperatures_c`` by sensor, ``available_memory_bytes``.
    """
    readings = {
        "load_average": _load_average(),
        "cpu_mhz": _clocks() or None,
        "cpu_governor": parse_governors(_texts("cpu[0-9]*/cpufreq/scaling_governor")) or None,
        "turbo": turbo_state(),
        "steal_ticks": parse_steal_ticks(_read("/proc/stat")),
        "throttle_count": parse_counts(_texts("cpu[0-9]*/thermal_throttle/core_throttle_count")),
        "temperatures_c": _temperatures() or None,
        "available_memory_bytes": memory.available_bytes(),
    }
    return {name: value for name, value in readings.items() if value is not None}


def _load_average() -> list[float] | None:
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except (AttributeError, OSError):
        return None
