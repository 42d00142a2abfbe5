"""``mnas lut export`` and ``mnas lut import``: tables as files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.cli.options import FormatOption, OutOption, QuietOption, output_folder
from mnas.cli.output import Format, Result, emit, say, write_result

if TYPE_CHECKING:
    from latency.exchange import ExportedFile
    from latency.table import LatencyTable


class Layout(StrEnum):
    """Forms of a table file."""

    json = "json"
    csv = "csv"
    ofa = "ofa"
    proxylessnas = "proxylessnas"


def export_table(
    lut_id: Annotated[str, typer.Argument(help="Id of a table, or its beginning.")],
    to: Annotated[Layout, typer.Option("--to", help="Form of the file; json alone loses nothing.")] = Layout.json,
    resolution: Annotated[
        int | None, typer.Option("--resolution", min=1, help="Only this input side, in pixels (ofa, proxylessnas).")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Leave out what the form cannot express.")] = False,
    out: OutOption = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file; stdout without.")] = None,
    quiet: QuietOption = False,
) -> None:
    """Write a table into a file; ofa and proxylessnas take one file for each resolution."""
    from latency.exchange import export_table as export
    from latency.schema import LATENCY
    from latency.table import load_table
    from mnas.store import FILE_NAME, Store

    if resolution is not None and to in (Layout.json, Layout.csv):
        raise typer.BadParameter("--resolution is of ofa and proxylessnas; json and csv hold the whole table")
    with Store(output_folder(out) / FILE_NAME, (LATENCY,), must_exist=True) as store:
        files = export(store, load_table(store, lut_id), to.value, px=resolution, partial=partial)
    if len(files) > 1 and output is None:
        sides = ", ".join(str(file.px) for file in files)
        raise typer.BadParameter(f"the table has {sides} px, one file each: name one by --resolution, or -o FILE")
    for file in files:
        path = _path(output, file, len(files))
        write_result(file.text, path)
        _tell(file, path, quiet)


def _path(output: Path | None, file: ExportedFile, files: int) -> Path | None:
    """Return where a file goes: as it was named, or with the resolution before its name where there are several."""
    if output is None or files == 1:
        return output
    return output.with_name(f"{file.px}_{output.name}")


def _tell(file: ExportedFile, path: Path | None, quiet: bool) -> None:
    if path is not None:
        say(f"wrote {path}", quiet=quiet)
    if file.left_out:
        say(f"warning: {len(file.left_out)} segments are left out, so no whole network can be added up from it:")
        for label in file.left_out:
            say(f"  {label}", quiet=quiet)


def import_table(
    file: Annotated[Path, typer.Argument(help="A table: our JSON or CSV, or YAML of once-for-all or ProxylessNAS.")],
    layout: Annotated[Layout | None, typer.Option("--layout", help="Form of the file; else told by its keys.")] = None,
    device_name: Annotated[str, typer.Option("--device-name", help="Of which device it is; our JSON says it.")] = "",
    runtime: Annotated[str, typer.Option("--runtime", help="What ran the layers there, if known.")] = "",
    threads: Annotated[int, typer.Option("--threads", min=1, max=1024, help="Of that runtime.")] = 1,
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the result to this file.")] = None,
    quiet: QuietOption = False,
) -> None:
    """Bring a table from a file into the output folder; it stays marked as imported."""
    from latency.exchange import foreign_device, layout_of
    from latency.exchange import import_table as read
    from latency.importers.text import read_bytes
    from latency.schema import LATENCY
    from mnas.store import FILE_NAME, Store

    form = layout.value if layout else layout_of(read_bytes(file))
    if form == "json" and (device_name or runtime):
        raise typer.BadParameter("a table of our own JSON says its device itself; leave --device-name out")
    if form != "json" and not device_name.strip():
        raise typer.BadParameter("the file does not say which device it is of; say it with --device-name")
    device = None if form == "json" else foreign_device(device_name.strip(), runtime.strip(), threads)
    folder = output_folder(out)
    with Store(folder / FILE_NAME, (LATENCY,)) as store:
        table = read(store, file, form, device)
    emit(_imported(table), output_format, output)
    say(f"next: mnas lut show {table.lut_id} --out {quote(str(folder))}", quiet=quiet)


def _imported(table: LatencyTable) -> Result:
    device, came = table.device, table.origin
    document = {
        "lut_id": table.lut_id,
        "space": table.space,
        "device": device.to_json(),
        "device_key": table.device_key,
        "entries": len(table.entries),
        "is_validated": table.validation is not None,
        "origin": came.to_json() if came else None,
    }
    rows: list[list[object]] = [
        ["id", table.lut_id],
        ["what", table.space],
        ["device", device.model],
        ["runtime", f"{device.runtime} {device.runtime_version}".strip()],
        ["entries", len(table.entries)],
        ["origin", came.text() if came else ""],
        ["validated", "yes, where it was built" if table.validation else "UNVALIDATED: do not rely on it"],
    ]
    return Result(("what", "value"), rows, document, f"imported latency table {table.lut_id}")


def register(app: typer.Typer) -> None:
    """Add the commands to ``mnas lut``."""
    app.command("export")(export_table)
    app.command("import")(import_table)
