"""The settings of a phone that can be changed for a measurement: how each is read, set and recognised."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


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
        needs_root: Only root's shell can set it.
    """

    name: str
    wanted: str
    read: str
    write: str
    pattern: str
    holds: Callable[[str], bool]
    resting: str = ""
    needs_root: bool = False

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
    holds=lambda value: value.isdigit() and int(value) > 0,
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

_SCREEN_READ = """s=$(dumpsys power 2>/dev/null)
case $s in (*'Display Power: state=ON'*) echo on;; (*'Display Power: state='*) echo off;;
(*mWakefulness=Awake*) echo on;; (*mWakefulness=*) echo off;; esac"""
_SCREEN_WRITE = """case $1 in on) k=224;; *) k=223;; esac
input keyevent $k 2>&1 || exit 1
for i in 1 2 3 4 5 6 7 8; do [ "$(@READ)" = "$1" ] && exit 0; sleep 0.25; done""".replace("@READ", _SCREEN_READ)

SCREEN_ON = Control("screen", "on", _SCREEN_READ, _SCREEN_WRITE, r"on|off", lambda value: value == "on")
"""Wakes the phone."""

SCREEN_OFF = Control("screen", "off", _SCREEN_READ, _SCREEN_WRITE, r"on|off", lambda value: value == "off")
"""Puts the phone to sleep: some phones then move everything to the little cores."""

PERFORMANCE_GOVERNOR = Control(
    name="governor",
    wanted="performance",
    read="""for d in @ROOT/sys/devices/system/cpu/cpu[0-9]*; do
  [ -r "$d/cpufreq/scaling_governor" ] && echo "${d##*/}=$(cat "$d/cpufreq/scaling_governor")"
done 2>/dev/null | tr '\\n' ' '""",
    write="""e=0
for d in @ROOT/sys/devices/system/cpu/cpu[0-9]*; do
  [ -e "$d/cpufreq/scaling_governor" ] || continue
  g=
  for p in $1; do case $p in "${d##*/}"=*) g=${p#*=};; *=*) ;; *) g=$p;; esac; done
  [ -z "$g" ] || echo "$g" 2>/dev/null > "$d/cpufreq/scaling_governor" || e=1
done 2>&1
[ $e = 0 ]""",
    pattern=r"cpu\d+=[\w-]+(?: cpu\d+=[\w-]+)*",
    holds=lambda value: all(part.endswith("=performance") for part in value.split()),
    needs_root=True,
)
"""Highest clock at all times; needs root, heats the phone."""

DEFAULT_CONTROLS = (STAY_ON, FIXED_PERFORMANCE)
CONTROLS = {one.name: one for one in (STAY_ON, FIXED_PERFORMANCE, SCREEN_ON, PERFORMANCE_GOVERNOR)}
"""By the name that journals hold; a screen is put back the same way, whichever it was set to."""
