"""Everything that is read of a phone, by one script in one round trip."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from devices.adb.asking import ask
from devices.adb.parsers.battery import Battery, parse_battery
from devices.adb.parsers.cpus import (
    Cluster,
    ClusterName,
    Core,
    fill_offline,
    find_clusters,
    parse_cores,
    parse_cpu_list,
)
from devices.adb.parsers.numbers import int_of
from devices.adb.parsers.power import parse_power_save, parse_screen_on
from devices.adb.parsers.props import abis_of, first_of, parse_props, serialno_of, soc_of
from devices.adb.parsers.sections import Sections, split_sections
from devices.adb.parsers.storage import parse_df
from devices.adb.parsers.thermal import Temperature, Thermal, parse_thermal
from devices.adb.probe_script import conditions_script, probe_script

if TYPE_CHECKING:
    from devices.adb.link import AdbLink

__all__ = ("Battery", "Cluster", "PhoneFacts", "Temperature", "Thermal", "probe", "quick_conditions")

DEADLINE_S = 20.0
"""A dump of a service that hangs is given up by the phone itself after 10 s."""

_SDK_WITH_THERMAL = 29
_NO_SERVICE = "Can't find service"


_LINUX_LOADERS = ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1", "/system/bin/linker64")


@dataclass(frozen=True, slots=True)
class PhoneFacts:
    """What one probe found; what is missing, denied or odd is ``None``, "" or empty, never a number.

    Attributes:
        serialno: The phone's own serial (ro.serialno), one over every transport; "" where it has none.
        boot_id: Another one after each start of the phone, or "".
        manufacturer: E.g. ``Google``.
        model: E.g. ``Pixel 8``.
        soc: System on chip.
        android_version: E.g. ``15``.
        sdk: API level.
        build_fingerprint: Of the system's build.
        abis: Binary interfaces, the best first.
        is_simulated: It is the software phone (ro.mnas.simulated).
        clusters: The strongest first.
        possible_cpus: Every core that the kernel knows.
        online_cpus: Those that run now.
        governors: Core -> governor of its clock.
        caps: Core -> clock that is allowed now and the hardware's highest, in kHz.
        cur_khz: Core -> clock now.
        battery: ``None`` where nothing is told.
        thermal: ``None`` where nothing is told.
        power_save: Power save is on.
        screen_on: The screen is on.
        free_bytes: Room in /data/local/tmp.
        work_dir_executable: A program in the working folder can be run; ``None`` where that was not tried.
        uptime_s: Since the phone started.
        load1: Load average of the last minute.
        has: Those of the looked-for commands that are there.
        root: The shell is root's.
        uid: Of the shell, -1 where unknown.
        is_whole: The script ran to its end.
        is_booted: Android says that it has started; adbd answers earlier.
        is_heat_unread: There is a thermal service, as since Android 10, and it did not tell its status.
    """

    serialno: str = ""
    boot_id: str = ""
    manufacturer: str = ""
    model: str = ""
    soc: str = ""
    android_version: str = ""
    sdk: int | None = None
    build_fingerprint: str = ""
    abis: tuple[str, ...] = ()
    is_simulated: bool = False
    clusters: tuple[Cluster, ...] = ()
    possible_cpus: tuple[int, ...] = ()
    online_cpus: tuple[int, ...] = ()
    governors: Mapping[int, str] = field(default_factory=dict)
    caps: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    cur_khz: Mapping[int, int] = field(default_factory=dict)
    battery: Battery | None = None
    thermal: Thermal | None = None
    power_save: bool | None = None
    screen_on: bool | None = None
    free_bytes: int | None = None
    work_dir_executable: bool | None = None
    uptime_s: float | None = None
    load1: float | None = None
    has: frozenset[str] = frozenset()
    root: bool = False
    uid: int = -1
    is_whole: bool = True
    is_booted: bool = True
    is_heat_unread: bool = False

    def cluster(self, name: ClusterName) -> Cluster | None:
        """Return a cluster by name; of several in the middle the strongest; ``None`` where there is none."""
        return next((one for one in self.clusters if one.name == name), None)

    @property
    def interpreters(self) -> tuple[str, ...] | None:
        """Loaders of programs that it has; ``None`` for those of Android."""
        return _LINUX_LOADERS if self.is_simulated else None

    @property
    def capped_cpus(self) -> tuple[int, ...]:
        """Cores whose clock is held below what the hardware can."""
        return tuple(cpu for cpu, (allowed, highest) in self.caps.items() if allowed < highest)


def probe(
    link: AdbLink,
    *,
    deadline_s: float = DEADLINE_S,
    with_exec_check: bool = True,
    known: Sequence[Cluster] = (),
    root: str = "",
) -> PhoneFacts:
    """Read a phone in one round trip.

    Args:
        link: To the phone.
        deadline_s: Seconds.
        with_exec_check: Also run a tiny program in the working folder, which is made for it; else nothing is written.
        known: Clusters of an earlier probe, for cores that are offline now.
        root: Put before /proc and /sys, for tests.

    Raises:
        DeviceError: ``ADB32``: nothing came back before the deadline or the link's end; or what the link raises.
    """
    script = probe_script(root=root, with_exec_check=with_exec_check)
    return read_facts(ask(link, script, deadline_s=deadline_s, may_be_partial=True), known)


def read_facts(sections: Sections, known: Sequence[Cluster] = ()) -> PhoneFacts:
    """Return what the sections of the probe's script say."""
    props = parse_props(sections["props"])
    cores = parse_cores(sections["cores"])
    possible = parse_cpu_list(sections["possible"]) or tuple(sorted(cores))
    uid, sdk = int_of(sections["uid"]), int_of(props.get("ro.build.version.sdk", ""))
    thermal = parse_thermal(sections["thermal"], sections["zones"])
    is_told = thermal is not None and thermal.status is not None
    return PhoneFacts(
        serialno=serialno_of(props),
        boot_id=_boot_id(sections, props),
        manufacturer=first_of(props, ("ro.product.manufacturer", "ro.product.brand")),
        model=first_of(props, ("ro.product.model", "ro.product.name", "ro.product.device")),
        soc=soc_of(props),
        android_version=first_of(props, ("ro.build.version.release_or_codename", "ro.build.version.release")),
        sdk=sdk,
        build_fingerprint=first_of(props, ("ro.build.fingerprint", "ro.system.build.fingerprint")),
        abis=abis_of(props),
        is_simulated=props.get("ro.mnas.simulated") == "1",
        is_heat_unread=not is_told and (sdk or 0) >= _SDK_WITH_THERMAL and _NO_SERVICE not in sections["thermal"],
        is_booted=props.get("sys.boot_completed") == "1" or "ro.build.version.sdk" not in props,
        clusters=find_clusters(fill_offline(cores, possible, known)),
        possible_cpus=possible,
        online_cpus=parse_cpu_list(sections["online"]),
        **_clocks(cores),
        battery=parse_battery(sections["battery"]),
        thermal=thermal,
        power_save=parse_power_save(sections["low_power"], sections["power"]),
        screen_on=parse_screen_on(sections["power"]),
        free_bytes=parse_df(sections["df"]),
        work_dir_executable={"yes": True, "no": False}.get(sections.line("exec")),
        uptime_s=_float(sections["uptime"]),
        load1=_float(sections["loadavg"]),
        has=frozenset(sections["has"].split()),
        root=uid == 0,
        uid=-1 if uid is None else uid,
        is_whole=sections.is_whole,
    )


def _clocks(cores: Mapping[int, Core]) -> dict[str, Any]:
    clocked = {core.number: (core.scaling_max_khz, core.max_khz) for core in cores.values()}
    return {
        "governors": {core.number: core.governor for core in cores.values() if core.governor},
        "caps": {number: both for number, both in clocked.items() if None not in both},
        "cur_khz": {core.number: core.cur_khz for core in cores.values() if core.cur_khz is not None},
    }


def _boot_id(sections: Sections, props: Mapping[str, str]) -> str:
    """Return the kernel's id of this start; where that is denied, when init began, which differs between starts."""
    started = first_of(props, ("ro.boottime.init",))
    return sections.line("boot_id") or (f"boottime-{started}" if started else "")


def _float(text: str) -> float | None:
    try:
        value = float(text.split()[0])
    except (IndexError, ValueError):
        return None
    return value if math.isfinite(value) else None


def quick_conditions(link: AdbLink, *, deadline_s: float = DEADLINE_S, root: str = "") -> dict[str, Any]:
    """Return what changes while a phone measures, in one cheap round trip; see `read_conditions`.

    Raises:
        DeviceError: What the link raises.
    """
    return describe_conditions(read_facts(ask(link, conditions_script(root=root), deadline_s=deadline_s)))


def read_conditions(text: str) -> dict[str, Any]:
    """Return what the script of the conditions printed, as JSON; what is not told is not in it."""
    return describe_conditions(read_facts(split_sections(text)))


def describe_conditions(facts: PhoneFacts) -> dict[str, Any]:
    """Return what changes while a phone measures, as JSON for `devices.device.Device.conditions`.

    ``thermal_status`` (0 .. 6), ``thermal_status_override``, ``temperatures_c`` by sensor (the hardware layer's, else
    the kernel's zones), ``cpu_mhz`` of each core, ``capped_cpus`` with their share of the highest clock,
    ``cpu_governor`` names, ``online_cpus``, ``battery_percent``, ``battery_temperature_c``, ``battery_frozen``,
    ``charging``, ``power_save``, ``screen_on``, ``load_average``.
    """
    thermal, battery = facts.thermal or Thermal(), facts.battery or Battery()
    hal = {one.name: round(one.value_c, 3) for one in thermal.hal}
    found = {
        "thermal_status": thermal.status,
        "thermal_status_override": thermal.is_override or None,
        "temperatures_c": hal or dict(thermal.zones) or None,
        "cpu_mhz": [khz / 1000 for _, khz in sorted(facts.cur_khz.items())] or None,
        "capped_cpus": {f"cpu{cpu}": round(facts.caps[cpu][0] / facts.caps[cpu][1], 3) for cpu in facts.capped_cpus}
        or None,
        "cpu_governor": sorted(set(facts.governors.values())) or None,
        "online_cpus": list(facts.online_cpus) or None,
        "battery_percent": battery.level,
        "battery_temperature_c": battery.temperature_c,
        "battery_frozen": battery.updates_stopped or None,
        "charging": battery.is_charging,
        "power_save": facts.power_save,
        "screen_on": facts.screen_on,
        "load_average": None if facts.load1 is None else [facts.load1],
    }
    return {name: value for name, value in found.items() if value is not None}
