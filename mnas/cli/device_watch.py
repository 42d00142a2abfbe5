"""Changes of phones' states, a line each as they happen; of a phone in use also what its holder does with it."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from mnas.cli.output import say, shown, write_result

if TYPE_CHECKING:
    from devices.adb.server import AdbServer
    from devices.adb.states import PhoneState

_AGAIN_S = 1.0
_LOOK_S = 2.0
"""Seconds from one look at what holders tell to the next; what adb tells comes at once."""

_ASK_S = 3.0
_TOO_SHORT_S = 0.2
"""So little time is not asked for: a server that does not answer within it may be as well as ever."""


class Seen(NamedTuple):
    """What is seen of a phone: adb's word for it, and what its holder does with it, both "" where there is none.

    A holder also tells whether the phone is a simulated one; ``None`` is not told.
    """

    word: str = ""
    held: str = ""
    what: str = ""
    is_simulated: bool | None = None


def watch_phones(server: AdbServer, seconds: float | None, *, is_json: bool = False) -> None:
    """Write a line for each change until the time is over; when the adb server ends, wait for it to come back.

    Args:
        server: The adb server, which runs.
        seconds: ``None`` is without end.
        is_json: Lines of JSON instead of lines for people.
    """
    from devices.adb.failures import PhoneLost

    ends_at = None if seconds is None else time.monotonic() + seconds
    known: dict[str, Seen] = {}
    marks = _Marks(server)
    while True:
        left = None if ends_at is None else ends_at - time.monotonic()
        if left is not None and known and left < _TOO_SHORT_S:
            time.sleep(max(left, 0.0))
            return
        if left is not None and left <= 0:
            return
        try:
            for words in server.track(_LOOK_S if left is None else min(_LOOK_S, left)):
                states = {serial: _look(server, serial, word) for serial, word in words.items()}
                _write_changes(known, states, marks, is_json)
                known = states
        except PhoneLost as error:
            if known:
                say(f"the adb server does not answer, waiting for it: {error}")
            _write_changes(known, {}, marks, is_json)
            known = {}
            time.sleep(_AGAIN_S if left is None else min(_AGAIN_S, left))


def changes(before: Mapping[str, Seen], now: Mapping[str, Seen]) -> list[tuple[str, Seen, Seen]]:
    """Return what differs: serial, what was seen before, what is seen now; an empty one is a phone that is not there.

    Other words for what a holder does are no change.
    """
    serials = sorted({*before, *now})
    found = [(serial, before.get(serial, Seen()), now.get(serial, Seen())) for serial in serials]
    return [one for one in found if one[1][:2] != one[2][:2]]


def _look(server: AdbServer, serial: str, word: str) -> Seen:
    """Add what the holder tells of a phone that adb calls ready; the phone is not asked."""
    from devices.adb.activity import activity_of
    from devices.adb.states import PhoneState, state_of
    from devices.adb.ways import holder_on

    holder = holder_on(server.address, serial) if state_of(word) is PhoneState.READY else None
    if holder is None:
        return Seen(word)
    activity = activity_of(holder)
    what = f"{activity.what}, " if activity.what else ""
    told = activity.facts.is_simulated if activity.facts.abis else None
    return Seen(word, str(activity.state), f"{what}process {holder.pid}", told)


class _Marks:
    """Which phones are simulated: as their holder tells it, or asked of a phone that nobody holds, once each.

    Args:
        server: The adb server.
    """

    def __init__(self, server: AdbServer) -> None:
        self._server = server
        self._known: dict[str, bool] = {}

    def of(self, serial: str, seen: Seen) -> bool | None:
        """Return whether a phone is a simulated one; ``None`` as long as neither it nor its holder has told."""
        from devices.adb.states import PhoneState

        if seen.is_simulated is not None:
            self._known[serial] = seen.is_simulated
        if serial not in self._known and not seen.held and _state(seen) is PhoneState.READY:
            self._ask(serial)
        return self._known.get(serial)

    def _ask(self, serial: str) -> None:
        from mnas.errors import DeviceError

        with contextlib.suppress(DeviceError):  # its state is what is watched; the mark can come with the next change
            done = self._server.link(serial).run(["getprop", "ro.mnas.simulated"], deadline_s=_ASK_S)
            if done.rc == 0:
                self._known[serial] = done.stdout.strip() == "1"


def _state(seen: Seen) -> PhoneState:
    from devices.adb.states import PhoneState, state_of

    return PhoneState(seen.held) if seen.held else state_of(seen.word)


def _write_changes(before: Mapping[str, Seen], now: Mapping[str, Seen], marks: _Marks, is_json: bool) -> None:
    from devices.adb.states import remedy_of

    at = datetime.now(UTC)
    for serial, old, new in changes(before, now):
        state, is_simulated = _state(new), marks.of(serial, new)
        record = {
            "at_utc": at.isoformat(timespec="milliseconds"),
            "serial": serial,
            "is_simulated": is_simulated,
            "before": str(_state(old)),
            "state": str(state),
            "word": new.word,
            "doing": new.what,
            "remedy": "" if new.held else remedy_of(state, new.word),
        }
        mark = " (simulated)" if is_simulated else ""
        line = f"{at:%H:%M:%S} {serial}{mark}: {record['before']} -> {state}"
        line += "".join(f"; {record[name]}" for name in ("doing", "remedy") if record[name])
        write_result((json.dumps(record) if is_json else shown(line)) + "\n", None)
    sys.stdout.flush()
