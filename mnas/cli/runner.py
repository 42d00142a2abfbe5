"""``mnas runner``: the programs that run models on phones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.cli.options import FileOption, FormatOption, QuietOption
from mnas.cli.output import ConsoleReporter, Format, Result, emit, say

if TYPE_CHECKING:
    from devices.runners.library import Runner, RunnerLibrary

app = typer.Typer(help="Add, fetch and list the programs that run models on phones.", no_args_is_help=True)
_COLUMNS = ("runner", "abi", "size", "sha256", "runs on", "delegates", "state", "added", "source")


@app.command()
def add(
    path: Annotated[Path, typer.Argument(help="The program, built for Android.")],
    name: Annotated[str, typer.Option("--name", help="tflite, litert or ortperf; else recognised.")] = "",
    library: Annotated[
        list[Path] | None, typer.Option("--library", help="A shared library that it needs; may be repeated.")
    ] = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Copy a program into the runner library, with its sha256."""
    from devices.runners.library import RunnerLibrary

    runners = RunnerLibrary()
    runner = runners.add(path, name, library or ())
    emit(_result(runners, [runner], f"added to {runners.folder}"), output_format, output)
    _say_next(runner, quiet)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="tflite or litert.")],
    abi: Annotated[str, typer.Option("--abi", help="ABI of the phone.")] = "arm64-v8a",
    version: Annotated[str, typer.Option("--version", help="Published version.")] = "latest",
    url: Annotated[str | None, typer.Option("--url", help="Address instead of the documented one.")] = None,
    sha256: Annotated[str | None, typer.Option("--sha256", help="Checksum that it must have.")] = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Download a program from where it is published; without --sha256 the first download is trusted and remembered."""
    from devices.runners.fetch import fetch_runner
    from devices.runners.library import RunnerLibrary

    runners, reporter = RunnerLibrary(), ConsoleReporter(quiet)

    def progress(done: int, total: int) -> None:
        reporter.progress("KiB downloaded", done >> 10, max(total, done + 1024 if not total else 0) >> 10)

    runner = fetch_runner(runners, name, abi, version, url=url, sha256=sha256, progress=progress, say=reporter.line)
    emit(_result(runners, [runner], f"fetched to {runners.folder}"), output_format, output)
    _say_next(runner, quiet)


@app.command("list")
def list_runners(output_format: FormatOption = Format.table, output: FileOption = None) -> None:
    """List the programs in the runner library, and whether their files are still those that were added."""
    from devices.runners.library import RunnerLibrary

    runners = RunnerLibrary()
    found = runners.list()
    if not found:
        say("no runner yet: mnas runner fetch litert, or mnas runner add PATH")
    emit(_result(runners, found, f"runners in {runners.folder}"), output_format, output)


def _say_next(runner: Runner, quiet: bool) -> None:
    say(f"next: mnas bench MODEL --device adb:SERIAL/{runner.name}", quiet=quiet)


def _result(library: RunnerLibrary, runners: list[Runner], title: str) -> Result:
    records = [_record(library, runner) for runner in runners]
    rows = [
        [
            record["name"],
            record["abi"],
            f"{runner.size_bytes / 2**20:.1f} MiB",
            runner.sha256[:12],
            record["system"],
            record["delegates"],
            record["state"],
            runner.added_at_utc[:10],
            runner.source,
        ]
        for runner, record in zip(runners, records, strict=True)
    ]
    document = {"folder": str(library.folder), "runners": records}
    return Result(_COLUMNS, rows, document, title, records=records)


def _record(library: RunnerLibrary, runner: Runner) -> dict[str, object]:
    from devices.runners.dialect import dialect_of
    from devices.runners.fitting import is_android_linker
    from mnas.errors import DeviceError

    try:
        library.checked(runner)
        state = "ok"
    except DeviceError as error:
        state = "changed" if runner.path.exists() else "missing"
        say(f"warning: {error}")
    if not runner.interpreter:
        system = "any Linux"
    else:
        system = "Android" if is_android_linker(runner.interpreter) else "Linux"
    return {
        "name": runner.name,
        "abi": runner.abi,
        "size_bytes": runner.size_bytes,
        "sha256": runner.sha256,
        "system": system,
        "delegates": " ".join(dialect_of(runner.name).delegates),
        "model_format": dialect_of(runner.name).model_format,
        "state": state,
        "libraries": " ".join(path.name for path in runner.libraries),
        "added_at_utc": runner.added_at_utc,
        "source": runner.source,
        "path": str(runner.path),
    }
