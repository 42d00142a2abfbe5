"""``mnas doctor``: whether everything that measuring and searching need is there."""

from __future__ import annotations

import typer

from mnas.cli.options import FileOption, FormatOption
from mnas.cli.output import Format, Result, emit

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


def doctor(output_format: FormatOption = Format.table, output: FileOption = None) -> None:
    """Check versions, devices and what this machine lacks for good measurements; exit 1 when something is broken."""
    rows = [*_environment(), *_import_packages(), *_devices(), *_data()]
    emit(Result(("check", "found", "verdict"), rows, title="mnas doctor"), output_format, output)
    if any(row[2] == "broken" for row in rows):
        raise typer.Exit(1)


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
