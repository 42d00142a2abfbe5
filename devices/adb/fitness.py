"""What speaks against measuring on a phone as it is now."""

from __future__ import annotations

from dataclasses import dataclass

from devices.adb.parsers.thermal import STATUS_NAMES
from devices.adb.probe import PhoneFacts

LOWEST_BATTERY_PERCENT = 20


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One reason against measuring now.

    Attributes:
        name: Short, stable.
        what: What was seen.
        remedy: What a person can do.
        passes: Waiting may mend it: heat goes, a switch stays.
        is_grave: Numbers taken now would be wrong; else they are worth a warning.
    """

    name: str
    what: str
    remedy: str
    passes: bool = False
    is_grave: bool = True


def obstacles(facts: PhoneFacts) -> tuple[Obstacle, ...]:
    """Return all that speaks against measuring now; what a phone does not tell is not held against it."""
    return (*_power(facts), *_heat(facts), *_state(facts), *_place(facts))


def _power(facts: PhoneFacts) -> list[Obstacle]:
    found = []
    if facts.power_save:
        found.append(Obstacle("power save", "power save is on", "turn off Battery Saver on the phone"))
    battery = facts.battery
    if battery and battery.updates_stopped:
        frozen = "the battery's values are frozen by a test command"
        found.append(Obstacle("battery frozen", frozen, "'adb shell dumpsys battery reset'", is_grave=False))
    elif battery and battery.level is not None and battery.level < LOWEST_BATTERY_PERCENT:
        low = f"the battery is at {battery.level} %"
        charge = "charge it to 20 % at least: below, phones slow down"
        found.append(Obstacle("battery low", low, charge, passes=bool(battery.is_charging)))
    return found


def _heat(facts: PhoneFacts) -> list[Obstacle]:
    found, thermal = [], facts.thermal
    if thermal and thermal.is_override:
        what = "a test command set the thermal status by hand"
        found.append(Obstacle("thermal override", what, "'adb shell cmd thermalservice reset'"))
    elif thermal and thermal.status:
        what = f"thermal status is {thermal.status} ({STATUS_NAMES[thermal.status]})"
        found.append(Obstacle("hot", what, "let it cool down, out of its case", passes=True))
    if facts.is_heat_unread:
        what = "the thermal service does not say how hot the phone is"
        found.append(Obstacle("heat not told", what, "restart the phone, or measure another", is_grave=False))
    capped = facts.capped_cpus
    if capped:
        worst = min(capped, key=lambda cpu: facts.caps[cpu][0] / facts.caps[cpu][1])
        allowed, highest = facts.caps[worst]
        what = f"{len(capped)} cores are held back, cpu{worst} to {allowed / 1e6:.2f} of {highest / 1e6:.2f} GHz"
        found.append(Obstacle("clock capped", what, "let it cool down; turn off power save", passes=True))
    return found


def _state(facts: PhoneFacts) -> list[Obstacle]:
    found = []
    if not facts.is_booted:
        found.append(Obstacle("starting", "Android has not started yet", "wait until the phone shows its home screen"))
    if facts.screen_on is False:
        what = "the screen is off: some phones keep all programs on their little cores then"
        found.append(Obstacle("screen off", what, "wake it and leave it on", is_grave=False))
    return found


def _place(facts: PhoneFacts) -> list[Obstacle]:
    if facts.work_dir_executable is False:
        what = "programs in /data/local/tmp cannot be run"
        return [Obstacle("not executable", what, "the maker forbids it: use another phone, or root")]
    return []
