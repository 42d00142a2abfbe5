"""Changes of phones' states, a line each as they happen; of a phone in use also what its holder does with it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from mnas.cli.output import say

if TYPE_CHECKING:
    from devices.adb.server import AdbServer
    from devices.adb.states import PhoneState

_AGAIN_S = 1.0
_LOOK_S = 2.0
"""Seconds from one look at what holders tell to the next; what adb tells comes at once."""

_TOO_SHORT_S = 0.2
"""So little time is not asked for: a server that does not answer within it may be as well as ever."""


class Seen(NamedTuple):
    """What is seen of a phone: adb's word for it, and what its holder does with it, both "" where there is none."""

    word: str = ""
    held: str = ""
    what: str = ""


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
                _write_changes(known, states, is_json)
                known = states
        except PhoneLost as error:
            if known:
                say(f"the adb server does not answer, waiting for it: {error}")
            _write_changes(known, {}, is_json)
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
    return Seen(word, str(activity.state), f"{what}process {holder.pid}")


def _state(seen: Seen) -> PhoneState:
    from devices.adb.states import PhoneState, state_of

    return PhoneState(seen.held) if seen.held else state_of(seen.word)


def _write_changes(before: Mapping[str, Seen], now: Mapping[str, Seen], is_json: bool) -> None:
    from devices.adb.states import remedy_of

    at = datetime.now(UTC)
    for serial, old, new in changes(before, now):
        state = _state(new)
        record = {
            "at_utc": at.isoformat(timespec="milliseconds"),
            "serial": serial,
            "before": str(_state(old)),
            "state": str(state),
            "word": new.word,
            "doing": new.what,
            "remedy": "" if new.held else remedy_of(state, new.word),
        }
        line = f"{at:%H:%M:%S} {serial}: {record['before']} -> {state}"
        line += "".join(f"; {record[name]}" for name in ("doing", "remedy") if record[name])
        sys.stdout.write((json.dumps(record) if is_json else line) + "\n")
    sys.stdout.flush()
