"""The battery, as ``dumpsys battery`` shows it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from devices.adb.parsers.plausible import plausible_c

STATUS_NAMES = {1: "unknown", 2: "charging", 3: "discharging", 4: "not charging", 5: "full"}
"""Values of android.os.BatteryManager.BATTERY_STATUS_*."""

_FIELD = re.compile(r"^\s*([A-Za-z][A-Za-z ]*?): (\S+)\s*$")
_CHARGING, _FULL = 2, 5


@dataclass(frozen=True, slots=True)
class Battery:
    """What a battery reports.

    Attributes:
        level: Percent, 0 .. 100.
        temperature_c: Of the battery.
        status: 1 unknown, 2 charging, 3 discharging, 4 not charging, 5 full.
        updates_stopped: Somebody froze the values (``dumpsys battery unplug`` or ``set``): none of them is true now.
        is_charging: Charging or full, or on a charger where the status is not told.
    """

    level: int | None = None
    temperature_c: float | None = None
    status: int | None = None
    updates_stopped: bool = False
    is_charging: bool | None = None


def parse_battery(text: str) -> Battery | None:
    """Read the first part of ``dumpsys battery``; ``None`` when it holds no battery's state.

    Some makers add logs of past values below it, which begin with a line in brackets.
    """
    fields: dict[str, str] = {}
    is_inside = stopped = False
    for line in text.splitlines():
        if line.startswith("Current Battery Service state:"):
            is_inside = True
        elif is_inside and line.startswith("["):
            break
        elif is_inside and "UPDATES STOPPED" in line:
            stopped = True
        elif is_inside and (match := _FIELD.match(line)):
            fields.setdefault(match[1].lower(), match[2])
    if not fields:
        return None
    tenths = _number(fields.get("temperature"))
    status = _number(fields.get("status"))
    return Battery(
        level=_level(fields),
        temperature_c=None if tenths is None else plausible_c(tenths / 10),
        status=status if status in STATUS_NAMES else None,
        updates_stopped=stopped,
        is_charging=_is_charging(status, fields),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"-?[0-9]{1,9}", text) else None


def _level(fields: dict[str, str]) -> int | None:
    level, scale = _number(fields.get("level")), _number(fields.get("scale")) or 100
    if fields.get("present") == "false" or level is None or not 0 <= level <= scale:
        return None
    return round(100 * level / scale)


def _is_charging(status: int | None, fields: dict[str, str]) -> bool | None:
    if status in STATUS_NAMES and status != 1:
        return status in (_CHARGING, _FULL)
    powered = [value for name, value in fields.items() if name.endswith(" powered")]
    return "true" in powered if powered else None
