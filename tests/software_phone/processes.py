"""The processes that are alive in a software phone, seen from outside."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_OWN = frozenset({"/init", "/system/bin/adbd"})


@dataclass(frozen=True, slots=True)
class PhoneProcess:
    """One process in a phone.

    Attributes:
        pid: Its number in the phone.
        host_pid: Its number on this machine.
        program: The file it runs, as a path in the phone.
        command: Its arguments.
        environment: Its environment at its start.
    """

    pid: int
    host_pid: int
    program: str
    command: tuple[str, ...]
    environment: dict[str, str]


def list_processes(init_pid: int) -> list[PhoneProcess]:
    """Return what runs in the phone apart from its init, its adbd and the carriers of their connections.

    Args:
        init_pid: The phone's first process, as this machine numbers it.
    """
    try:
        namespace, root = os.readlink(f"/proc/{init_pid}/ns/pid"), os.readlink(f"/proc/{init_pid}/root")
    except OSError:
        return []
    found = (_look_at(int(name), namespace, root) for name in os.listdir("/proc") if name.isdigit())
    return sorted((process for process in found if process is not None), key=lambda process: process.pid)


def child_of(pid: int) -> int:
    """Return the only child of a process; 0 while there is none."""
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    return int(words[0]) if words else 0


def is_listening(init_pid: int, port: int) -> bool:
    """Tell whether a process in the phone's network listens on a port."""
    wanted = f":{port:04X}"
    for table in ("tcp", "tcp6"):
        try:
            rows = Path(f"/proc/{init_pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        if any(row.split()[1].endswith(wanted) and row.split()[3] == "0A" for row in rows):
            return True
    return False


def _look_at(host_pid: int, namespace: str, root: str) -> PhoneProcess | None:
    folder = Path(f"/proc/{host_pid}")
    try:
        if os.readlink(folder / "ns/pid") != namespace:
            return None
        program = os.readlink(folder / "exe").removeprefix(root)  # of a zombie there is none
        if program in _OWN:
            return None
        command = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
        words = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
        status = (folder / "status").read_text().splitlines()
    except OSError:
        return None
    pid = next(int(line.split()[-1]) for line in status if line.startswith("NSpid:"))
    environment = dict(word.split("=", 1) for word in words if "=" in word)
    return PhoneProcess(pid, host_pid, program, tuple(command), environment)
