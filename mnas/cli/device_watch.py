"""Changes of phones' states, a line each as they happen."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mnas.cli.output import say

if TYPE_CHECKING:
    from devices.adb.server import AdbServer

_AGAIN_S = 1.0


def watch_phones(server: AdbServer, seconds: float | None, *, is_json: bool = False) -> None:
    """Write a line for each change until the time is over; when the adb server ends, wait for it to come back.

    Args:
        server: The adb server, which runs.
        seconds: ``None`` is without end.
        is_json: Lines of JSON instead of lines for people.
    """
    from devices.adb.failures import PhoneLost

    ends_at = None if seconds is None else time.monotonic() + seconds
    known: dict[str, str] = {}
    while True:
        left = None if ends_at is None else ends_at - time.monotonic()
        if left is not None and left <= 0:
            return
        try:
            for states in server.track(left):
                _write_changes(known, states, is_json)
                known = dict(states)
            return
        except PhoneLost as error:
            if known:
                say(f"the adb server does not answer, waiting for it: {error}")
            _write_changes(known, {}, is_json)
            known = {}
            time.sleep(_AGAIN_S if left is None else min(_AGAIN_S, left))


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return what differs: serial, adb's word before, adb's word now; "" is a phone that is not there."""
    serials = sorted({*before, *now})
    found = [(serial, before.get(serial, ""), now.get(serial, "")) for serial in serials]
    return [one for one in found if one[1] != one[2]]


def _write_changes(before: Mapping[str, str], now: Mapping[str, str], is_json: bool) -> None:
    from devices.adb.states import remedy_of, state_of

    at = datetime.now(UTC)
    for serial, old, word in changes(before, now):
        state = state_of(word)
        record = {
            "at_utc": at.isoformat(timespec="milliseconds"),
            "serial": serial,
            "before": str(state_of(old)),
            "state": str(state),
            "word": word,
            "remedy": remedy_of(state, word),
        }
        line = f"{at:%H:%M:%S} {serial}: {record['before']} -> {state}"
        line += f"; {record['remedy']}" if record["remedy"] else ""
        sys.stdout.write((json.dumps(record) if is_json else line) + "\n")
    sys.stdout.flush()
