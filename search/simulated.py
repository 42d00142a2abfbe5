"""Whether a study's latencies are of a device that is none: everything that comes of it must say so."""

from __future__ import annotations

import json

from mnas.store import Store
from search.events import EventLog


def is_simulated(store: Store, study_id: str) -> bool:
    """Return whether any of a study's tables, or the device that it measures on, is simulated.

    Args:
        store: Open.
        study_id: In full.
    """
    return any(_is_simulated(store, recorded) for recorded in EventLog(store, study_id).payloads("lut").values())


def _is_simulated(store: Store, recorded: dict[str, object]) -> bool:
    known = recorded.get("is_simulated")
    if known is not None:
        return bool(known)
    # Studies from before this was recorded: their table knows.
    rows = store.query("SELECT device_json FROM lut WHERE lut_id = ?", (recorded["lut_id"],))
    return any(json.loads(row["device_json"])["is_simulated"] for row in rows)
