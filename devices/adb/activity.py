"""What the holder of a phone does with it, written down for other processes, which so need not ask the phone.

A question to a phone that is being measured takes time from what is measured. So its holder tells what a list of
phones shows: where it stands, since when, and which phone it is.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devices.adb.host_state import state_file
from devices.adb.lease import Holder
from devices.adb.parsers.cpus import Cluster
from devices.adb.probe import PhoneFacts
from devices.adb.states import PhoneState
from mnas.errors import StateError
from mnas.liveness import process_token

_LASTING = ("serialno", "boot_id", "manufacturer", "model", "soc", "android_version", "sdk", "is_simulated")
"""Facts of a phone that do not change while it is held, apart from its interfaces and clusters."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What is done with a phone that is held.

    Attributes:
        state: ``leased`` while it is made ready, ``staged``, ``cooling``, ``running``, ``collecting``, ``clean`` while
            it is given back, or ``lost``.
        what: One line, or "".
        since_utc: When it came into this state, ISO 8601.
        facts: What of the phone does not change; heat, battery and storage are not in it.
    """

    state: PhoneState
    what: str
    since_utc: str
    facts: PhoneFacts


@dataclass
class Telling:
    """Tells what this process does with a phone that it holds; a file that only the holder of the lease writes.

    Telling never fails: it is for the eyes of others, and the work must not end for it.

    Args:
        serialno: The phone's own serial.
        folder: The state folder, for tests.
    """

    serialno: str
    folder: Path | None = None
    _phone: Mapping[str, Any] = field(default_factory=dict)
    _state: PhoneState = PhoneState.LEASED
    _since_utc: str = ""

    def know(self, facts: PhoneFacts) -> None:
        """Take the facts that are told along from now on."""
        self._phone = {
            **{name: getattr(facts, name) for name in _LASTING},
            "abis": list(facts.abis),
            "clusters": [asdict(one) for one in facts.clusters],
        }

    def tell(self, state: PhoneState, what: str = "") -> None:
        """Say what is done now; the time is that of the change of the state, not of the words."""
        if state is not self._state or not self._since_utc:
            self._state, self._since_utc = state, datetime.now(UTC).isoformat(timespec="seconds")
        text = json.dumps(
            {
                "token": process_token(),
                "state": str(state),
                "what": what,
                "since_utc": self._since_utc,
                "phone": self._phone,
            }
        )
        with contextlib.suppress(OSError, StateError):
            path = _path(self.serialno, self.folder)
            # Renamed, so that nobody reads half of it, and not waited for: after a power cut nobody holds the phone.
            fresh = path.with_name(f".{path.name}.{os.getpid()}")
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(path)

    def end(self) -> None:
        """Take back what was told; the lease is still held."""
        with contextlib.suppress(OSError, StateError):
            _path(self.serialno, self.folder).unlink(missing_ok=True)


def activity_of(holder: Holder, *, folder: Path | None = None) -> Activity:
    """Return what the holder of a phone tells; one that tells nothing holds it and no more is known.

    Args:
        holder: Who holds it now: what another one told before is passed over.
        folder: The state folder, for tests.
    """
    nothing = Activity(PhoneState.LEASED, "", holder.since_utc, PhoneFacts(serialno=holder.serialno, is_whole=False))
    try:
        value: Any = json.loads(_path(holder.serialno, folder).read_text(encoding="utf-8"))
        if value["token"] != holder.token:
            return nothing
        facts = _facts(value["phone"], holder.serialno)
        return Activity(PhoneState(value["state"]), str(value["what"]), str(value["since_utc"]), facts)
    except (OSError, ValueError, KeyError, TypeError):
        return nothing


def _facts(value: Mapping[str, Any], serialno: str) -> PhoneFacts:
    if not value:
        return PhoneFacts(serialno=serialno, is_whole=False)
    clusters = tuple(Cluster(**{**one, "cpus": tuple(one["cpus"])}) for one in value["clusters"])
    lasting = {name: value[name] for name in _LASTING}
    return PhoneFacts(**lasting, abis=tuple(value["abis"]), clusters=clusters, is_whole=False)


def _path(serialno: str, folder: Path | None) -> Path:
    return state_file("activities", serialno, ".json", folder)
