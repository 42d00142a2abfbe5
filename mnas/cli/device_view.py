"""Devices as rows: runtimes of this machine and phones in one table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mnas.cli.column_fit import Column, fitting, left_out, terminal_width
from mnas.cli.output import Format, Result

if TYPE_CHECKING:
    from devices.adb.housekeeping import Tidying
    from devices.adb.phones import Phone
    from devices.adb.probe import PhoneFacts
    from devices.registry import HostRuntime
    from devices.runners.library import RunnerLibrary

NO_PHONES = "none"
"""Value of ``--adb`` that leaves phones alone."""

_COLUMNS = (
    *("device", "state", "what", "SoC", "Android", "cores", "C", "battery %", "free GB", "lease", "runners", "note"),
)
_DROPPED_FIRST = ("SoC", "free GB", "Android", "lease", "battery %", "runners", "cores", "C")


def see_phones(adb: str, deadline_s: float) -> tuple[list[Phone], list[str]]:
    """Return the phones that can be seen, and notes on why there may be more; no phone is no error.

    An adb server of this machine is started when none runs and a program for it is found.

    Args:
        adb: Where the server is, "" for the usual place, ``none`` for no phones.
        deadline_s: Seconds for starting the server, and again for asking each phone.

    Raises:
        ConfigError: ``ADB02``: that is no address.
    """
    if adb == NO_PHONES:
        return [], []
    from devices.adb.phones import list_phones
    from devices.adb.server import AdbServer
    from devices.runners.library import RunnerLibrary
    from mnas.errors import DeviceError

    server = AdbServer.find(adb)
    library = RunnerLibrary()
    notes = _faults_of(library)
    try:
        server.ensure_running(deadline_s)
        phones = list_phones(server, runners=lambda facts: _fitting(library, facts), deadline_s=deadline_s)
    except DeviceError as error:
        return [], [f"phones are not listed: {error}"]
    return phones, notes if phones else ["no phone is attached; turn on USB debugging on one and plug it in"]


def _faults_of(library: RunnerLibrary) -> list[str]:
    """Return why a library cannot be read; that is a note, no reason to list no phone."""
    from mnas.errors import MnasError

    try:
        library.list()
        return []
    except MnasError as error:
        return [f"runners are not listed: {error}"]


def _fitting(library: RunnerLibrary, facts: PhoneFacts) -> list[str]:
    """Return the runners that a bench on the phone would find, by the same check of ABI, loader and content."""
    from devices.runners.dialect import RUNNER_NAMES
    from mnas.errors import DeviceError

    found = []
    for name in RUNNER_NAMES:
        with contextlib.suppress(DeviceError):
            found.append(library.find(name, facts.abis, facts.interpreters).name)
    return sorted(found)


def devices_result(
    hosts: Sequence[HostRuntime], phones: Sequence[Phone], notes: Sequence[str], output_format: Format
) -> Result:
    """Return the table of all devices; as a table without columns that are empty or do not fit the terminal."""
    rows = [*map(_host_row, hosts), *map(_phone_row, phones)]
    document = {
        "hosts": [
            {"device": one.spec, "package": one.package, "version": one.version, "available": one.is_available}
            for one in hosts
        ],
        "phones": [phone.to_json() for phone in phones],
        "notes": list(notes),
    }
    if output_format is not Format.table:
        return Result(_COLUMNS, rows, document, "devices", notes)
    columns = [Column(name, [row[place] for row in rows]) for place, name in enumerate(_COLUMNS)]
    told = [column for column in columns if any(column.cells)]
    width = terminal_width()
    kept, dropped = fitting(told, width, _DROPPED_FIRST, "note", at_end=True)
    cells = list(zip(*(column.cells for column in kept), strict=True))
    return Result([column.name for column in kept], cells, document, "devices", [*notes, *left_out(dropped, width)])


def _host_row(one: HostRuntime) -> list[str]:
    state = "ready" if one.is_available else "absent"
    what = f"{one.package} {one.version}".strip()
    return [one.spec, state, what, *[""] * 8, "" if one.is_available else "no package for it is installed"]


def _phone_row(phone: Phone) -> list[str]:
    device = f"adb:{phone.serial}"
    facts = phone.facts
    lease = f"process {phone.holder.pid}" if phone.holder else ""
    told = next((one.model for one in phone.transports if one.model), "")
    if facts is None:
        return [device, str(phone.state), told, *[""] * 6, lease, "", _note(phone)]
    from devices.adb.cooling import heat_of
    from devices.adb.phones import describe_clusters

    heat = heat_of(facts).temperature_c
    level = facts.battery.level if facts.battery else None
    return [
        device,
        str(phone.state),
        " ".join((facts.model or told or "phone").split()) + (" (simulated)" if facts.is_simulated else ""),
        facts.soc,
        facts.android_version,
        describe_clusters(facts.clusters),
        "" if heat is None else f"{heat:.1f}",
        "" if level is None else str(level),
        "" if facts.free_bytes is None else f"{facts.free_bytes / 1e9:.1f}",
        lease,
        ", ".join(phone.runners),
        _note(phone),
    ]


def _note(phone: Phone) -> str:
    """Return what to do, what speaks against measuring, and the other ways to the phone."""
    from devices.adb.fitness import obstacles

    parts = [phone.remedy] if phone.remedy else []
    parts += [one.what for one in obstacles(phone.facts)] if phone.facts else []
    others = [one.serial for one in phone.transports[1:]]
    return "; ".join([*parts, *([f"also {', '.join(others)}"] if others else [])])


def tidying_result(done: Sequence[Tidying]) -> Result:
    """Return what was, or would be, done to phones."""
    columns = ("phone", "processes", "files", "KiB", "settings", "quarantine", "note")
    rows = [_tidying_row(one) for one in done]
    is_plan = any(one.is_plan for one in done)
    title = "would be cleaned" if is_plan else "cleaned"
    return Result(columns, rows, {"plan": is_plan, "phones": [one.to_json() for one in done]}, title)


def _tidying_row(one: Tidying) -> list[object]:
    serial = one.serial + (" (simulated)" if one.is_simulated else "")
    if one.cleaning is None:
        return [serial, "", "", "", "", "", one.error]
    ended = _some(f"{process.pid} {process.command[:40]}" for process in one.cleaning.found)
    put_back = _some(f"{setting.name}={setting.old}" for setting in one.settings if one.is_plan or setting.is_done)
    quarantine = "lifted" if one.was_quarantined and not one.is_plan and one.cleaning.is_clean else ""
    quarantine = "would be lifted" if one.was_quarantined and one.is_plan else quarantine
    size = "" if one.cleaning.size_kib is None else one.cleaning.size_kib
    return [serial, ended, len(one.cleaning.files), size, put_back, quarantine, one.error]


def _some(texts: Iterable[str], most: int = 5) -> str:
    listed = list(texts)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
