"""Bringing a phone back to what it was before the tool came: processes, files, settings, quarantine."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devices.adb.cleaning import Cleaning, clean_phone, look_for_leftovers, quarantine_leftovers
from devices.adb.controls import Controls, Outcome
from devices.adb.journal import Journal
from devices.adb.lease import holder_of, lease_phone
from devices.adb.phones import Phone
from devices.adb.probe_script import WORK_DIR
from devices.adb.quarantine import lift_quarantine
from devices.adb.quoting import TOKEN_VARIABLE
from devices.adb.states import HELD, NEEDS_PERSON, PhoneState, not_usable
from mnas.errors import DeviceError

if TYPE_CHECKING:
    from devices.adb.link import AdbLink

_USABLE = HELD | {PhoneState.READY, PhoneState.QUARANTINED}


@dataclass(frozen=True, slots=True)
class Tidying:
    """What was, or with a plan would be, done to one phone.

    Attributes:
        serial: Of the transport used.
        is_plan: Nothing was done.
        cleaning: Processes and files; ``None`` where the phone could not be asked, or must not be.
        settings: Settings that were put back; with a plan those that would be.
        was_quarantined: It was in quarantine.
        error: Why not everything could be done, or "".
        is_simulated: It is a software phone.
    """

    serial: str
    is_plan: bool = False
    cleaning: Cleaning | None = None
    settings: tuple[Outcome, ...] = ()
    was_quarantined: bool = False
    error: str = ""
    is_simulated: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON for this machine's eyes: it holds the serial."""
        return asdict(self)


def tidy_phone(
    link: AdbLink,
    phone: Phone,
    *,
    plan: bool = False,
    folder: Path | None = None,
    work_dir: str = WORK_DIR,
    variable: str = TOKEN_VARIABLE,
) -> Tidying:
    """End our processes, remove our files, put settings back and lift the quarantine; never raises for one phone.

    Args:
        link: To the phone.
        phone: The phone.
        plan: Say what would be done; touch nothing.
        folder: The state folder, for tests.
        work_dir: Our folder on the phone.
        variable: Name of the marker in the environment of our processes.
    """
    try:
        _check_usable(phone)
        if plan:
            done = _plan(link, phone, folder, work_dir, variable)
        else:
            with lease_phone(phone.serialno, what="mnas devices clean", folder=folder):
                done = _tidy(link, phone, folder, work_dir, variable)
    except DeviceError as error:
        done = Tidying(link.serial, plan, error=str(error))
    return replace(done, is_simulated=phone.facts is not None and phone.facts.is_simulated)


def _check_usable(phone: Phone) -> None:
    # A phone that is in quarantine is what cleaning is for; other states that need a person stay out of reach.
    if phone.state not in _USABLE or (phone.state in NEEDS_PERSON and phone.state is not PhoneState.QUARANTINED):
        raise not_usable(phone.serial, phone.state, phone.transports[0].word)


def _plan(link: AdbLink, phone: Phone, folder: Path | None, work_dir: str, variable: str) -> Tidying:
    holder = holder_of(phone.serialno, folder=folder)
    if holder:
        # Not looked at either: a look takes time from what is measured there.
        was_quarantined = phone.quarantine is not None
        return Tidying(link.serial, True, None, (), was_quarantined, f"in use, would be refused: {holder}")
    pending = Journal(phone.serialno, folder=folder).pending()
    return Tidying(
        link.serial,
        True,
        look_for_leftovers(link, work_dir=work_dir, variable=variable),
        tuple(Outcome(one.setting, one.old, one.new, False) for one in pending),
        phone.quarantine is not None,
    )


def _tidy(link: AdbLink, phone: Phone, folder: Path | None, work_dir: str, variable: str) -> Tidying:
    cleaning = clean_phone(link, work_dir=work_dir, variable=variable)
    settings = Controls(link, Journal(phone.serialno, folder=folder)).restore()
    errors = [f"'{one.name}' stays in the journal: {one.note}" for one in settings if not one.is_done]
    if not cleaning.is_removed:
        errors.append(f"{work_dir} could not be removed: {cleaning.note}")
    boot_id = phone.facts.boot_id if phone.facts else ""
    was_quarantined = phone.quarantine is not None
    if quarantine_leftovers(cleaning, phone.serialno, boot_id, folder=folder):
        errors.append(f"{len(cleaning.left)} processes cannot be ended: restart the phone; until then in quarantine")
    else:
        was_quarantined = lift_quarantine(phone.serialno, folder=folder) or was_quarantined
    return Tidying(link.serial, False, cleaning, settings, was_quarantined, "; ".join(errors))
