"""``mnas devices``: what models can be measured on."""

from __future__ import annotations

import typer

from mnas.cli.options import DeviceOption, FileOption, FormatOption, OutOption, output_folder
from mnas.cli.output import Format, Result, emit, say

app = typer.Typer(help="List and calibrate devices.", no_args_is_help=True)


@app.command("list")
def list_devices(output_format: FormatOption = Format.table, output: FileOption = None) -> None:
    """List the devices that models can be measured on."""
    from devices.registry import list_host_devices

    columns = ("device", "package", "version", "available")
    rows = [[one.spec, one.package, one.version, "yes" if one.is_available else "no"] for one in list_host_devices()]
    emit(Result(columns, rows, title="devices"), output_format, output)


@app.command()
def calibrate(
    device: DeviceOption = "host:ort",
    replace: bool = typer.Option(False, "--replace", help="Replace the stored nominals of this device."),
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

    with Store(output_folder(out) / FILE_NAME, (DEVICES,)) as store, tempfile.TemporaryDirectory() as folder:
        opened = open_device(device)
        try:
            rng = np.random.default_rng()
            ready = ready_harness(opened, store, Path(folder), rng=rng, recalibrate=replace)
        finally:
            opened.close()
    if not ready.was_calibrated_now:
        say("the device has nominals already; --replace measures them anew")
    columns = ("reference", "nominal ms", "measured at")
    rows = [[nominal.name, nominal.nominal_ms, nominal.measured_at_utc] for nominal in ready.nominals.values()]
    emit(Result(columns, rows, title=f"nominals of {opened.info.device_key[:12]}"), output_format, output)
