"""Waiting until a phone is cool, with a bound, and why it did not get there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from devices.adb.asking import ask
from devices.adb.parsers.thermal import STATUS_NAMES, Temperature, Thermal
from devices.adb.probe import PhoneFacts, read_facts
from devices.adb.probe_script import conditions_script

if TYPE_CHECKING:
    from devices.adb.link import AdbLink

TARGET_C = 37.0
"""At or below this a case is entered, as a field report of measuring on phones does."""

BOUND_S = 600.0
INTERVAL_S = 5.0
_QUESTION_S = 20.0
_SPEAKING_ZONES = ("skin", "quiet", "xo-therm", "battery", "soc_thermal", "mtktscpu", "cpu")

Outcome = Literal["cool", "too hot", "overridden", "unreadable"]


@dataclass(frozen=True, slots=True)
class HeatReading:
    """How hot a phone was at one moment.

    Attributes:
        at_s: Seconds since the waiting began.
        sensor: Which sensor speaks for the phone, or "".
        temperature_c: What it read; ``None`` where no sensor can be read.
        status: Thermal status, 0 .. 6; ``None`` where the phone has none.
        is_override: The status was set by a test command.
    """

    at_s: float
    sensor: str
    temperature_c: float | None
    status: int | None
    is_override: bool = False

    def __str__(self) -> str:
        heat = f"{self.sensor} at {self.temperature_c:.1f} C" if self.temperature_c is not None else "no temperature"
        return heat + (f", thermal status {self.status} ({STATUS_NAMES[self.status]})" if self.status else "")


@dataclass(frozen=True, slots=True)
class Cooling:
    """What came of waiting.

    Attributes:
        outcome: ``cool``, or why it was given up: still ``too hot`` at the bound, the status ``overridden`` by a test
            command, or nothing ``unreadable`` to wait for.
        why: One line.
        waited_s: Seconds.
        readings: In order of time.
    """

    outcome: Outcome
    why: str
    waited_s: float
    readings: tuple[HeatReading, ...]

    @property
    def is_cool(self) -> bool:
        """Whether the phone may be measured on."""
        return self.outcome == "cool"


def heat_of(facts: PhoneFacts, at_s: float = 0.0) -> HeatReading:
    """Return the reading that speaks for a phone.

    That is its hottest skin sensor, which follows the heat stored in the body; else the battery, whose values must not
    be frozen; else the hottest core, which is hotter than the body even at rest; else a zone of the kernel.
    """
    thermal = facts.thermal or Thermal()
    found = thermal.hottest("skin") or thermal.hottest("battery")
    battery = facts.battery
    if found is None and battery and battery.temperature_c is not None and not battery.updates_stopped:
        found = Temperature("battery", "battery", battery.temperature_c)
    found = found or thermal.hottest("cpu") or _speaking_zone(thermal)
    if found is None:
        return HeatReading(at_s, "", None, thermal.status, thermal.is_override)
    return HeatReading(at_s, found.name, found.value_c, thermal.status, thermal.is_override)


def _speaking_zone(thermal: Thermal) -> Temperature | None:
    for word in _SPEAKING_ZONES:
        zones = [Temperature(name, "other", value) for name, value in thermal.zones.items() if word in name.lower()]
        if zones:
            return max(zones, key=lambda zone: zone.value_c)
    return None


def wait_until_cool(
    link: AdbLink,
    *,
    target_c: float = TARGET_C,
    bound_s: float = BOUND_S,
    interval_s: float = INTERVAL_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    tell: Callable[[HeatReading], None] = lambda reading: None,
    root: str = "",
) -> Cooling:
    """Ask a phone how hot it is until it is cool and does not throttle, or until the bound.

    Args:
        link: To the phone.
        target_c: Cool at or below, in degrees Celsius.
        bound_s: Seconds after which it is given up; 0 asks once.
        interval_s: Seconds between two questions.
        clock: Seconds, for tests.
        sleep: Waits, for tests.
        tell: Told of each reading.
        root: Put before /proc and /sys, for tests.

    Raises:
        DeviceError: The link is lost.
    """
    started = clock()
    readings: list[HeatReading] = []
    while True:
        text = ask(link, conditions_script(root=root), deadline_s=_QUESTION_S, may_be_partial=True)
        reading = heat_of(read_facts(text), clock() - started)
        readings.append(reading)
        tell(reading)
        ended = judge(readings, target_c, bound_s)
        if ended:
            return ended
        sleep(min(interval_s, max(bound_s - reading.at_s, 0.0)))


def judge(readings: list[HeatReading], target_c: float, bound_s: float) -> Cooling | None:
    """Return what the readings so far come to, ``None`` to go on waiting."""
    last = readings[-1]

    def ended(outcome: Outcome, why: str) -> Cooling:
        return Cooling(outcome, why, last.at_s, tuple(readings))

    if last.is_override:
        return ended(
            "overridden", "a test command set the thermal status; 'adb shell cmd thermalservice reset' ends it"
        )
    if last.temperature_c is None and last.status is None:
        return ended("unreadable", "the phone tells neither a temperature nor a thermal status")
    is_cool = last.temperature_c is None or last.temperature_c <= target_c
    if is_cool and not last.status:
        return ended("cool", str(last))
    if last.at_s >= bound_s:
        return ended("too hot", f"{last} after {last.at_s:.0f} s, wanted {target_c:g} C{_trend(readings)}")
    return None


def _trend(readings: list[HeatReading]) -> str:
    """Return whether it was on its way there: a phone on a charger in the sun never gets cool."""
    told = [one for one in readings if one.temperature_c is not None]
    if len(told) < 2:
        return ""
    fall = (told[0].temperature_c or 0.0) - (told[-1].temperature_c or 0.0)
    if fall <= 0.5:
        return "; it does not cool down: take it out of its case, off the charger, out of the sun"
    return f"; it fell by {fall:.1f} C, so a longer wait may do"
