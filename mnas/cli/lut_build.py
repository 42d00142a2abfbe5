"""What ``mnas lut build`` does once its words are read: a plan, or a table on one device or several."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from mnas.cli.output import ConsoleReporter, Result, span

if TYPE_CHECKING:
    from devices.device import Device, DeviceInfo
    from latency.pace import Pace
    from latency.plan import LutPlan
    from latency.sharing import SharedBuild
    from latency.table import LatencyTable
    from mnas.store import Store

_POLL_S = 0.2
_PHONE_S_PER_VISIT = 0.25
"""A launch of about a tenth of a second of inferences, its start and end, and its part of the references' launches."""


def plan_result(plan: LutPlan, devices: Sequence[str], folder: Path) -> Result:
    """Return what a build would do, and how long by what the device has shown; nothing is opened but the store."""
    from devices.spec import DeviceSpec

    spec = DeviceSpec.parse(devices[0])
    counts, basis = _counts(plan, _stored_pace(plan, str(spec), folder), spec.kind)
    told = {**counts, "estimated_minutes": round(counts["estimated_minutes"] / len(devices), 1), "minutes_by": basis}
    rows = [[name.replace("_", " "), value] for name, value in told.items()]
    return Result(("what", "value"), rows, {"lut": told}, f"plan of a table on {' and '.join(devices)}")


def _stored_pace(plan: LutPlan, device_id: str, folder: Path) -> Pace | None:
    from latency.on_device import COMPONENTS
    from latency.pace import shown_pace
    from mnas.store import FILE_NAME, Store

    if not (folder / FILE_NAME).is_file():
        return None
    with Store(folder / FILE_NAME, COMPONENTS, must_exist=True) as store:
        return shown_pace(store, device_id, plan.space.name)


def _counts(plan: LutPlan, pace: Pace | None, kind: str) -> tuple[dict[str, int | float], str]:
    """Return what a build takes on one device, and what its minutes rest on."""
    if pace is not None:
        basis = f"{pace.visits} visits that this device made for {pace.space or 'other spaces'}"
        return plan.counts(pace.seconds_per_visit), basis
    if kind == "adb":
        return plan.counts(_PHONE_S_PER_VISIT), "estimate for a phone; this one has shown nothing yet"
    return plan.counts(), "estimate for a server CPU; this device has shown nothing yet"


def build_table(
    store: Store, devices: Sequence[str], plan: LutPlan, reporter: ConsoleReporter, *, anew: bool
) -> LatencyTable:
    """Build a table, and say before how long it will take and, if it fails, that nothing is lost.

    Raises:
        MnasError: It could not be built to its end.
    """
    from mnas.errors import DeviceError, ExportError, LutError, StoreError

    try:
        if len(devices) == 1:
            return _on_one(store, devices[0], plan, reporter, anew)
        return _on_several(store, devices, plan, reporter, anew)
    except (DeviceError, ExportError, StoreError, LutError) as error:
        if error.code not in ("LUT03", "LUT20", "LUT21"):
            reporter.line("what was measured is kept: the same command goes on with it")
        raise


def _on_one(store: Store, spec: str, plan: LutPlan, reporter: ConsoleReporter, anew: bool) -> LatencyTable:
    from devices.registry import open_device
    from latency.on_device import OnDevice

    with OnDevice(open_device(spec, tell=reporter.line), store) as device:
        if anew or not device.has_table(plan):
            _announce(store, device.info, plan, reporter, 1)
        return device.build_table(plan, reporter.progress, anew=anew)


def _on_several(
    store: Store, specs: Sequence[str], plan: LutPlan, reporter: ConsoleReporter, anew: bool
) -> LatencyTable:
    from devices.registry import open_device
    from latency.builder import find_table
    from latency.sharing import SharedBuild

    shared: list[SharedBuild] = []
    with ExitStack() as stack:
        devices: list[Device] = []
        for spec in specs:
            devices.append(open_device(spec, tell=reporter.line, sleep=_sleeper(shared)))
            stack.callback(devices[-1].close)
        shared.append(SharedBuild(store, devices, plan, reporter.progress, reporter.warn))
        if sum(device.info.kind == "host" for device in devices) > 1:
            reporter.warn("several of these devices are this machine: they disturb one another")
        found = find_table(store, plan, devices[0].info)
        if anew or found is None or found[1] != "ready":
            _announce(store, devices[0].info, plan, reporter, len(devices))
        return shared[0].build(anew=anew)


def _sleeper(shared: Sequence[SharedBuild]) -> Callable[[float], None]:
    """Return how a device waits, e.g. until it is cool: no longer than its build is wanted."""

    def wait(seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if shared and shared[0].is_stopped:
                raise KeyboardInterrupt
            time.sleep(min(left, _POLL_S))

    return wait


def _announce(store: Store, device: DeviceInfo, plan: LutPlan, reporter: ConsoleReporter, devices: int) -> None:
    from latency.pace import shown_pace

    counts, basis = _counts(plan, shown_pace(store, device.device_id, plan.space.name), device.kind)
    models, seconds = counts["probes"] + counts["whole_networks"], 60 * counts["estimated_minutes"] / devices
    what = f"{counts['segments']} segments by {models} models in {counts['visits']} visits"
    reporter.line(f"{what}, about {span(seconds)} ({basis})")
