"""A phone that is held for measuring: leased, free of what others left, its settings set, until it is given back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from devices.adb.activity import Telling
from devices.adb.cleaning import kill_leftovers, quarantine_leftovers
from devices.adb.control_list import DEFAULT_CONTROLS, FIXED_PERFORMANCE, Control
from devices.adb.controls import Controls, Outcome
from devices.adb.failures import PhoneLost
from devices.adb.fitness import obstacles
from devices.adb.journal import Journal
from devices.adb.lease import lease_phone
from devices.adb.link import WORK_DIR, AdbLink
from devices.adb.phones import find_phone, list_phones
from devices.adb.probe import PhoneFacts, probe
from devices.adb.quarantine import refuse_quarantined
from devices.adb.quoting import quote_word
from devices.adb.recovery import Identity, Recovery
from devices.adb.server import AdbServer
from devices.adb.staging import CACHE_DIR
from devices.adb.states import PhoneState, not_usable, state_of
from devices.adb.ways import refuse_held_on, remember_way
from mnas.errors import DeviceError, MnasError

_CONNECT_S = 10.0
_RETURN_S = 10.0
_TIDY_S = 20.0
_SIGN_OF_LIFE_S = 10.0

Answer = TypeVar("Answer")


def reach(server: AdbServer, serial: str, *, folder: Path | None = None) -> AdbLink:
    """Return a link to the phone that a serial names: that of a transport, or the phone's own.

    Args:
        server: The adb server; started where none runs.
        serial: Of either kind, or the public name of a phone.
        folder: The state folder, for tests.

    Raises:
        DeviceError: ``ADB30`` it is there but cannot be used now, with the remedy, ``ADB37`` it is not there, ``ADB05``
            it does not take the connection.
    """
    server.ensure_running()
    words = server.states()
    word = words.get(serial)
    if word is None and ":" in serial:
        server.connect(serial, _CONNECT_S)
        word = server.states().get(serial)
    if word is None:
        phone = find_phone(list_phones(server, folder=folder), serial)
        serial, word = phone.serial, phone.transports[0].word
    state = state_of(word)
    if state is not PhoneState.READY:
        raise not_usable(serial, state, word)
    return server.link(serial)


class HeldPhone:
    """A phone under lease. Use it as a context manager, or call `release`.

    Args:
        link: To the phone, which is ready.
        recovery: For when the link is lost; one is made unless given.
        controls: Settings to set.
        folder: State folder of this machine; the user's own unless given.
        warn: Told what a person should know.

    Attributes:
        link: To the phone.
        facts: The last probe.
        recovery: Waits for the phone.
        settings: What came of setting the controls.
        on_return: Called after the phone was lost and is back, with whether it started anew.

    Raises:
        DeviceError: ``ADB31`` another process holds it, ``ADB36`` it is in quarantine, ``ADB67`` it is not fit for
            measuring, with the remedy; what the link raises.
        StateError: ``ADB38``: the state folder cannot be written.
    """

    def __init__(
        self,
        link: AdbLink,
        *,
        recovery: Recovery | None = None,
        controls: Sequence[Control] = DEFAULT_CONTROLS,
        folder: Path | None = None,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.link = link
        self.recovery = recovery or Recovery(link.server, link.serial)
        self.on_return: Callable[[bool], None] = lambda is_new_boot: None
        self.settings: tuple[Outcome, ...] = ()
        self._wanted, self._folder, self._warn = tuple(controls), folder, warn
        self._cleanup = ExitStack()
        self._best_khz: dict[int, int] = {}
        self._tells_heat = False
        self._telling: Telling | None = None
        # Before it is asked anything: a question takes time from what another process measures on it.
        refuse_held_on(link.server.address, link.serial, folder=folder)
        self.facts = self._probe(with_exec_check=True)
        if not self.facts.is_whole:
            # A service of the phone hung, or the link stands still: that would cost one deadline after the other.
            link.run(["true"], deadline_s=_SIGN_OF_LIFE_S)
        try:
            self._take()
        except BaseException:
            self.release()
            raise

    @property
    def serialno(self) -> str:
        """The phone's own serial; that of its transport where it has none."""
        return self.facts.serialno or self.link.serial

    @property
    def has_thermal_service(self) -> bool:
        """Its thermal service has told its status, or is there and gives no answer."""
        return self._tells_heat or self.facts.is_heat_unread

    @property
    def cool_facts(self) -> PhoneFacts:
        """The last probe with the highest clocks that were allowed at any: what was capped at the start is so too."""
        caps = {cpu: (self._best_khz.get(cpu, now), highest) for cpu, (now, highest) in self.facts.caps.items()}
        return replace(self.facts, caps=caps)

    @property
    def is_capped(self) -> bool:
        """Cores are held below the hardware's clock, and not by the fixed performance that was set."""
        return bool(self.facts.capped_cpus) and not self._has_fixed_performance

    @property
    def _has_fixed_performance(self) -> bool:
        return any(one.name == FIXED_PERFORMANCE.name and one.is_done for one in self.settings)

    def tell(self, state: PhoneState, what: str = "") -> None:
        """Tell other processes what is done with the phone; see `devices.adb.activity`."""
        if self._telling:
            self._telling.tell(state, what)

    def refresh(self) -> None:
        """Read the phone again.

        Raises:
            DeviceError: What the link raises.
        """
        self.facts = self._probe()

    def with_recovery(self, action: Callable[[], Answer]) -> Answer:
        """Do something with the phone, again after each time that the link is lost meanwhile.

        Raises:
            DeviceError: The phone stays away, or the action raises another error.
        """
        while True:
            try:
                return action()
            except PhoneLost as error:
                self.recover(str(error))

    def recover(self, why: str, token: str = "") -> bool:
        """Wait for the phone, end what is left of a batch on it and say whether it started anew.

        Raises:
            DeviceError: ``ADB62`` it stays away, ``ADB63`` another phone came, ``ADB36`` something cannot be ended.
        """
        is_new_boot = False
        self.tell(PhoneState.LOST, f"waiting for the phone: {why}")
        while True:
            found = self.recovery.wait(Identity.of(self.facts), why)
            is_new_boot |= found.is_new_boot
            self._know(found.facts)
            try:
                self.link.forget()
                if is_new_boot:
                    self._set()
                self.kill(token)
                self.on_return(is_new_boot)
                return is_new_boot
            except PhoneLost as error:
                why = str(error)

    def kill(self, token: str = "") -> None:
        """End what runs of a batch, or of any, and remove its folder and what broken pushes left.

        Nobody else pushes while the lease is held, and nothing of ours runs when this is called.

        Raises:
            DeviceError: ``ADB36`` something cannot be ended: the phone is in quarantine now; what the link raises.
        """
        cleaning = kill_leftovers(self.link, token=token)
        if quarantine_leftovers(cleaning, self.serialno, self.facts.boot_id, folder=self._folder):
            refuse_quarantined(self.serialno, self.facts.boot_id, folder=self._folder)
        folder = f"{WORK_DIR}/batch/{token and quote_word(token)}"
        broken = f"{WORK_DIR}/scripts {WORK_DIR}/.exec-check.* {CACHE_DIR}/.mnas-*"
        self.link.run_script(f"rm -rf {folder} {broken}", deadline_s=_TIDY_S)

    def kill_quietly(self, token: str) -> None:
        """End what runs of a batch, where that is possible, without a word."""
        with contextlib.suppress(MnasError):
            self.kill(token)

    def release(self) -> None:
        """Put the settings back and give the phone back; a second call does nothing.

        A link that broke just now is waited for. A phone that stays away keeps its entries in the journal, and the next
        one to hold it puts them back.
        """
        if self.settings:
            self.settings = ()
            self.tell(PhoneState.CLEAN, "giving it back")
            self._put_back()
        self._cleanup.close()

    def _put_back(self) -> None:
        """Put the settings back, after a wait where the link is lost; what fails is told when the controls are left."""
        try:
            self._controls.restore()
        except PhoneLost as error:
            recovery = Recovery(self.link.server, self.link.serial, budget_s=_RETURN_S)
            with contextlib.suppress(MnasError):
                recovery.wait(Identity.of(self.facts), str(error))
                self.link.forget()
        except MnasError:
            return

    def __enter__(self) -> HeldPhone:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _take(self) -> None:
        refuse_quarantined(self.serialno, self.facts.boot_id, folder=self._folder)
        self._cleanup.enter_context(lease_phone(self.serialno, folder=self._folder))
        remember_way(self.link.server.address, self.link.serial, self.facts.serialno, folder=self._folder)
        self._telling = Telling(self.serialno, self._folder)
        self._cleanup.callback(self._telling.end)
        self._telling.know(self.facts)
        self.tell(PhoneState.LEASED, "making it ready")
        self._controls = Controls(self.link, Journal(self.serialno, folder=self._folder), warn=self._warn)
        # Before it is restored: a runner that a dead process left may hold a core for itself.
        self.kill()
        self._cleanup.enter_context(self._controls)
        for one in self._controls.restore():
            if not one.is_done:
                self._warn(f"'{one.name}', which an earlier run changed, cannot be put back to '{one.old}': {one.note}")
        self._refuse_unfit()
        self._set()

    def _set(self) -> None:
        """Set the controls and read the phone again."""
        self.settings = self._controls.apply(self._wanted)
        # Fixed performance holds the clocks below their peak: its own bound is what a cap is told from.
        if self._has_fixed_performance:
            self._best_khz.clear()
        self.refresh()

    def _refuse_unfit(self) -> None:
        for one in obstacles(self.facts):
            if one.is_grave and not one.passes:
                raise DeviceError(
                    "ADB67",
                    "the phone is not fit for measuring now",
                    value=self.link.serial,
                    why=f"{one.what}; numbers taken so would be wrong",
                    fix=one.remedy,
                )
            self._warn(f"{one.what}: {one.remedy}")

    def _probe(self, *, with_exec_check: bool = False) -> PhoneFacts:
        known = self.facts.clusters if hasattr(self, "facts") else ()
        facts = probe(self.link, with_exec_check=with_exec_check, known=known)
        self._know(facts)
        return facts

    def _know(self, facts: PhoneFacts) -> None:
        self.facts = facts
        self._tells_heat |= facts.thermal is not None and facts.thermal.status is not None
        for cpu, (now, _) in facts.caps.items():
            self._best_khz[cpu] = max(now, self._best_khz.get(cpu, 0))
