"""Power save and screen, as ``settings`` and ``dumpsys power`` show them."""

from __future__ import annotations

import re

_WAKEFULNESS = re.compile(r"^\s*mWakefulness=(\w+)", re.MULTILINE)
_DISPLAY = re.compile(r"^\s*Display Power: state=(\w+)", re.MULTILINE)


def parse_flag(text: str) -> bool | None:
    """Return a setting that is 0 or not; ``null``, which is a setting that was never made, and errors are ``None``."""
    value = text.strip()
    return int(value) != 0 if re.fullmatch(r"[0-9]{1,4}", value) else None


def parse_power_save(setting: str, dump: str) -> bool | None:
    """Return whether power save is on: the setting ``low_power``, else what the power service says."""
    flag = parse_flag(setting)
    if flag is not None:
        return flag
    match = re.search(r"mLowPowerModeEnabled=(true|false)|mIsPowerSaveMode=(true|false)", dump)
    if match:
        return "true" in (match[1], match[2])
    return False if setting.strip() == "null" else None


def parse_screen_on(dump: str) -> bool | None:
    """Return whether the screen is on, from ``dumpsys power``: the display's power, else the phone's wakefulness."""
    display = _DISPLAY.search(dump)
    if display:
        return display[1] == "ON"
    awake = _WAKEFULNESS.search(dump)
    return awake[1] == "Awake" if awake else None
