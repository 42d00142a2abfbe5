"""States that a phone can be in, and what a person can do in each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from mnas.errors import DeviceError


class PhoneState(StrEnum):
    """Where a phone stands, from not being there to having its work collected."""

    ABSENT = "absent"
    CONNECTING = "connecting"
    UNAUTHORIZED = "unauthorized"
    NO_PERMISSION = "no permission"
    OFFLINE = "offline"
    READY = "ready"
    LEASED = "leased"
    STAGED = "staged"
    COOLING = "cooling"
    RUNNING = "running"
    COLLECTING = "collecting"
    CLEAN = "clean"
    LOST = "lost"
    QUARANTINED = "quarantined"


NEEDS_PERSON = frozenset({PhoneState.UNAUTHORIZED, PhoneState.NO_PERMISSION, PhoneState.QUARANTINED})
"""Waiting mends none of these: they are never tried again."""

HELD = frozenset(
    {PhoneState.LEASED, PhoneState.STAGED, PhoneState.COOLING, PhoneState.RUNNING, PhoneState.COLLECTING}
    | {PhoneState.CLEAN}
)
"""A process has the phone's lease; which of them it is, the process tells."""

_WORDS: Mapping[str, PhoneState] = {
    "device": PhoneState.READY,
    "offline": PhoneState.OFFLINE,
    "unauthorized": PhoneState.UNAUTHORIZED,
    "authorizing": PhoneState.CONNECTING,
    "connecting": PhoneState.CONNECTING,
    "detached": PhoneState.ABSENT,
    "": PhoneState.ABSENT,
}

_REMEDIES: Mapping[PhoneState, str] = {
    PhoneState.ABSENT: "plug the phone in with a data cable, or 'adb connect HOST:PORT'; turn on USB debugging in "
    "Settings > System > Developer options",
    PhoneState.CONNECTING: "wait a few seconds; if it stays so, unlock the phone and answer its question",
    PhoneState.UNAUTHORIZED: "unlock the phone and accept 'Allow USB debugging?'; if the question does not come, "
    "revoke USB debugging authorizations in Developer options and plug the phone in again",
    PhoneState.NO_PERMISSION: "install the udev rules for Android ('apt install android-sdk-platform-tools-common'), "
    "add yourself to the group plugdev, log in again, then 'adb kill-server' and plug the phone in again",
    PhoneState.OFFLINE: "unlock the phone and plug it in again; over Wi-Fi 'adb disconnect' and 'adb connect' it; "
    "else 'adb reconnect offline'",
    PhoneState.LEASED: "wait until its holder is done, or end the holder",
    PhoneState.LOST: "check cable, hub and Wi-Fi; the phone must keep its serial and must not have started anew",
    PhoneState.QUARANTINED: "'mnas devices clean SERIAL', or restart the phone",
}

_MODES: Mapping[str, str] = {
    "bootloader": "it is in its bootloader: 'fastboot reboot' starts Android",
    "recovery": "it is in recovery: 'adb reboot' starts Android",
    "rescue": "it is in rescue mode: 'adb reboot' starts Android",
    "sideload": "it waits for an update: 'adb reboot' starts Android",
    "host": "it is another computer's adb, not a phone: unplug it",
}


def state_of(word: str) -> PhoneState:
    """Return the state that adb's own word means; an unknown word, and a mode other than Android, is offline.

    A word about permissions goes on with a reason: ``no permissions (user in plugdev group; ...); see [...]``.
    """
    word = word.strip()
    if word == "no" or word.startswith("no permission"):
        return PhoneState.NO_PERMISSION
    if word.startswith("no device"):
        return PhoneState.ABSENT
    return _WORDS.get(word, PhoneState.OFFLINE)


def remedy_of(state: PhoneState, word: str = "") -> str:
    """Return what to do about a state, "" where nothing is wrong.

    Args:
        state: The state.
        word: Adb's own word, by which a phone in its bootloader is told from one whose cable is loose.
    """
    return _MODES.get(word.strip(), _REMEDIES.get(state, ""))


def not_usable(serial: str, state: PhoneState, word: str = "") -> DeviceError:
    """Return the error that says why a phone cannot be used now, and the exact remedy."""
    return DeviceError(
        "ADB30",
        f"the phone is not ready: {state}",
        value=serial,
        why=f"adb says '{word}'" if word else "",
        fix=remedy_of(state, word),
    )
