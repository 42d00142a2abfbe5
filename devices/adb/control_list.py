"""The settings of a phone that can be changed for a measurement: how each is read, set and recognised."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from devices.adb.parsers.numbers import number_of


@dataclass(frozen=True, slots=True)
class Control:
    """One setting.

    Attributes:
        name: Short, stable: it stands in journals.
        wanted: The value to set.
        read: Shell text that prints the value now in one line, or "" where the phone does not tell it.
        write: Shell text that sets the value ``$1``, prints complaints, and fails when it could not.
        pattern: Values that can be true and can be put back; anything else counts as not readable.
        holds: Whether a value that was read is as good as the wanted one.
        resting: The value to put back where the phone does not tell it.
    """

    name: str
    wanted: str
    read: str
    write: str
    pattern: str
    holds: Callable[[str], bool]
    resting: str = ""

    def is_value(self, text: str) -> bool:
        """Whether a text is a value of this setting rather than a complaint."""
        return re.fullmatch(self.pattern, text) is not None


STAY_ON = Control(
    name="stay_on",
    wanted="true",
    read="settings get global stay_on_while_plugged_in 2>&1",
    write="""case $1 in
true) svc power stayon true 2>&1 || settings put global stay_on_while_plugged_in 7 2>&1;;
null) settings delete global stay_on_while_plugged_in >/dev/null 2>&1;;
*) settings put global stay_on_while_plugged_in "$1" 2>&1;;
esac""",
    pattern=r"[0-9]{1,3}|null",
    holds=lambda value: bool(number_of(value)),
)
"""The screen stays on while the phone is on a charger: value is a sum of charger kinds, or null where never set."""

FIXED_PERFORMANCE = Control(
    name="fixed_performance",
    wanted="true",
    read="",
    write="""o=$(cmd power set-fixed-performance-mode-enabled "$1" 2>&1) || { echo "${o:-refused}"; exit 1; }
[ -z "$o" ] || { echo "$o"; exit 1; }""",
    pattern=r"true|false",
    holds=lambda value: value == "true",
    resting="false",
)
"""Clocks that a long run can hold (Android 11 and up, where the maker did it). No command reads it back: no complaint
is all that there is, and an old Android complains with exit status 0.
"""

DEFAULT_CONTROLS = (STAY_ON, FIXED_PERFORMANCE)
CONTROLS = {one.name: one for one in DEFAULT_CONTROLS}
"""By the name that journals hold."""
