"""Which phone hangs on which transport, as it was last seen: so that a phone in use is known without being asked."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from devices.adb.host_state import state_file
from devices.adb.lease import Holder, holder_of, refuse_held

_TLS_NAME = re.compile(r"adb-(.+)-[A-Za-z0-9]{6}(?: \(\d+\))?\._adb-tls-connect\._tcp\.?")


def serialno_of_name(serial: str) -> str:
    """Return the phone's own serial as far as a transport's name tells it: over paired Wi-Fi it stands within."""
    name = _TLS_NAME.fullmatch(serial)
    return name[1] if name else serial


def remember_way(server: str, serial: str, serialno: str, *, folder: Path | None = None) -> None:
    """Write down which phone answered on a transport, unless its name tells.

    Args:
        server: Address of the adb server.
        serial: Of the transport.
        serialno: The phone's own serial, "" where it has none.
        folder: The state folder, for tests.
    """
    if not serialno or serialno_of_name(serial) == serialno:
        return
    with contextlib.suppress(OSError):
        path = _path(server, serial, folder)
        if _read(path) != serialno:
            fresh = path.with_name(f".{path.name}.{os.getpid()}")
            fresh.write_text(serialno, encoding="utf-8")
            fresh.replace(path)


def holder_on(server: str, serial: str, *, folder: Path | None = None) -> Holder | None:
    """Return who holds the phone on a transport, as far as that is known here; the phone is not asked."""
    return holder_of(_serialno(server, serial, folder), folder=folder)


def refuse_held_on(server: str, serial: str, *, folder: Path | None = None) -> None:
    """Do nothing unless the phone on a transport is known to be held; the phone is not asked.

    Raises:
        DeviceError: ``ADB31``: it is held.
    """
    refuse_held(_serialno(server, serial, folder), folder=folder)


def _serialno(server: str, serial: str, folder: Path | None) -> str:
    return _read(_path(server, serial, folder)) or serialno_of_name(serial)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _path(server: str, serial: str, folder: Path | None) -> Path:
    return state_file("ways", f"{serial} {server}", ".txt", folder)
