"""Settings of a phone that were changed, written to the disk before they are changed, so that they can be put back."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devices.adb.host_state import not_writable, state_file
from mnas.liveness import process_token


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that was, or was about to be, changed.

    Attributes:
        setting: Name of the control.
        old: Its value before.
        new: What it was to become.
        owner: `mnas.liveness.process_token` of who changed it.
        at_utc: ISO 8601.
    """

    setting: str
    old: str
    new: str
    owner: str
    at_utc: str


class Journal:
    """The changes of one phone that were not put back yet: a file of JSON lines that is only ever appended to.

    Who holds the phone's lease may write it. A change is on the disk before the phone hears of it, so a crash at any
    moment leaves at worst a change in the journal that was never made, and putting that back does no harm.

    Args:
        serialno: The phone's own serial.
        folder: The state folder, for tests.
    """

    def __init__(self, serialno: str, *, folder: Path | None = None) -> None:
        self.serialno = serialno
        self.path = state_file("journals", serialno, ".jsonl", folder)

    def record(self, setting: str, old: str, new: str) -> None:
        """Write down a change that is about to be made; returns when it is on the disk.

        Raises:
            StateError: ``ADB38``: it cannot be written, so the change must not be made.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._append({"change": asdict(Change(setting, old, new, process_token(), now))})

    def mark_restored(self, setting: str) -> None:
        """Write down that a setting has its old value again; the file goes when nothing is left to put back.

        Raises:
            StateError: ``ADB38``.
        """
        self._append({"restored": setting})
        if not self.pending():
            self.path.unlink(missing_ok=True)

    def pending(self) -> list[Change]:
        """Return what is to be put back, the last change first; of a setting changed twice the first old value.

        A last line that was cut off is passed over: its change was not made yet.
        """
        changes: dict[str, Change] = {}
        for entry in self._entries():
            if "restored" in entry:
                changes.pop(str(entry["restored"]), None)
            elif "change" in entry:
                change = Change(**{name: str(entry["change"].get(name, "")) for name in Change.__dataclass_fields__})
                changes.setdefault(change.setting, change)
        return list(reversed(changes.values()))

    def _entries(self) -> list[dict[str, Any]]:
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and (isinstance(entry.get("change"), dict) or "restored" in entry):
                found.append(entry)
        return found

    def _append(self, entry: dict[str, Any]) -> None:
        is_new = not self.path.exists()
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                # After a line that was cut off a new one must begin at its own start.
                size = os.fstat(file).st_size
                lead = "" if size == 0 or os.pread(file, 1, size - 1) == b"\n" else "\n"
                os.write(file, f"{lead}{json.dumps(entry)}\n".encode())
                os.fsync(file)
            finally:
                os.close(file)
            if is_new:
                _sync_folder(self.path.parent)
        except OSError as error:
            raise not_writable(self.path, error) from error


def _sync_folder(folder: Path) -> None:
    """Make a new file's name outlive a crash of this machine."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
