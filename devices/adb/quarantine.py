"""Phones that must not be measured on: something of ours runs on them and cannot be ended."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from devices.adb.host_state import not_writable, state_file
from devices.adb.states import PhoneState, remedy_of
from mnas.errors import DeviceError
from mnas.jsonio import write_json_atomic


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Why a phone is left alone.

    Attributes:
        serialno: The phone's own serial.
        boot_id: Of the start during which it happened: a restart of the phone ends every process, and with it this.
        reason: One line.
        since_utc: ISO 8601.
    """

    serialno: str
    boot_id: str
    reason: str
    since_utc: str


def put_in_quarantine(serialno: str, boot_id: str, reason: str, *, folder: Path | None = None) -> Quarantine:
    """Keep a phone from being measured on, in every process and project of this user.

    Raises:
        StateError: ``ADB38``: the state folder cannot be written.
    """
    made = Quarantine(serialno, boot_id, reason, datetime.now(UTC).isoformat(timespec="seconds"))
    path = state_file("quarantine", serialno, ".json", folder)
    try:
        write_json_atomic(path, asdict(made))
    except OSError as error:
        raise not_writable(path, error) from error
    return made


def quarantine_of(serialno: str, boot_id: str, *, folder: Path | None = None) -> Quarantine | None:
    """Return the quarantine of a phone, ``None`` when there is none or the phone started anew since.

    Args:
        serialno: The phone's own serial.
        boot_id: Of its present start; "" where unknown, which lifts nothing.
        folder: The state folder, for tests.
    """
    path = state_file("quarantine", serialno, ".json", folder)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        found = Quarantine(**{name: str(value[name]) for name in Quarantine.__dataclass_fields__})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        # A file that cannot be read is no proof that the phone is well.
        return Quarantine(serialno, "", f"the file {path} cannot be read", "")
    if boot_id and found.boot_id and boot_id != found.boot_id:
        path.unlink(missing_ok=True)
        return None
    return found


def lift_quarantine(serialno: str, *, folder: Path | None = None) -> bool:
    """Let a phone be used again; says whether it was in quarantine."""
    path = state_file("quarantine", serialno, ".json", folder)
    was_there = path.exists()
    path.unlink(missing_ok=True)
    return was_there


def refuse_quarantined(serialno: str, boot_id: str, *, folder: Path | None = None) -> None:
    """Do nothing unless a phone is in quarantine.

    Raises:
        DeviceError: ``ADB36``: it is.
    """
    found = quarantine_of(serialno, boot_id, folder=folder)
    if found:
        raise DeviceError(
            "ADB36",
            "the phone is in quarantine",
            value=serialno,
            why=f"since {found.since_utc}: {found.reason}",
            fix=remedy_of(PhoneState.QUARANTINED),
        )
