"""Long work on this machine, such as training: it tells that it is under way, and no benchmark runs beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from devices.adb.host_state import state_folder
from mnas.errors import DeviceError
from mnas.jsonio import sha256_text, write_json_atomic
from mnas.liveness import is_alive, process_token

VARIABLE, IGNORE = "MNAS_BUSY", "ignore"
"""Set so, a benchmark runs beside long work all the same."""

_FOLDER = "long-work"


@dataclass(frozen=True, slots=True)
class LongWork:
    """What a process is at.

    Attributes:
        pid: Of the process.
        what: In words.
    """

    pid: int
    what: str


@contextmanager
def long_work(what: str, folder: Path | None = None) -> Iterator[None]:
    """Tell every process of this user that this one keeps the machine busy, for as long as the block lasts.

    A process that is killed is noticed to be gone. Where the state folder cannot be written, nothing is told.

    Args:
        what: In words, e.g. the command.
        folder: The state folder, for tests.
    """
    path = (folder or state_folder()) / _FOLDER / f"{sha256_text(process_token())[:12]}.json"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomic(path, {"token": process_token(), "pid": os.getpid(), "what": what})
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def long_work_of_others(folder: Path | None = None) -> list[LongWork]:
    """Return the long work that other processes are at; what the dead left is removed."""
    found = []
    for path in sorted(((folder or state_folder()) / _FOLDER).glob("*.json")):
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            work, token = LongWork(int(told["pid"]), str(told["what"])), str(told["token"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if token.partition(":")[0] != process_token().partition(":")[0]:
            continue  # another machine's, where homes are shared
        if not is_alive(token, 0.0):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        elif work.pid != os.getpid():
            found.append(work)
    return found


def refuse_beside_long_work(folder: Path | None = None) -> None:
    """Do nothing unless another process keeps this machine busy; to be asked before latency is measured on it.

    Raises:
        DeviceError: ``DEV60``: it is busy; the message says with what.
    """
    if os.environ.get(VARIABLE) == IGNORE:
        return
    others = long_work_of_others(folder)
    if others:
        first = others[0]
        raise DeviceError(
            "DEV60",
            "this machine is busy with long work of mnas",
            value=f"process {first.pid}: {first.what}",
            why="what is measured beside it would be the latency of a loaded machine",
            fix=f"wait until it is done, end it (kill {first.pid}), or set {VARIABLE}={IGNORE} to measure all the same",
        )
