"""One program at a time on a phone: a lease by the phone's own serial, over processes and projects of one user."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from devices.adb.host_state import not_writable, state_file
from devices.adb.parsers.numbers import number_of
from mnas.errors import DeviceError
from mnas.liveness import is_alive, process_token


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a phone.

    Attributes:
        serialno: The phone's own serial.
        token: `mnas.liveness.process_token` of the process.
        since_utc: ISO 8601.
        what: Its command line, or what it said that it does.
        folder: Working folder of the process.
    """

    serialno: str
    token: str
    since_utc: str
    what: str
    folder: str

    @property
    def pid(self) -> str:
        """Process id, as text."""
        return self.token.rsplit(":", 2)[1] if self.token.count(":") >= 2 else "?"

    def __str__(self) -> str:
        return f"process {self.pid} ({self.what}, in {self.folder}) since {self.since_utc}"


class Lease:
    """A phone that is held; ends with `release`, with the block, or with the process, however it ends.

    The operating system holds the lock, so a process that was killed holds nothing.
    """

    def __init__(self, holder: Holder, file: int) -> None:
        self.holder = holder
        self._file = file

    @property
    def is_held(self) -> bool:
        """Whether it was not released."""
        return self._file >= 0

    def release(self) -> None:
        """Give the phone back; a second call does nothing."""
        if self._file < 0:
            return
        file, self._file = self._file, -1
        try:
            # Emptied before it is unlocked: who comes next must not be told of this holder.
            os.ftruncate(file, 0)
        finally:
            os.close(file)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lease_phone(
    serialno: str,
    *,
    what: str = "",
    folder: Path | None = None,
) -> Lease:
    """Take the lease of a phone; another one of the same process is refused too.

    Args:
        serialno: The phone's own serial (ro.serialno), so that USB and Wi-Fi are one phone.
        what: What it is for; the command line unless given.
        folder: The state folder, for tests.

    Raises:
        DeviceError: ``ADB31``: it is held; the message says by whom and since when.
        StateError: ``ADB38``: the state folder cannot be written.
    """
    path = state_file("leases", serialno, ".lock", folder)
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise not_writable(path, error) from error
    try:
        if not _lock(file, path):
            raise _refuse(serialno, path)
        holder = _me(serialno, what)
        text = json.dumps(asdict(holder)).encode()
        os.ftruncate(file, 0)
        os.pwrite(file, text, 0)
    except BaseException:
        os.close(file)
        raise
    return Lease(holder, file)


def holder_of(serialno: str, *, folder: Path | None = None) -> Holder | None:
    """Return who holds a phone, ``None`` when nobody does; takes no lock, so it never stands in anybody's way."""
    holder = _read(state_file("leases", serialno, ".lock", folder))
    # 0 as the heartbeat: a process that cannot be looked at from here, such as one on another machine, is none of ours.
    return holder if holder and is_alive(holder.token, 0.0) else None


def refuse_held(serialno: str, *, folder: Path | None = None) -> None:
    """Do nothing unless a phone is held; to be asked before anything is asked of the phone itself.

    Raises:
        DeviceError: ``ADB31``: it is held, by this process or another.
    """
    if holder_of(serialno, folder=folder):
        raise _refuse(serialno, state_file("leases", serialno, ".lock", folder))


def _lock(file: int, path: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise not_writable(path, error) from error
    return True


def _me(serialno: str, what: str) -> Holder:
    command = what or " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
    return Holder(serialno, process_token(), datetime.now(UTC).isoformat(timespec="seconds"), command, os.getcwd())


def _read(path: Path) -> Holder | None:
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
        holder = Holder(**{name: str(value[name]) for name in Holder.__dataclass_fields__})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return holder if number_of(holder.pid) is not None else None


def _refuse(serialno: str, path: Path) -> DeviceError:
    holder = _read(path)
    return DeviceError(
        "ADB31",
        "the phone is in use",
        value=serialno,
        why=f"{holder} holds it" if holder else "another process holds it",
        fix=f"wait until it is done, or end it (kill {holder.pid})" if holder else "wait until it is done",
    )
