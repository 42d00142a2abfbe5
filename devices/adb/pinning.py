"""Which cores a runner gets, and what of them is watched while it runs."""

from __future__ import annotations

from devices.adb.batch import Watch
from devices.adb.parsers.cpus import cpus_of_mask, mask_of
from devices.adb.probe import PhoneFacts
from devices.spec import CPU_CLASSES, DeviceSpec
from mnas.errors import ConfigError, DeviceError

_CPUFREQ = "/sys/devices/system/cpu/cpu{}/cpufreq/{}"
_ZONE_WORDS = ("big", "gold", "prime", "cpu")


def resolve_mask(spec: DeviceSpec, facts: PhoneFacts) -> str:
    """Return the mask of the cores that a spec means on this phone, hexadecimal, without leading zeros.

    Without ``cpus`` it is the strongest cluster, and the next ones with it while it has fewer cores than the runtime
    has threads. "" stands for a phone that tells nothing of its cores: nothing is pinned there unless it was asked for.

    Raises:
        ConfigError: ``ADB60``: the phone has no such cores, or fewer than there are threads.
        DeviceError: ``ADB61``: the phone cannot pin a program.
    """
    cpus = _asked_for(spec, facts) if spec.cpus else _strongest(spec.threads, facts)
    if not cpus:
        return ""
    if "taskset" not in facts.has:
        raise DeviceError(
            "ADB61",
            "programs cannot be pinned to cores on this phone",
            value=str(spec),
            why="it has no taskset, and unpinned numbers jump between strong and weak cores",
            fix="use a phone with Android 6 or later",
        )
    if spec.threads > len(cpus):
        raise _refuse(spec, f"{spec.threads} threads on {len(cpus)} cores only wait for each other", facts)
    return mask_of(cpus)


def _asked_for(spec: DeviceSpec, facts: PhoneFacts) -> tuple[int, ...]:
    if spec.cpus in CPU_CLASSES:
        # Several clusters may lie in the middle; together they are what the word says.
        cpus = tuple(cpu for one in facts.clusters if one.name == spec.cpus for cpu in one.cpus)
        if not cpus:
            raise _refuse(spec, "there is no such cluster", facts)
        return cpus
    cpus = cpus_of_mask(spec.cpus)
    strange = [cpu for cpu in cpus if facts.possible_cpus and cpu not in facts.possible_cpus]
    if strange:
        raise _refuse(spec, f"there is no core {strange[0]}", facts)
    return cpus


def _strongest(threads: int, facts: PhoneFacts) -> tuple[int, ...]:
    cpus: tuple[int, ...] = ()
    for cluster in facts.clusters:
        cpus += cluster.cpus
        if len(cpus) >= threads:
            break
    return cpus


def _refuse(spec: DeviceSpec, why: str, facts: PhoneFacts) -> ConfigError:
    there = ", ".join(f"{one.name} ({len(one.cpus)} cores, mask {one.mask})" for one in facts.clusters)
    return ConfigError(
        "ADB60",
        "these cores cannot be had on this phone",
        value=str(spec),
        why=f"{why}; it has {there or 'cores of which it tells nothing'}",
        fix="change cpus or threads",
    )


def watch_of(facts: PhoneFacts, cpu_mask: str, *, reads_heat: bool, stops: bool = True, insists: bool = False) -> Watch:
    """Return what is to be watched while something runs on cores of a phone.

    Args:
        facts: Taken while the phone was cool: its caps are what later ones are compared with.
        cpu_mask: Of the pinned cores, or "" for all.
        reads_heat: The phone has a thermal service, whether or not it answered at last.
        stops: A batch ends when the phone gets hot.
        insists: A batch ends when the thermal service gives no answer.
    """
    cpus = cpus_of_mask(cpu_mask) if cpu_mask else tuple(facts.caps)
    clocks: dict[tuple[int, int | None], int] = {}
    for cpu in cpus:
        # Cores of one cluster share their clock: one of them tells it for all.
        place = next((number for number, one in enumerate(facts.clusters) if cpu in one.cpus), -1 - cpu)
        if cpu in facts.caps:
            clocks.setdefault((place, facts.caps[cpu][0]), cpu)
    chosen = tuple(clocks.values())
    zones = facts.thermal.zones if facts.thermal else {}
    ranked = (zone for word in _ZONE_WORDS for zone in sorted(zones) if word in zone.lower() and "#" not in zone)
    return Watch(
        cap_files=tuple(_CPUFREQ.format(cpu, "scaling_max_freq") for cpu in chosen),
        caps_khz=tuple(facts.caps[cpu][0] for cpu in chosen),
        clock_files=tuple(_CPUFREQ.format(cpu, "scaling_cur_freq") for cpu in chosen),
        zone=next(ranked, ""),
        reads_heat=reads_heat,
        stops=stops,
        insists=insists,
    )
