"""Tables into the store from files, and out of it into files."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from devices.device import DeviceInfo
from latency.calibration import Calibration
from latency.consistency import load_consistency
from latency.importers.layout import LAYOUTS
from latency.importers.text import read_bytes
from latency.importers.yaml_table import read_yaml_table, resolutions_px, write_yaml_table
from latency.origin import Origin, Source
from latency.saving import networks_of, save_table
from latency.table import LatencyTable, LutEntry
from latency.table_csv import read_csv, table_csv
from latency.table_document import read_document, table_document
from mnas.errors import LutError
from mnas.jsonio import sha256_bytes
from mnas.segments import Segment
from mnas.store import Store, utc_now

FileLayout = Literal["json", "csv", "ofa", "proxylessnas"]
_NAMES = {"ofa": "once-for-all", "proxylessnas": "ProxylessNAS", "csv": "a CSV file"}
_SHOWN = 5
IMPORTED_KIND = "imported"
"""``kind`` of a device that is known by words; a device that can be opened is ``host`` or ``adb``."""


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A table as the text of a file.

    Attributes:
        text: Of the file.
        px: Resolution that it is of; ``None``: all that the table has.
        left_out: Labels of the segments that the layout cannot express.
    """

    text: str
    px: int | None = None
    left_out: tuple[str, ...] = ()


def foreign_device(name: str, runtime: str = "", threads: int = 1) -> DeviceInfo:
    """Return a device that is known by words alone; it equals no device that can be opened.

    Args:
        name: What it is, e.g. ``Galaxy Note10``.
        runtime: What ran the layers there, if that is known.
        threads: Of that runtime.

    Raises:
        LutError: ``LUT30``: no name that could be shown.
    """
    for text in (name, runtime):
        if not text.isprintable() or len(text) > 100:
            raise LutError(
                "LUT30", "no name for a device", value=text[:100], why="names are short lines", fix="give another"
            )
    return DeviceInfo(
        device_id=f"imported:{name}",
        kind=IMPORTED_KIND,
        model=name,
        soc="",
        os_build="",
        runtime=runtime or "unknown",
        runtime_version="",
        runner_sha256="",
        delegate="unknown",
        threads=threads,
        cpu_mask="",
    )


def require_own_device(table: LatencyTable) -> None:
    """Check that a table speaks of a device that can be opened, so that something can be measured beside it.

    Raises:
        LutError: ``LUT07``: its device is known by words alone.
    """
    if table.device.kind == IMPORTED_KIND:
        raise LutError(
            "LUT07",
            f"nothing can be measured for latency table {table.lut_id}",
            value=f"{table.device.model}; {'; '.join(table.marks())}",
            why="its device is known by words alone",
            fix="validate a table that was built, or compare them: mnas lut diff",
        )


def layout_of(data: bytes) -> str:
    """Return the layout that a file shows by its beginning: ``json``, ``csv``, or "" for one in YAML."""
    if data.lstrip()[:1] == b"{":
        return "json"
    return "csv" if b"segment_json" in data.partition(b"\n")[0] else ""


def import_table(store: Store, path: Path, layout: str = "", device: DeviceInfo | None = None) -> LatencyTable:
    """Bring a file's table into the store; every use of it says that it was imported.

    A table of our own JSON keeps its device, calibration and validation. All others hold bare entries: their device is
    the one that is given, and they are unvalidated.

    Args:
        store: Opened with latency's component.
        path: The file.
        layout: ``json``, ``csv``, ``ofa`` or ``proxylessnas``; "" tells by the contents.
        device: Of whom the entries speak; not for ``json``, which says it itself.

    Raises:
        LutError: ``LUT30`` to ``LUT33``: the file is no table; the message says why.
    """
    data = read_bytes(path)
    layout = layout or layout_of(data)
    name = "".join(letter if letter.isprintable() else "?" for letter in path.name)
    came = Origin("imported", utc_now(), layout, name, sha256_bytes(data))
    if layout == "json":
        read = read_document(data)
        table = read.table
        source = Source(table.lut_id, table.space, table.created_at_utc, len(table.entries), table.origin)
        table.origin = replace(came, sources=(source,))
        return save_table(store, table, read.networks, read.consistency)
    entries: dict[Segment, LutEntry]
    if layout == "csv":
        entries = read_csv(data)
    else:
        found, entries = read_yaml_table(data, layout)
        layout = found.name
    if device is None:
        raise LutError(
            "LUT30",
            "the file does not say which device it is of",
            value=path.name,
            why="a latency without a device means nothing",
            fix="say it with --device-name",
        )
    table = _bare_table(entries, layout, device, replace(came, layout=layout))
    return save_table(store, table, [])


def _bare_table(entries: dict[Segment, LutEntry], layout: str, device: DeviceInfo, came: Origin) -> LatencyTable:
    table = LatencyTable(
        lut_id="",
        space=_NAMES[layout],
        device=device,
        dtype="float32",
        batch=1,
        settings={},
        entries=entries,
        calibration=Calibration(),
        validation=None,
        created_at_utc=came.at_utc,
        origin=came,
    )
    sides = ", ".join(map(str, resolutions_px(table)))
    table.space += f" at {sides} px" if sides else ""
    return table


def export_table(
    store: Store, table: LatencyTable, layout: FileLayout, *, px: int | None = None, partial: bool = False
) -> list[ExportedFile]:
    """Return a table of the store as files: one, or for the layouts of others one for each resolution.

    Args:
        store: Where its whole networks are.
        table: The table.
        layout: Of the files.
        px: One resolution alone; for the layouts of others.
        partial: Write what the layout can express and pass over the rest.

    Raises:
        LutError: ``LUT34``: the layout cannot express every entry, or none; or the table has no such resolution.
    """
    if layout == "json":
        return [ExportedFile(_json_text(store, table))]
    if layout == "csv":
        return [ExportedFile(table_csv(table))]
    known = resolutions_px(table)
    if px is not None and px not in known:
        raise LutError(
            "LUT34",
            f"latency table {table.lut_id} has no such resolution",
            value=f"{px} px",
            why=f"it has {', '.join(map(str, known)) or 'none'}",
            fix="leave --resolution out, or name one of them",
        )
    return [_yaml_file(table, layout, one, partial) for one in ((px,) if px else known or (None,))]


def _json_text(store: Store, table: LatencyTable) -> str:
    document = table_document(table, networks_of(store, table.lut_id), load_consistency(store, table.lut_id))
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _yaml_file(table: LatencyTable, layout: str, px: int | None, partial: bool) -> ExportedFile:
    written = write_yaml_table(table, LAYOUTS[layout], px)
    if not written.entries or (written.left_out and not partial):
        shown = "; ".join(written.left_out[:_SHOWN])
        more = len(written.left_out) - _SHOWN
        raise LutError(
            "LUT34",
            f"the layout {layout} cannot express {len(written.left_out)} of "
            f"{len(written.left_out) + written.entries} entries of table {table.lut_id}"
            + (f" at {px} px" if px else ""),
            value=shown + (f"; and {more} more" if more > 0 else ""),
            why=f"its keys stand for the layers of {_NAMES[layout]}'s networks alone",
            fix="export it as json"
            + (", or leave them out with --partial: no whole network can then be added up" if written.entries else ""),
        )
    return ExportedFile(written.text, px, written.left_out)
