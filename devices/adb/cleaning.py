"""Leaving a phone as it was: end what we left running, remove what we left lying, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devices.adb.asking import ask
from devices.adb.cleaning_script import cleaning_script
from devices.adb.parsers.numbers import number_of
from devices.adb.parsers.sections import Sections
from devices.adb.probe_script import WORK_DIR
from devices.adb.quarantine import put_in_quarantine
from devices.adb.quoting import TOKEN_VARIABLE

if TYPE_CHECKING:
    from devices.adb.link import AdbLink

DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process on a phone: its id and its command line, ``?`` where that is not told."""

    pid: int
    command: str


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What was found on a phone and what became of it.

    Attributes:
        found: Our processes.
        left: Those of them that could not be ended.
        files: Our files, by path.
        size_kib: Of our folder, ``None`` where unknown.
        is_removed: Our folder is gone, or never was.
        note: What the phone said when something could not be removed.
    """

    found: tuple[Process, ...]
    left: tuple[Process, ...]
    files: tuple[str, ...]
    size_kib: int | None
    is_removed: bool
    note: str = ""

    @property
    def is_clean(self) -> bool:
        """Nothing of ours runs."""
        return not self.left


def look_for_leftovers(
    link: AdbLink, *, work_dir: str = WORK_DIR, variable: str = TOKEN_VARIABLE, deadline_s: float = DEADLINE_S
) -> Cleaning:
    """Return what `clean_phone` would end and remove; touches nothing.

    Raises:
        DeviceError: The phone does not answer.
    """
    text = cleaning_script(work_dir=work_dir, kills=False, removes=False, variable=variable)
    return _read(ask(link, text, deadline_s=deadline_s), removes=False)


def kill_leftovers(
    link: AdbLink,
    *,
    token: str = "",
    work_dir: str = WORK_DIR,
    patience_s: float = 1.0,
    variable: str = TOKEN_VARIABLE,
    deadline_s: float = DEADLINE_S,
) -> Cleaning:
    """End our processes in one round trip: TERM, a short wait, KILL, and a look whether they are gone.

    Forked, detached and hang-up-proof children carry the marker of their parent in their environment and so are found.
    The caller holds the phone's lease and puts the phone in quarantine when something is left.

    Args:
        link: To the phone.
        token: Of one batch; "" is every batch's.
        work_dir: Our folder on the phone: programs from there, or at work there, are ours too.
        patience_s: Seconds between TERM and KILL.
        variable: Name of the marker in the environment.
        deadline_s: Seconds.

    Raises:
        DeviceError: The phone does not answer.
    """
    text = cleaning_script(token=token, work_dir=work_dir, removes=False, patience_s=patience_s, variable=variable)
    return _read(ask(link, text, deadline_s=deadline_s), removes=False)


def clean_phone(
    link: AdbLink,
    *,
    work_dir: str = WORK_DIR,
    patience_s: float = 1.0,
    variable: str = TOKEN_VARIABLE,
    deadline_s: float = DEADLINE_S,
) -> Cleaning:
    """End our processes and remove our folder, in one round trip.

    Raises:
        DeviceError: The phone does not answer.
    """
    text = cleaning_script(work_dir=work_dir, patience_s=patience_s, variable=variable)
    return _read(ask(link, text, deadline_s=deadline_s), removes=True)


def quarantine_leftovers(cleaning: Cleaning, serialno: str, boot_id: str, *, folder: Path | None = None) -> bool:
    """Put a phone in quarantine when something of ours still runs on it; says whether it did.

    Raises:
        StateError: ``ADB38``: the state folder cannot be written.
    """
    if cleaning.is_clean:
        return False
    names = ", ".join(f"{one.pid} ({one.command[:60]})" for one in cleaning.left[:5])
    put_in_quarantine(serialno, boot_id, f"processes that cannot be ended: {names}", folder=folder)
    return True


def _read(sections: Sections, *, removes: bool) -> Cleaning:
    said = sections.line("size").split()
    still = sections.line("still") if removes else ""
    return Cleaning(
        found=_processes(sections["found"]),
        left=_processes(sections["left"]),
        files=tuple(line for line in sections["files"].splitlines() if line.strip()),
        size_kib=number_of(said[0]) if said else None,
        is_removed=removes and not still,
        note=sections.line("remove") or still,
    )


def _processes(text: str) -> tuple[Process, ...]:
    found = []
    for line in text.splitlines():
        word, _, command = line.strip().partition(" ")
        if (pid := number_of(word)) is not None:
            found.append(Process(pid, command.strip()))
    return tuple(found)
