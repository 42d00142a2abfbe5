"""The phone's cores and the clusters that they form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from devices.adb.parsers.numbers import int_of

ClusterName = Literal["big", "middle", "little"]

_CORE = re.compile(r"^cpu(\d{1,3})((?: \w+=\S*)*)$")
_MOST_CORES = 256


@dataclass(frozen=True, slots=True)
class Core:
    """What the files of one core say; ``None`` where a file is not there or not to be read.

    Attributes:
        number: From 0.
        capacity: Up to 1024.
        max_khz: Highest clock of the hardware.
        scaling_max_khz: Highest clock that is allowed now.
        cur_khz: Clock now.
        governor: Of its clock, or "".
        related: Cores whose clock is one with this one's, offline ones included.
    """

    number: int
    capacity: int | None = None
    max_khz: int | None = None
    scaling_max_khz: int | None = None
    cur_khz: int | None = None
    governor: str = ""
    related: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Cluster:
    """Cores of one kind.

    Attributes:
        name: ``big`` is the strongest kind, ``little`` the weakest, ``middle`` each between.
        cpus: Their numbers, ascending, offline ones included.
        capacity: Up to 1024, ``None`` where the phone does not tell.
        max_khz: Highest clock of the hardware, ``None`` where the phone does not tell.
    """

    name: ClusterName
    cpus: tuple[int, ...]
    capacity: int | None = None
    max_khz: int | None = None

    @property
    def mask(self) -> str:
        """The cores as a hexadecimal mask without prefix, as toybox's taskset takes it."""
        return mask_of(self.cpus)


def mask_of(cpus: Iterable[int]) -> str:
    """Return cores as a hexadecimal mask without prefix."""
    return format(sum(1 << cpu for cpu in set(cpus)), "x")


def cpus_of_mask(mask: str) -> tuple[int, ...]:
    """Return the cores of a hexadecimal mask, ascending.

    Raises:
        ValueError: It is no hexadecimal number.
    """
    bits = int(mask, 16)
    return tuple(number for number in range(bits.bit_length()) if bits >> number & 1)


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Return the cores of a kernel's list such as ``0-3,7``; () when it is none."""
    found: set[int] = set()
    for part in text.strip().replace(" ", ",").split(","):
        match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", part)
        if match is None:
            return ()
        found.update(range(int(match[1]), min(int(match[2] or match[1]), _MOST_CORES) + 1))
    return tuple(sorted(found))


def parse_cores(text: str) -> dict[int, Core]:
    """Read lines ``cpuN capacity=.. max=.. limit=.. cur=.. governor=.. related=..``, where any value may be empty."""
    found: dict[int, Core] = {}
    for line in text.splitlines():
        match = _CORE.match(line.strip())
        if match is None:
            continue
        values = dict(pair.split("=", 1) for pair in match[2].split())
        number = int(match[1])
        found[number] = Core(
            number,
            capacity=_positive(values.get("capacity", "")),
            max_khz=_positive(values.get("max", "")),
            scaling_max_khz=_positive(values.get("limit", "")),
            cur_khz=_positive(values.get("cur", "")),
            governor=values.get("governor", ""),
            related=parse_cpu_list(values.get("related", "")),
        )
    return found


def _positive(text: str) -> int | None:
    value = int_of(text)
    return value if value is not None and value > 0 else None


def fill_offline(cores: Mapping[int, Core], possible: Sequence[int], known: Sequence[Cluster] = ()) -> tuple[Core, ...]:
    """Return every possible core; one that is offline and tells nothing is filled from what is known of its like.

    That is a core whose clock is one with its own, then the clusters of an earlier reading, then its two neighbours
    when both are of one kind. What stays unknown stays ``None``.
    """
    numbers = sorted({*possible, *cores})
    filled = {number: cores.get(number, Core(number)) for number in numbers}
    for core in cores.values():
        for other in core.related:
            _copy(filled, other, core.capacity, core.max_khz)
    for cluster in known:
        for number in cluster.cpus:
            _copy(filled, number, cluster.capacity, cluster.max_khz)
    for place, number in enumerate(numbers[1:-1], 1):
        before, after = filled[numbers[place - 1]], filled[numbers[place + 1]]
        if (before.capacity, before.max_khz) == (after.capacity, after.max_khz):
            _copy(filled, number, before.capacity, before.max_khz)
    return tuple(filled.values())


def _copy(filled: dict[int, Core], number: int, capacity: int | None, max_khz: int | None) -> None:
    if number in filled:
        own = filled[number]
        filled[number] = replace(own, capacity=own.capacity or capacity, max_khz=own.max_khz or max_khz)


def find_clusters(cores: Sequence[Core]) -> tuple[Cluster, ...]:
    """Return the clusters, the strongest first: by capacity, else by the hardware's highest clock.

    Cores are of one kind when the value is equal. Capacity counts where all cores that tell their clock tell it too
    and it tells cores apart: older kernels give every core 1024. A phone with one kind has ``big`` alone; several
    kinds between the strongest and the weakest are each ``middle``. A core of which nothing is known is in none.
    """
    told = [core for core in cores if core.capacity or core.max_khz]
    capacities = {core.capacity for core in told}
    clocks = {core.max_khz for core in told}
    by_capacity = None not in capacities and (len(capacities) > 1 or None in clocks or len(clocks) == 1)
    kinds: dict[int, list[Core]] = {}
    for core in told:
        value = core.capacity if by_capacity else core.max_khz
        if value is not None:
            kinds.setdefault(value, []).append(core)
    ordered = [kinds[value] for value in sorted(kinds, reverse=True)]
    return tuple(_cluster(_name(place, len(ordered)), kind) for place, kind in enumerate(ordered))


def _name(place: int, count: int) -> ClusterName:
    return "big" if place == 0 else "little" if place == count - 1 else "middle"


def _cluster(name: ClusterName, cores: Sequence[Core]) -> Cluster:
    capacity = max((core.capacity for core in cores if core.capacity), default=None)
    clock = max((core.max_khz for core in cores if core.max_khz), default=None)
    return Cluster(name, tuple(core.number for core in cores), capacity, clock)
