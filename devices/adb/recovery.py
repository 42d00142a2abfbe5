"""A link that was lost: wait until the same phone answers again, and know whether it started anew meanwhile."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from devices.adb.failures import PhoneForbidden, PhoneLost
from devices.adb.link import AdbLink
from devices.adb.probe import PhoneFacts, probe
from devices.adb.server import AdbServer
from devices.adb.states import NEEDS_PERSON, PhoneState, not_usable, state_of
from mnas.errors import DeviceError

RECOVERY_S = 120.0
POLL_S = 0.25
_STEP_S, _SHORTEST_STEP_S = 10.0, 1.0
_SLOWEST_POLL_S = 2.0
_ADDRESS = re.compile(r"^\S+:\d{1,5}$")
_PASSING_CODES = frozenset({"ADB04", "ADB05", "ADB18", "ADB32"})
"""What a phone that is just coming back may say: no server yet, no connection yet, half an answer."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which phone it is, and since which start of it.

    Attributes:
        serialno: ro.serialno, "" where it has none.
        boot_id: Another one after each start, "" where unknown.
    """

    serialno: str
    boot_id: str

    @classmethod
    def of(cls, facts: PhoneFacts) -> Identity:
        """Return the identity that a probe found."""
        return cls(facts.serialno, facts.boot_id)


@dataclass(frozen=True, slots=True)
class Recovered:
    """A phone that is back.

    Attributes:
        facts: A fresh probe.
        is_new_boot: It started anew meanwhile: its settings and processes are gone.
        waited_s: Seconds.
    """

    facts: PhoneFacts
    is_new_boot: bool
    waited_s: float


class Recovery:
    """Waits for one phone, within a budget of seconds that is whole again after each result that came in.

    Args:
        server: On which the phone hung.
        serial: Of its transport.
        budget_s: Seconds without a link and without a new result in between, over as many losses as it takes.
        clock: Seconds on a clock that only runs forward.
        sleep: Waits.
    """

    def __init__(
        self,
        server: AdbServer,
        serial: str,
        *,
        budget_s: float = RECOVERY_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._server, self._serial = server, serial
        self._budget_s, self._clock, self._sleep = budget_s, clock, sleep
        self._spent_s = 0.0
        self.losses = 0

    def progress(self) -> None:
        """Note that a result came in."""
        self._spent_s = 0.0

    def wait(self, identity: Identity, why: str) -> Recovered:
        """Wait until the phone answers.

        Args:
            identity: The phone that was lost.
            why: How it was lost, for the message when it stays away.

        Raises:
            DeviceError: ``ADB62``: it did not come back in time; ``ADB63``: another phone answers in its place;
                ``ADB30`` or a `PhoneForbidden`: only a person can help.
        """
        self.losses += 1
        began = self._clock()
        try:
            facts = self._until_it_answers(began, why)
        finally:
            waited_s = self._clock() - began
            self._spent_s += waited_s
        found = Identity.of(facts)
        if identity.serialno and found.serialno != identity.serialno:
            raise self._another(identity, found)
        return Recovered(facts, bool(identity.boot_id) and found.boot_id != identity.boot_id, waited_s)

    def _until_it_answers(self, began: float, why: str) -> PhoneFacts:
        pause = POLL_S
        while True:
            left_s = self._budget_s - self._spent_s - (self._clock() - began)
            try:
                return self._look(min(max(left_s, _SHORTEST_STEP_S), _STEP_S))
            except PhoneForbidden:
                raise
            except DeviceError as error:
                if not isinstance(error, PhoneLost) and error.code not in _PASSING_CODES:
                    raise
                if self._spent_s + self._clock() - began >= self._budget_s:
                    raise self._gone(why, error.what) from error
            self._sleep(pause)
            pause = min(pause * 1.5, _SLOWEST_POLL_S)

    def _look(self, step_s: float) -> PhoneFacts:
        """Probe the phone once; whatever stands in the way is raised, after ``step_s`` seconds a step at most."""
        server, serial = self._server, self._serial
        server.ensure_running(step_s)
        word = server.states().get(serial, "")
        state = state_of(word)
        if state in NEEDS_PERSON:
            raise not_usable(serial, state, word)
        if state is not PhoneState.READY:
            self._reconnect(word, step_s)
        link = AdbLink(server, serial)
        try:
            facts = probe(link, deadline_s=step_s, with_exec_check=False)
        except DeviceError:
            # A connection that stalled is still a connection to the server, until it is dropped.
            self._reconnect("stalled", step_s)
            raise
        if not (facts.is_whole and facts.is_booted):
            # adbd answers before the services do, and what they do not tell would be missed by all that follows.
            raise PhoneLost("ADB13", "the phone is still starting", value=serial)
        return facts

    def _reconnect(self, word: str, step_s: float) -> None:
        if not _ADDRESS.match(self._serial):
            if word != "stalled":
                raise PhoneLost("ADB11", f"the phone is {word or 'absent'}", value=self._serial)
            return
        if word:
            self._server.disconnect(self._serial)
        self._server.connect(self._serial, step_s)

    def _gone(self, why: str, last: str) -> DeviceError:
        return DeviceError(
            "ADB62",
            f"the phone was lost and did not come back within {self._budget_s:g} s",
            value=self._serial,
            why=f"{why}; at last: {last}",
            fix="check cable, hub and Wi-Fi, then resume: results so far are kept",
        )

    def _another(self, identity: Identity, found: Identity) -> DeviceError:
        return DeviceError(
            "ADB63",
            "another phone answers where the lost one was",
            value=f"{self._serial}: {found.serialno or 'a phone without serial'}",
            why=f"the work belongs to {identity.serialno}, and numbers of two phones must not be mixed",
            fix="connect the first phone again, then resume",
        )
