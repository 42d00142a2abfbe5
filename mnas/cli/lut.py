"""``mnas lut``: build, show and validate latency tables; other modules add what takes files or several tables."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnas.cli import lut_compare, lut_exchange
from mnas.cli.options import (
    AdbOption,
    DeviceOption,
    FileOption,
    FormatOption,
    OutOption,
    PlanOption,
    QuietOption,
    output_folder,
    use_adb,
)
from mnas.cli.output import ConsoleReporter, Format, Result, emit, say

if TYPE_CHECKING:
    from latency.table import LatencyTable
    from latency.validation import Validation

app = typer.Typer(help="Build, judge, compare and exchange latency lookup tables.", no_args_is_help=True)
_ERRORS = (("table", "the table"), ("plain_sum", "plain sum"), ("constant", "constant"), ("macs_linear", "MACs-linear"))


@app.command()
def build(
    space: Annotated[str, typer.Option("--space", help="Search space.")] = "mobilenetv3",
    preset: Annotated[str, typer.Option("--preset", help="fashion, digits or imagenet.")] = "imagenet",
    resolution: Annotated[list[int] | None, typer.Option("--resolution", help="Only these pixels (repeat).")] = None,
    device: DeviceOption = "host:ort",
    mode: Annotated[str, typer.Option("--mode", help="accurate or fast.")] = "accurate",
    rounds: Annotated[int, typer.Option("--rounds", min=3, help="Visits of each segment.")] = 6,
    calibration: Annotated[int, typer.Option("--calibration", min=1, help="Networks to calibrate on.")] = 12,
    validation: Annotated[int, typer.Option("--validation", min=2, help="Other networks to validate on.")] = 12,
    anew: Annotated[bool, typer.Option("--anew", help="Start a new table even if this one is there.")] = False,
    adb: AdbOption = "",
    plan: PlanOption = False,
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Measure exactly the blocks that a space can reach; interrupted, the same command goes on."""
    from latency.on_device import COMPONENTS, OnDevice, lut_settings
    from latency.plan import LutPlan
    from mnas.errors import ConfigError
    from mnas.spaces.presets import open_space
    from mnas.store import FILE_NAME, Store

    use_adb(adb)
    if mode not in ("accurate", "fast"):
        raise ConfigError("CFG01", "no such mode of a table", value=mode, why="known are accurate, fast", fix="use one")
    settings = lut_settings("fast" if mode == "fast" else "accurate", rounds, calibration, validation, device)
    todo = LutPlan(open_space(space, preset, tuple(resolution or ())), settings)
    if plan:
        counts = todo.counts()
        rows = [[name.replace("_", " "), value] for name, value in counts.items()]
        emit(Result(("what", "value"), rows, {"lut": counts}, f"plan of a table on {device}"), output_format, output)
        return
    folder, reporter = output_folder(out), ConsoleReporter(quiet)
    with Store(folder / FILE_NAME, COMPONENTS) as store, OnDevice(device, store) as opened:
        table = opened.build_table(todo, reporter.progress, anew=anew)
    emit(_validation_result(table, table.validation), output_format, output)
    say(f"next: mnas lut show {table.lut_id} --out {quote(str(folder))}", quiet=quiet)


@app.command()
def show(
    lut_id: Annotated[str, typer.Argument(help="Id of a table, or its beginning; all tables without.")] = "",
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
) -> None:
    """List the tables of the output folder, or the entries of one."""
    from latency.schema import LATENCY
    from latency.table import list_tables, load_table
    from mnas.store import FILE_NAME, Store

    with Store(output_folder(out) / FILE_NAME, (LATENCY,), must_exist=True) as store:
        if not lut_id:
            columns = ("lut_id", "created_at_utc", "status", "space", "entries", "dtype", "batch", "origin")
            rows = [[row[name] for name in columns] for row in list_tables(store)]
            emit(Result(columns, rows, title="latency tables"), output_format, output)
            return
        table = load_table(store, lut_id)
    emit(_entries_result(table), output_format, output)


@app.command()
def validate(
    lut_id: Annotated[str, typer.Argument(help="Id of a table, or its beginning.")],
    networks: Annotated[int, typer.Option("--networks", min=2, help="How many to measure.")] = 20,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the networks.")] = 1,
    adb: AdbOption = "",
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
) -> None:
    """Measure other whole networks now and compare them with the table's predictions."""
    from latency.exchange import require_own_device
    from latency.on_device import COMPONENTS, OnDevice
    from latency.revalidate import revalidate
    from latency.table import load_table
    from mnas.spaces.presets import open_space
    from mnas.store import FILE_NAME, Store

    use_adb(adb)
    with Store(output_folder(out) / FILE_NAME, COMPONENTS, must_exist=True) as store:
        table = load_table(store, lut_id)
        require_own_device(table)
        family, _, preset = table.space.partition("/")
        sides = {segment.in_shape_chw[1] for segment in table.entries if segment.role == "stem"}
        with OnDevice(table.device.device_id, store) as device:
            found = revalidate(store, device, table, open_space(family, preset, tuple(sides)), networks, seed)
    emit(_validation_result(table, found), output_format, output)


def _validation_result(table: LatencyTable, validation: Validation | None) -> Result:
    columns = ("prediction", "MAPE %", "RMSE ms", "within 5 %", "within 10 %", "bias %", "Kendall tau", "Spearman")
    rows: list[list[object]] = []
    for name, label in _ERRORS if validation else ():
        e = getattr(validation, name)
        shares = [100 * e.mape, e.rmse_ms, 100 * e.within_5, 100 * e.within_10, 100 * e.bias]
        rows.append([label, *(round(value, 4) for value in shares), round(e.kendall_tau, 4), round(e.spearman, 4)])
    c = table.calibration
    notes = [
        f"{len(table.entries)} entries; prediction = {c.formula()}",
        f"validated on {validation.networks} other networks" if validation else "NOT VALIDATED: do not rely on it",
    ]
    document: dict[str, Any] = {
        "lut_id": table.lut_id,
        "space": table.space,
        "device": table.device.to_json(),
        "device_key": table.device_key,
        "entries": len(table.entries),
        "calibration": c.to_json(),
        "validation": validation.to_json() if validation else None,
    }
    simulated = "SIMULATED " if table.device.is_simulated else ""
    return Result(columns, rows, document, f"{simulated}latency table {table.lut_id} of {table.space}", notes)


def _entries_result(table: LatencyTable) -> Result:
    columns = ("segment", "latency_ms", "low_ms", "high_ms", "samples", "verdict")
    rows = [
        [segment.label(), entry.latency_ms, entry.low_ms, entry.high_ms, entry.samples, entry.verdict]
        for segment, entry in sorted(table.entries.items(), key=lambda item: item[0].label())
    ]
    validation = table.validation
    how_good = "NOT VALIDATED"
    if validation:
        errors = validation.table
        how_good = f"MAPE {errors.mape:.2%}, tau {errors.kendall_tau:.3f} on {validation.networks} networks"
    info = table.device
    how_good = ", ".join([how_good, *([table.origin.text()] if table.origin else [])])
    title = f"{table.lut_id}: {table.space} on {info.model}, {info.runtime} {info.runtime_version}, {how_good}"
    document = {
        "lut_id": table.lut_id,
        "space": table.space,
        "device": info.to_json(),
        "device_key": table.device_key,
        "dtype": table.dtype,
        "batch": table.batch,
        "created_at_utc": table.created_at_utc,
        "settings": table.settings,
        "calibration": table.calibration.to_json(),
        "validation": validation.to_json() if validation else None,
        "origin": table.origin.to_json() if table.origin else None,
        "entries": [dict(zip(columns, row, strict=True)) for row in rows],
    }
    return Result(columns, rows, document, ("SIMULATED " if info.is_simulated else "") + title)


lut_compare.register(app)
lut_exchange.register(app)
