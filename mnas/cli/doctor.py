"""``mnas doctor``: whether everything that measuring and searching need is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mnas.cli.options import AdbOption, FileOption, FormatOption, QuietOption
from mnas.cli.output import ConsoleReporter, Format, Result, emit

if TYPE_CHECKING:
    from pathlib import Path

    from devices.adb.checkup import Checkup

_PACKAGES = (
    "mnas",
    "torch",
    "onnx",
    "onnxruntime",
    "ai-edge-litert",
    "pymoo",
    "moocore",
    "numpy",
    "scipy",
    "scikit-learn",
)


_PhoneOption = Annotated[
    str, typer.Option("--device", help="Check this phone instead: adb:SERIAL/RUNNER.", show_default=False)
]


def doctor(
    device: _PhoneOption = "",
    adb: AdbOption = "",
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Check versions, devices and what this machine lacks for good measurements; exit 1 when something is broken.

    With --device it checks a phone from the cable to a number, within ten minutes; exit 4 when the phone cannot be had.
    """
    if device:
        raise typer.Exit(_check_phone(device, adb, output_format, output, quiet))
    rows = [*_environment(), *_import_packages(), *_devices(), *_data()]
    emit(Result(("check", "found", "verdict"), rows, title="mnas doctor"), output_format, output)
    if any(row[2] == "broken" for row in rows):
        raise typer.Exit(1)


def _check_phone(device: str, adb: str, output_format: Format, output: Path | None, quiet: bool) -> int:
    """Check a phone, write the list, and return the exit code."""
    from devices.adb.checkup import check_phone
    from devices.adb.server import AdbServer
    from devices.spec import DeviceSpec
    from mnas.errors import DeviceError

    spec = DeviceSpec.parse(device)
    if spec.kind != "adb":
        raise typer.BadParameter("phones are checked, so it begins with adb:", param_hint="--device")
    reporter = ConsoleReporter(quiet)
    done = check_phone(
        spec,
        AdbServer.find(adb),
        tell=lambda row: reporter.line(f"{row.verdict:6} {row.name}: {row.found}"),
        say=reporter.line,
    )
    emit(_checkup_result(done), output_format, output)
    if not done.was_reached:
        return DeviceError.exit_code
    return 0 if done.is_good else 1


def _checkup_result(done: Checkup) -> Result:
    columns = ("check", "found", "verdict", "what to do")
    rows = [[row.name, row.found, row.verdict, row.remedy] for row in done.rows]
    counts = {verdict: sum(row.verdict == verdict for row in done.rows) for verdict in ("broken", "warn", "absent")}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count) or "all ok"
    title = "mnas doctor: phone" + (" (SIMULATED)" if done.is_simulated else "")
    document = {
        "is_simulated": done.is_simulated,
        "was_reached": done.was_reached,
        "seconds": round(done.seconds, 1),
        "rows": [dict(zip(columns, row, strict=True)) for row in rows],
    }
    return Result(columns, rows, document, title, [f"{len(rows)} rows in {done.seconds:.0f} s: {told}"])


def _environment() -> list[list[object]]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    rows: list[list[object]] = [["python", platform.python_version(), "ok"], ["system", platform.platform(), "ok"]]
    for package in _PACKAGES:
        try:
            rows.append([package, version(package), "ok"])
        except PackageNotFoundError:
            rows.append([package, "not installed", "broken"])
    return rows


def _import_packages() -> list[list[object]]:
    """Look for a foreign top-level package that hides one of ours."""
    from importlib.util import find_spec
    from pathlib import Path

    import mnas

    home, rows = Path(mnas.__file__).resolve().parent.parent, list[list[object]]()
    for name in ("devices", "latency", "search"):
        spec = find_spec(name)
        place = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if place is None:
            rows.append([f"package {name}", "not found", "broken"])
        elif place.parent != home:
            rows.append([f"package {name}", f"a foreign one at {place} hides ours", "broken"])
        else:
            rows.append([f"package {name}", "ours", "ok"])
    return rows


def _devices() -> list[list[object]]:
    """Open every device that is there, which starts its runtime, and say what it lacks."""
    try:
        from devices.registry import list_host_devices, open_device
    except ImportError as error:
        return [["devices", str(error), "broken"]]
    from mnas.errors import MnasError

    rows: list[list[object]] = []
    capabilities: dict[str, bool] = {}
    for one in list_host_devices():
        if not one.is_available:
            rows.append([one.spec, "no package for it is installed", "absent"])
            continue
        try:
            device = open_device(one.spec)
        except MnasError as error:
            rows.append([one.spec, str(error), "broken"])
            continue
        # What the machine grants is the same for every runtime, so it is asked for once.
        capabilities = capabilities or device.conditions().get("capabilities", {})
        device.close()
        rows.append([one.spec, f"{one.package} {one.version} on {device.info.model}", "ok"])
    return [*rows, *_capabilities(capabilities)]


def _capabilities(capabilities: dict[str, bool]) -> list[list[object]]:
    """Say of each thing that helps measuring whether it is there, what its lack costs and how to get it."""
    from devices.runtimes.capabilities import describe_capability

    rows: list[list[object]] = []
    for name, is_there in capabilities.items():
        one = describe_capability(name, is_there)
        found = "there" if is_there else f"without it {one.costs}; {one.remedy}"
        rows.append([f"measuring: {name.replace('_', ' ')}", found, "ok" if is_there else "absent"])
    return rows


def _data() -> list[list[object]]:
    try:
        from search.data.fashion_mnist import find_files
    except ImportError as error:
        return [["data", str(error), "broken"]]

    folder = find_files()
    found = "found" if folder else "not here yet; fetched with apt-get when a search needs it"
    return [["data fashion", found, "ok" if folder else "absent"], ["data digits", "embedded in scikit-learn", "ok"]]
