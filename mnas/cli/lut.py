"""``mnas lut``: build, show and validate latency tables."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.cli import lut_compare, lut_exchange
from mnas.cli.options import (
    AdbOption,
    FileOption,
    FormatOption,
    OutOption,
    PlanOption,
    QuietOption,
    output_folder,
    use_adb,
)
from mnas.cli.output import ConsoleReporter, Format, emit, say

if TYPE_CHECKING:
    from latency.table import LatencyTable
    from mnas.store import Store

app = typer.Typer(help="Build, judge, compare and exchange latency lookup tables.", no_args_is_help=True)


@app.command()
def build(
    space: Annotated[str, typer.Option("--space", help="Family of the space, or your own .toml file.")] = "mobilenetv3",
    preset: Annotated[str, typer.Option("--preset", help="fashion, digits or imagenet (default) of a family.")] = "",
    resolution: Annotated[list[int] | None, typer.Option("--resolution", help="Only these pixels (repeat).")] = None,
    device: Annotated[
        list[str] | None,
        typer.Option("--device", help="Device spec, host:ort unless given; repeat it for phones that share the work."),
    ] = None,
    mode: Annotated[str, typer.Option("--mode", help="accurate or fast.")] = "accurate",
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=3, help="Visits of each segment (6; in fast mode 3).")
    ] = None,
    calibration: Annotated[
        int | None, typer.Option("--calibration", min=1, help="Networks to calibrate on (12; 8).")
    ] = None,
    validation: Annotated[
        int | None, typer.Option("--validation", min=2, help="Other networks to validate on (12; 8).")
    ] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="Of the networks: float32 or int8.")] = "float32",
    anew: Annotated[bool, typer.Option("--anew", help="Start a new table even if this one is there.")] = False,
    adb: AdbOption = "",
    plan: PlanOption = False,
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Measure exactly the blocks that a space can reach; interrupted, the same command goes on.

    Phones of one model, runner and cores may share the work: repeat --device. Some probes are then measured by each of
    them, and a report says whether they agree.
    """
    from latency.additivity import stored_additivity
    from latency.consistency import load_consistency
    from latency.on_device import COMPONENTS, lut_settings
    from latency.plan import LutPlan
    from mnas.cli.lut_build import build_table, plan_result
    from mnas.cli.lut_view import consistency_notes, validation_result
    from mnas.errors import ConfigError
    from mnas.spaces.presets import chosen_space
    from mnas.spaces.toml_file import is_space_file
    from mnas.store import FILE_NAME, Store

    use_adb(adb)
    if mode not in ("accurate", "fast"):
        raise ConfigError("CFG01", "no such mode of a table", value=mode, why="known are accurate, fast", fix="use one")
    if dtype not in ("float32", "int8"):
        raise ConfigError(
            "CFG01", "no such dtype of a table", value=dtype, why="known are float32, int8", fix="use one"
        )
    devices = device or ["host:ort"]
    settings = lut_settings("fast" if mode == "fast" else "accurate", rounds, calibration, validation, devices[0])
    preset = preset or ("" if is_space_file(space) else "imagenet")
    chosen = chosen_space(space, preset, tuple(resolution or ()))
    todo, folder = LutPlan(chosen, settings, "int8" if dtype == "int8" else "float32"), output_folder(out)
    if plan:
        emit(plan_result(todo, devices, folder), output_format, output)
        return
    reporter = ConsoleReporter(quiet)
    with Store(folder / FILE_NAME, COMPONENTS) as store:
        table = build_table(store, devices, todo, reporter, anew=anew)
        consistency = load_consistency(store, table.lut_id)
        verdict = stored_additivity(store, table)
        page = _write_page(store, table.lut_id, folder, reporter)
    notes = [*([verdict.sentence()] if verdict else []), *consistency_notes(consistency)]
    more = {"consistency": consistency, "additivity": verdict.to_json() if verdict else None}
    emit(validation_result(table, table.validation, notes=notes, more=more), output_format, output)
    if page:
        say(f"report: {page}", quiet=quiet)
    say(f"next: mnas lut show {table.lut_id} --out {quote(str(folder))}", quiet=quiet)


def _write_page(store: Store, lut_id: str, folder: Path, reporter: ConsoleReporter) -> Path | None:
    """Write the page of a table that has just been built; it is worth no failure, for it can be written again."""
    from latency.table import load_table
    from mnas.cli.lut_report import lut_report_path, write_lut_report

    try:
        return write_lut_report(store, load_table(store, lut_id), lut_report_path(folder, lut_id))
    except OSError as error:
        reporter.warn(f"the table is there, but its page could not be written: {error}")
        return None


@app.command()
def show(
    lut_id: Annotated[str, typer.Argument(help="Id of a table, or its beginning; all tables without.")] = "",
    html: Annotated[Path | None, typer.Option("--html", help="Write the table's page to this file.")] = None,
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
) -> None:
    """List the tables of the output folder, or the entries of one: coverage, error, verdicts."""
    from latency.additivity import stored_additivity
    from latency.consistency import load_consistency
    from latency.schema import LATENCY
    from latency.table import load_table
    from mnas.cli.lut_view import entries_result, tables_result
    from mnas.store import FILE_NAME, Store

    if html and not lut_id:
        raise typer.BadParameter("name the table whose page is wanted")
    with Store(output_folder(out) / FILE_NAME, (LATENCY,), must_exist=True) as store:
        if not lut_id:
            emit(tables_result(store), output_format, output)
            return
        table = load_table(store, lut_id)
        if html:
            _write_html(store, table, html)
            return
        verdict = stored_additivity(store, table, is_quick=True)
        emit(entries_result(table, load_consistency(store, table.lut_id), verdict), output_format, output)


def _write_html(store: Store, table: LatencyTable, file: Path) -> None:
    from mnas.cli.lut_report import write_lut_report
    from mnas.errors import ConfigError

    try:
        typer.echo(write_lut_report(store, table, file))
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigError(
            "CFG07", "the page cannot be written there", value=str(file), why=why, fix="name another file with --html"
        ) from error


@app.command()
def validate(
    lut_id: Annotated[str, typer.Argument(help="Id of a table, or its beginning.")],
    networks: Annotated[int, typer.Option("--networks", min=2, help="How many to measure.")] = 20,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the networks.")] = 1,
    device: Annotated[str, typer.Option("--device", help="Device spec; the table's own device unless given.")] = "",
    max_drift: Annotated[float, typer.Option("--max-drift", min=0, help="Exit 3 if it drifted by more percent.")] = 5.0,
    adb: AdbOption = "",
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
) -> None:
    """Measure other whole networks now and compare them with the table's predictions.

    Some of its own calibration networks are measured first: exit 3 if the device has drifted since it was built.
    """
    from latency.coverage import covered_space
    from latency.drift import measure_drift
    from latency.exchange import require_own_device
    from latency.on_device import COMPONENTS, OnDevice
    from latency.revalidate import revalidate
    from latency.table import load_table
    from mnas.cli.lut_view import revalidation_result
    from mnas.errors import GateFailedError
    from mnas.spaces.presets import FAMILIES, open_space
    from mnas.store import FILE_NAME, Store

    use_adb(adb)
    with Store(output_folder(out) / FILE_NAME, COMPONENTS, must_exist=True) as store:
        table = load_table(store, lut_id)
        require_own_device(table)
        family, _, preset = table.space.partition("/")
        space = covered_space(table) or open_space(family, preset)
        with OnDevice(device or table.device.device_id, store) as opened:
            drift = measure_drift(store, opened, table, space, seed=seed, bound=max_drift / 100)
            found = revalidate(store, opened, table, space, networks, seed)
    emit(revalidation_result(table, found, drift), output_format, output)
    if drift.verdict == "drifted":
        named = f"{family} --preset {preset}" if family in FAMILIES else "FILE.toml"
        command = f"mnas lut build --anew --space {named} --device {opened.info.device_id}"
        say(f"mnas: {drift.text()}. Build it anew: {command}")
        raise typer.Exit(GateFailedError.exit_code)


lut_compare.register(app)
lut_exchange.register(app)
