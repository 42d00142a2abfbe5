"""One script, one round trip, sections back: how everything here asks a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devices.adb.failures import PhoneLost
from devices.adb.parsers.sections import Sections, split_sections
from mnas.errors import DeviceError

if TYPE_CHECKING:
    from devices.adb.link import AdbLink, Completed


def ask(link: AdbLink, script: str, *, deadline_s: float, may_be_partial: bool = False) -> Sections:
    """Run a script that prints sections, and return them.

    Args:
        link: To the phone.
        script: Ends with the section that says that it ran to its end.
        deadline_s: Seconds.
        may_be_partial: What came before a deadline is worth having; else it is an error.

    Raises:
        PhoneLost: ``ADB32``: the link ended first.
        DeviceError: ``ADB32``: the script did not reach its end.
    """
    done = link.run_script(script, deadline_s=deadline_s)
    sections = split_sections(done.stdout)
    if sections.is_whole or (may_be_partial and sections.texts and done.ended == "deadline"):
        return sections
    raise _failure(link.serial, done)


def _failure(serial: str, done: Completed) -> DeviceError:
    kind = PhoneLost if done.ended == "lost" else DeviceError
    said = (done.detail or done.stderr or done.stdout).strip()[-300:]
    return kind(
        "ADB32",
        "the phone did not answer a question in full",
        value=serial,
        why=f"the shell ended by {done.ended} after {done.seconds:.1f} s" + (f": {said}" if said else ""),
        fix="unlock and reconnect it, then try 'adb shell getprop'",
    )
