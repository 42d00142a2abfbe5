"""The tree of commands."""

from __future__ import annotations

import typer

from mnas.cli import (
    accuracy,
    arch,
    bench,
    data,
    devices,
    doctor,
    export,
    lut,
    report,
    runner,
    runs,
    search,
    study,
    supernet,
    train,
    version,
    worker,
)

app = typer.Typer(
    name="mnas",
    help="Benchmark networks on devices, build latency tables, search Pareto-optimal mobile networks.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    epilog="Every command takes --debug, which shows the traceback of an error.",
)
app.callback()(version.program)
app.command("bench")(bench.bench)
app.command("search")(search.search)
app.command("export")(export.export)
app.command("train")(train.train)
app.command("report")(report.report)
app.command("doctor")(doctor.doctor)
app.command("worker")(worker.worker)
app.add_typer(lut.app, name="lut")
app.add_typer(study.app, name="study")
app.add_typer(runs.app, name="runs")
app.add_typer(devices.app, name="devices")
app.add_typer(runner.app, name="runner")
app.add_typer(arch.app, name="arch")
app.add_typer(data.app, name="data")
app.add_typer(accuracy.app, name="accuracy")
app.add_typer(supernet.app, name="supernet")
