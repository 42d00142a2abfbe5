"""What this machine offers to who wants to measure, what its lack costs, and how to get it: the one check of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from devices.runtimes import machine, memory, scheduling


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing that makes measurements better.

    Attributes:
        name: Short, stable.
        is_there: It was granted, or can be read.
        costs: What lacking it costs.
        remedy: How to get it.
    """

    name: str
    is_there: bool
    costs: str
    remedy: str


_HARDWARE = "measure on real hardware: a virtual machine hides it"
_TEXTS: Mapping[str, tuple[str, str]] = {
    "pinned": (
        "runs move between CPUs and start with cold caches",
        "use Linux, and allow this process at least one CPU (taskset, cpuset)",
    ),
    "fifo": (
        "other programs interrupt runs: the median of an 8.5 ms net rose to 25 ms beside other work",
        "run as root, or grant it: 'ulimit -r 1', in a container --cap-add=SYS_NICE",
    ),
    "real_time_limit": (
        "how long a run at real-time priority may last is guessed as Linux's default",
        "make /proc/sys/kernel/sched_rt_runtime_us readable",
    ),
    "involuntary_switches": ("runs that were interrupted look like slow ones", "use Linux or macOS"),
    "huge_pages": (
        "how a model happens to lie in memory moves it by 1 % from process to process, by 0.7 % with huge pages",
        "set /sys/kernel/mm/transparent_hugepage/enabled to madvise or always",
    ),
    "steal_time": ("time that a hypervisor takes away looks like slow runs", "use Linux with /proc/stat readable"),
    "cpu_clock": ("a change of the clock cannot be seen", "make 'cpu MHz' or cpufreq readable; " + _HARDWARE),
    "cpu_governor": ("a clock that follows the load cannot be told from a slow model", _HARDWARE),
    "turbo_state": ("it is unknown whether short runs are faster than long ones by turbo", _HARDWARE),
    "temperature": ("heat that slows the CPU down cannot be seen coming", _HARDWARE),
    "throttle_count": ("slowing down for heat is not recorded", _HARDWARE),
    "memory_limit": (
        "a model that takes too much memory may bring the machine down",
        "use Linux, or run in a container with a limit",
    ),
    "peak_memory": ("the memory that a model takes is unknown", "use Linux with /proc readable"),
}


def check_capabilities(*, pinned: bool, fifo: bool, memory_limit: int | None) -> tuple[Capability, ...]:
    """Return everything that was looked for, in a fixed order.

    Args:
        pinned: The measuring process was pinned.
        fifo: It was granted real-time priority.
        memory_limit: Bytes that it may take, or ``None`` where it could not be limited.
    """
    state = machine.conditions()
    found = {
        "pinned": pinned,
        "fifo": fifo,
        "real_time_limit": scheduling.real_time_limit() is not None,
        "involuntary_switches": scheduling.involuntary_switches() >= 0,
        "huge_pages": machine.huge_page_mode() in ("always", "madvise"),
        "steal_time": "steal_ticks" in state,
        "cpu_clock": "cpu_mhz" in state,
        "cpu_governor": "cpu_governor" in state,
        "turbo_state": machine.turbo_state() is not None,
        "temperature": "temperatures_c" in state,
        "throttle_count": "throttle_count" in state,
        "memory_limit": memory_limit is not None,
        "peak_memory": memory.peak_bytes() is not None,
    }
    return tuple(Capability(name, found[name], costs, remedy) for name, (costs, remedy) in _TEXTS.items())


def describe_capability(name: str, is_there: bool) -> Capability:
    """Return a capability with its texts, e.g. one of those that ``conditions()["capabilities"]`` tells.

    A name that is not known here, such as one of a plug-in's device, has no texts.
    """
    costs, remedy = _TEXTS.get(name, ("", ""))
    return Capability(name, is_there, costs, remedy)
