"""``mnas devices``: what models can be measured on."""

from __future__ import annotations

from typing import Annotated

import typer

from mnas.cli.options import (
    AdbOption,
    DeviceOption,
    FileOption,
    FormatOption,
    OutOption,
    PlanOption,
    output_folder,
    use_adb,
)
from mnas.cli.output import Format, Result, emit, say

app = typer.Typer(help="List, watch, clean and calibrate devices.", no_args_is_help=True)
_START_S = 15.0


@app.command("list")
def list_devices(adb: AdbOption = "", output_format: FormatOption = Format.table, output: FileOption = None) -> None:
    """List the devices that models can be measured on: runtimes of this machine, and phones with their state."""
    from devices.registry import list_host_devices
    from mnas.cli.device_view import devices_result, see_phones

    phones, notes = see_phones(adb, _START_S)
    emit(devices_result(list_host_devices(), phones, notes, output_format), output_format, output)


@app.command()
def watch(
    seconds: Annotated[float | None, typer.Option("--for", min=0, help="End after so many seconds.")] = None,
    adb: AdbOption = "",
    output_format: FormatOption = Format.table,
) -> None:
    """Say each change of a phone's state in a line as it happens, until Ctrl-C; --format jsonl for programs."""
    from devices.adb.server import AdbServer
    from mnas.cli.device_watch import watch_phones

    if output_format not in (Format.table, Format.jsonl):
        raise typer.BadParameter("lines come one by one: use table or jsonl", param_hint="--format")
    server = AdbServer.find(adb)
    server.ensure_running(_START_S)
    try:
        watch_phones(server, seconds, is_json=output_format is Format.jsonl)
    except KeyboardInterrupt:
        from mnas.cli import EXIT_INTERRUPTED

        # Ctrl-C is how this command is meant to end: typer's own exit would be followed by words on what was recorded.
        raise SystemExit(EXIT_INTERRUPTED) from None


@app.command()
def clean(
    serial: Annotated[str, typer.Argument(help="Serial of a phone; the only one unless given.")] = "",
    all_phones: Annotated[bool, typer.Option("--all", help="Every phone that can be reached.")] = False,
    plan: PlanOption = False,
    adb: AdbOption = "",
    output_format: FormatOption = Format.table,
    output: FileOption = None,
) -> None:
    """Leave phones as they were: end our processes, remove our files, put settings back, lift a quarantine.

    Nothing else on the phone is touched: only /data/local/tmp/mnas and processes that carry our marker.
    """
    from devices.adb.housekeeping import tidy_phone
    from devices.adb.phones import find_phone, list_phones
    from devices.adb.server import AdbServer
    from mnas.cli.device_view import tidying_result

    if serial and all_phones:
        raise typer.BadParameter("name a phone or say --all, not both")
    server = AdbServer.find(adb)
    server.ensure_running(_START_S)
    phones = list_phones(server)
    chosen = phones if all_phones else [find_phone(phones, serial)]
    done = [tidy_phone(server.link(one.serial), one, plan=plan) for one in chosen]
    emit(tidying_result(done), output_format, output)
    if any(one.error for one in done) and not plan:
        from mnas.errors import DeviceError

        raise typer.Exit(DeviceError.exit_code)


@app.command()
def calibrate(
    device: DeviceOption = "host:ort",
    replace: bool = typer.Option(False, "--replace", help="Replace the stored nominals of this device."),
    adb: AdbOption = "",
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
) -> None:
    """Measure the reference networks of a device, against which every latency is stated, and store their nominals."""
    import tempfile
    from pathlib import Path

    import numpy as np

    from devices.calibration import ready_harness
    from devices.references import DEVICES
    from devices.registry import open_device
    from mnas.store import FILE_NAME, Store

    use_adb(adb)
    with Store(output_folder(out) / FILE_NAME, (DEVICES,)) as store, tempfile.TemporaryDirectory() as folder:
        opened = open_device(device)
        try:
            rng = np.random.default_rng()
            ready = ready_harness(opened, store, Path(folder), rng=rng, recalibrate=replace)
        finally:
            opened.close()
    if not ready.was_calibrated_now:
        say("the device has nominals already; --replace measures them anew")
    if ready.heat:
        say(f"warning: measured while hot; let it cool down and use --replace: {'; '.join(ready.heat)}")
    columns = ("reference", "nominal ms", "measured at")
    rows = [[nominal.name, nominal.nominal_ms, nominal.measured_at_utc] for nominal in ready.nominals.values()]
    mark = {"is_simulated": opened.info.is_simulated}
    records = [{**dict(zip(columns, row, strict=True)), **mark} for row in rows]
    if opened.info.is_simulated:
        rows = [[f"{name} (simulated)", *others] for name, *others in rows]
    title = f"nominals of {opened.info.device_key[:12]}"
    emit(Result(columns, rows, {**mark, "rows": records}, title, records=records), output_format, output)
