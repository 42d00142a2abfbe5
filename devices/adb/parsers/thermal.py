"""Temperatures: of the thermal service (Android 10 and up) and of the kernel's thermal zones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from devices.adb.parsers.plausible import plausible_c

Kind = Literal["cpu", "gpu", "battery", "skin", "usb", "power amplifier", "npu", "other"]

_KINDS: Mapping[int, Kind] = {0: "cpu", 1: "gpu", 2: "battery", 3: "skin", 4: "usb", 5: "power amplifier", 9: "npu"}
_NO_TEMPERATURES = (6, 7, 8)
"""Types of android.os.Temperature that are volts, amperes and percent."""

STATUS_NAMES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""Values of android.os.PowerManager.THERMAL_STATUS_*."""

_HAL = "Current temperatures from HAL:"
_ENTRY = re.compile(r"Temperature\{mValue=([^,}]+), mType=(-?\d{1,9}), mName=([^,}]*)(?:, mStatus=(-?\d{1,9}))?")
_STATUS = re.compile(r"^\s*Thermal Status: (\d{1,9})\s*$", re.MULTILINE)
_ZONE = re.compile(r"^(\S+) (-?\d{1,9}) (\S.*?)\s*$")
_NO_ZONES = re.compile(
    r"(^|[-_])(ibat|vbat|vph|bcl|isense|batt?[-_]?(soc|volt|curr)|lvl\d?)([-_]|$)|^soc$", re.IGNORECASE
)
_MILLI, _TENTHS = 1000, 151


@dataclass(frozen=True, slots=True)
class Temperature:
    """A reading of the hardware layer.

    Attributes:
        name: As the maker calls the sensor.
        kind: What it sits on.
        value_c: Degrees Celsius.
        status: Throttling that this sensor asks for, 0 (none) .. 6; ``None`` where not told.
    """

    name: str
    kind: Kind
    value_c: float
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Thermal:
    """What a phone tells about its heat.

    Attributes:
        status: 0 (none) .. 6 (shutdown); ``None`` where there is no thermal service.
        is_override: A test command set the status by hand: it says nothing.
        hal: Readings of the hardware layer, taken when they were asked for; cached ones are never among them.
        zones: Type of a thermal zone of the kernel -> degrees Celsius; often denied, then empty.
    """

    status: int | None = None
    is_override: bool = False
    hal: tuple[Temperature, ...] = ()
    zones: Mapping[str, float] = field(default_factory=dict)

    def hottest(self, kind: Kind) -> Temperature | None:
        """Return the hottest sensor of a kind, ``None`` when there is none."""
        return max((one for one in self.hal if one.kind == kind), key=lambda one: one.value_c, default=None)


def parse_thermal(service: str, zones: str) -> Thermal | None:
    """Read ``dumpsys thermalservice`` and the lines of zones; ``None`` where neither tells anything.

    Args:
        service: Output of the command: the complaint about an unknown service before Android 10.
        zones: Lines ``thermal_zoneN VALUE TYPE``.
    """
    status = _STATUS.search(service)
    hal, kernel = _hal(service), parse_zones(zones)
    if status is None and not hal and not kernel:
        return None
    level = int(status[1]) if status else None
    is_override = bool(re.search(r"IsStatusOverride: true", service))
    return Thermal(level if level is not None and level < len(STATUS_NAMES) else None, is_override, hal, kernel)


def _hal(service: str) -> tuple[Temperature, ...]:
    """Return the readings below the head of the hardware layer, up to the next head."""
    found: list[Temperature] = []
    _, _, below = service.partition(_HAL)
    for line in below.splitlines()[1:]:
        match = _ENTRY.match(line.strip())
        if match is None or not line.strip().endswith("}"):
            break
        value, kind = _celsius(match[1]), int(match[2])
        if value is not None and kind not in _NO_TEMPERATURES:
            status = int(match[4]) if match[4] else None
            found.append(Temperature(match[3].strip(), _KINDS.get(kind, "other"), value, status))
    return tuple(found)


def _celsius(text: str) -> float | None:
    try:
        return plausible_c(float(text))
    except ValueError:
        return None


def parse_zones(text: str) -> dict[str, float]:
    """Return the kernel's zones by their type in degrees Celsius.

    The unit is not told: the kernel's is a thousandth of a degree, some old drivers give degrees or tenths. Zones that
    are volts, amperes or percent by their name are left out; a type that comes twice gets ``#2`` and so on.
    """
    found: dict[str, float] = {}
    for line in text.splitlines():
        match = _ZONE.match(line)
        if match is None or _NO_ZONES.search(match[3]):
            continue
        raw = int(match[2])
        scale = 1000 if abs(raw) >= _MILLI else 10 if abs(raw) >= _TENTHS else 1
        value = plausible_c(raw / scale)
        if value is None:
            continue
        name, number = match[3], 2
        while name in found:
            name, number = f"{match[3]}#{number}", number + 1
        found[name] = value
    return found
