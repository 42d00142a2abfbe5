"""The checkup of a phone: whether all that measuring on it rests on holds on this very phone, in some minutes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from devices.adb.checklist import Check, CheckList
from devices.adb.checkup_cores import check_clusters, check_pinning
from devices.adb.checkup_link import check_files, check_hanging, check_server, check_shell, check_streaming
from devices.adb.checkup_runs import CheckNets, check_device, write_nets
from devices.adb.checkup_state import (
    check_cores,
    check_fitness,
    check_identity,
    check_leftovers,
    check_settings,
    check_storage,
)
from devices.adb.device import AdbDevice
from devices.adb.heat import HeatLimits
from devices.adb.held import reach
from devices.adb.lease import lease_phone
from devices.adb.link import AdbLink
from devices.adb.probe import PhoneFacts, probe
from devices.adb.quarantine import refuse_quarantined
from devices.adb.server import AdbServer
from devices.adb.ways import refuse_held_on
from devices.runners.dialect import dialect_of
from devices.runners.library import RunnerLibrary
from devices.spec import DeviceSpec

BUDGET_S = 540.0
"""No check is begun after it; the longest takes well under a minute."""

_RECOVERY_S = 30.0
_LAUNCH_S = 30.0
_HEAT = HeatLimits(budget_s=60.0)


@dataclass(frozen=True, slots=True)
class Checkup:
    """What a checkup found.

    Attributes:
        rows: In order.
        was_reached: The phone could be talked to and was free.
        is_simulated: It is a software phone.
        seconds: For all of it.
    """

    rows: tuple[Check, ...]
    was_reached: bool
    is_simulated: bool
    seconds: float

    @property
    def is_good(self) -> bool:
        """Nothing is broken."""
        return not any(row.verdict == "broken" for row in self.rows)


@dataclass
class _Patient:
    """The phone under check, as far as it is known."""

    spec: DeviceSpec
    server: AdbServer
    folder: Path | None
    library: RunnerLibrary
    heat: HeatLimits
    hide: Callable[..., None]
    say: Callable[[str], None]
    link: AdbLink = field(init=False)
    facts: PhoneFacts = field(init=False)

    def meet(self) -> Iterator[Check]:
        """Reach the phone and read it."""
        self.link = reach(self.server, self.spec.serial, folder=self.folder)
        refuse_held_on(self.server.address, self.link.serial, folder=self.folder)
        self.facts = probe(self.link)
        self.hide(self.spec.serial, self.link.serial, self.facts.serialno)
        yield Check("state", "ready")

    def hold(self, stack: ExitStack) -> Iterator[Check]:
        """Take the lease for as long as the stack."""
        serialno = self.facts.serialno or self.link.serial
        refuse_quarantined(serialno, self.facts.boot_id, folder=self.folder)
        stack.enter_context(lease_phone(serialno, what="mnas doctor", folder=self.folder))
        yield Check("lease", "free; taken for the checkup")

    def open(self) -> AdbDevice:
        """Open the device as `mnas bench` does, but give up sooner."""
        return AdbDevice(
            self.spec,
            server=self.server,
            library=self.library,
            deadline_s=_LAUNCH_S,
            recovery_s=_RECOVERY_S,
            heat=self.heat,
            folder=self.folder,
            tell=self.say,
        )


def check_phone(
    spec: DeviceSpec,
    server: AdbServer,
    *,
    library: RunnerLibrary | None = None,
    folder: Path | None = None,
    heat: HeatLimits = _HEAT,
    budget_s: float = BUDGET_S,
    tell: Callable[[Check], None] = lambda row: None,
    say: Callable[[str], None] = lambda text: None,
) -> Checkup:
    """Check a phone from the cable to a number; nothing that is wrong with it is raised.

    Args:
        spec: The phone, its runner, and how it is to run.
        server: The adb server.
        library: Runners; the user's own unless given.
        folder: State folder of this machine; the user's own unless given.
        heat: When the phone must cool down, and for how long in all.
        budget_s: Seconds after which no further check is begun.
        tell: Given each row as it is made.
        say: Told what a person should know meanwhile, e.g. that the phone cools down.
    """
    began = time.monotonic()
    rows = CheckList(budget_s=budget_s, tell=tell)
    rows.hide(spec.serial)
    patient = _Patient(spec, server, folder, library or RunnerLibrary(), heat, rows.hide, say)
    was_reached = _check(rows, patient)
    is_simulated = was_reached and patient.facts.is_simulated
    return Checkup(tuple(rows.rows), was_reached, is_simulated, time.monotonic() - began)


def _check(rows: CheckList, patient: _Patient) -> bool:
    if not rows.attempt("adb server", lambda: check_server(patient.server)):
        return False
    if not rows.attempt("state", patient.meet):
        return False
    with ExitStack() as stack:
        if not rows.attempt("lease", lambda: patient.hold(stack)):
            return False
        _check_basics(rows, patient)
    # From here on the device takes the lease for itself, as it does for `mnas bench`.
    with tempfile.TemporaryDirectory(prefix="mnas-checkup-") as folder:
        _check_measuring(rows, patient, Path(folder))
    rows.attempt("left behind", lambda: check_leftovers(patient.link, patient.facts, patient.folder))
    return True


def _check_basics(rows: CheckList, patient: _Patient) -> None:
    link, facts = patient.link, patient.facts
    rows.attempt("phone", lambda: check_identity(facts))
    rows.attempt("shell v2", lambda: check_shell(link))
    rows.attempt("lines as they come", lambda: check_streaming(link))
    rows.attempt("a command that hangs", lambda: check_hanging(link))
    rows.attempt("files there and back", lambda: check_files(link))
    rows.attempt("free space", lambda: check_storage(facts))
    rows.attempt("clusters", lambda: check_cores(facts))
    rows.attempt("fit for measuring", lambda: check_fitness(facts))
    rows.attempt("settings", lambda: check_settings(link, facts, patient.folder))
    rows.attempt("pinning", lambda: check_pinning(link, facts, patient.spec))


def _check_measuring(rows: CheckList, patient: _Patient, folder: Path) -> None:
    made: list[CheckNets] = []

    def make() -> Iterator[Check]:
        made.append(write_nets(folder, dialect_of(patient.spec.runtime).model_format))
        return iter(())

    if not rows.attempt("networks", make):
        return
    (nets,) = made
    if not _check_open(rows, patient, nets):
        rows.add(Check("big against little", "not tried: nothing runs on the phone", "absent"))
        return
    rows.attempt(
        "big against little",
        lambda: check_clusters(
            patient.link, patient.spec, patient.library, nets.single, folder=patient.folder, heat=patient.heat
        ),
    )


def _check_open(rows: CheckList, patient: _Patient, nets: CheckNets) -> bool:
    """Open the device, check it and close it; say whether networks run on it."""
    opened: list[AdbDevice] = []

    def start() -> Iterator[Check]:
        device = patient.open()
        opened.append(device)
        yield Check("device", f"opened in {device.round_trips} round trips")

    try:
        return rows.attempt("device", start) and check_device(rows.attempt, opened[0], patient.link, nets)
    finally:
        for device in opened:
            _close(rows, device)


def _close(rows: CheckList, device: AdbDevice) -> None:
    """Close a device; a setting that could not be put back is a row."""
    told = len(device.warnings)
    device.close()
    for text in device.warnings[told:]:
        rows.add(Check("settings put back", text, "broken", "'mnas devices clean' tries again"))
