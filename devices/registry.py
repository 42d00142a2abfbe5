"""From the text that names a device to the device itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from typing import cast

from devices.device import Device
from devices.spec import ENTRY_POINT_GROUP, HOST_RUNTIMES, DeviceSpec, openable_runtimes
from mnas.errors import DeviceError

_BUILT_IN = {**dict.fromkeys(HOST_RUNTIMES, "devices.runtimes.host:HostDevice"), "adb": "devices.adb.device:AdbDevice"}
_PACKAGES = {
    "ort": ("onnxruntime", ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")),
    "litert": ("ai_edge_litert", ("ai-edge-litert",)),
    "litert (tflite-runtime)": ("tflite_runtime", ("tflite-runtime",)),
    "torch": ("torch", ("torch",)),
}


@dataclass(frozen=True, slots=True)
class HostRuntime:
    """A runtime of this machine.

    Attributes:
        spec: What to write to use it, e.g. ``host:ort``.
        package: Package that provides it, or "" when none is installed.
        version: Version of the package, or "".
        is_available: The package is there; it has not been imported to find out.
    """

    spec: str
    package: str
    version: str
    is_available: bool


def open_device(
    spec: str | DeviceSpec,
    *,
    tell: Callable[[str], None] | None = None,
    sleep: Callable[[float], None] | None = None,
) -> Device:
    """Open the device that a spec names; the caller closes it.

    Host runtimes are looked up by name, phones under ``adb``, among the built-in ones and then in the entry-point
    group ``mnas.devices``: a callable that takes the `DeviceSpec` and returns a `Device`.

    Args:
        spec: The device.
        tell: Told what a person should know of a phone, as it happens.
        sleep: Waits for a phone that cools down or is away.

    Raises:
        ConfigError: The spec is not one.
        DeviceError: ``DEV02`` nothing here opens such a device, or the device itself refuses.
    """
    parsed = DeviceSpec.parse(spec) if isinstance(spec, str) else spec
    name = parsed.runtime if parsed.kind == "host" else parsed.kind
    if parsed.kind == "host" and name in HOST_RUNTIMES and name not in openable_runtimes():
        raise DeviceError(
            "DEV02",
            "the package of this runtime is not installed",
            value=str(parsed),
            why=f"{_PACKAGES[name][0]} cannot be found",
            fix=f"pip install {_PACKAGES[name][1][0]}",
        )
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        wishes = {"tell": tell, "sleep": sleep} if parsed.kind == "adb" else {}
        given = {key: value for key, value in wishes.items() if value is not None}
        return cast(Device, getattr(import_module(module), attribute)(parsed, **given))
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return cast(Device, point.load()(parsed))
    raise DeviceError(
        "DEV02",
        "devices of this kind are not available yet",
        value=str(parsed),
        why=f"nothing is registered for '{name}' in '{ENTRY_POINT_GROUP}'",
        fix=f"use one of {', '.join(f'host:{name}' for name in openable_runtimes())}",
    )


def list_host_devices() -> list[HostRuntime]:
    """Return the runtimes of this machine, those that are missing included, without importing any."""
    found = [_describe(name) for name in _PACKAGES]
    litert = [runtime for runtime in found if runtime.spec == "host:litert"]
    kept = next((runtime for runtime in litert if runtime.is_available), litert[0])
    return [runtime for runtime in found if runtime.spec != "host:litert" or runtime is kept]


def _describe(name: str) -> HostRuntime:
    module, packages = _PACKAGES[name]
    spec = f"host:{name.split()[0]}"
    if find_spec(module) is None:
        return HostRuntime(spec, "", "", False)
    for package in packages:
        try:
            return HostRuntime(spec, package, version(package), True)
        except PackageNotFoundError:
            continue
    return HostRuntime(spec, module, "", True)
