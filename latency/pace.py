"""How long visits take on a device, as its earlier sittings have shown."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mnas.store import Store

_FEWEST_VISITS = 50
_LATEST = 20


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a device gets on with a table.

    Attributes:
        seconds_per_visit: Of a model, the visits of the references beside it included.
        visits: How many of them this rests on.
        space: They were visits of tables of this space; "" for tables of any.
    """

    seconds_per_visit: float
    visits: int
    space: str


def shown_pace(store: Store, device_id: str, space: str) -> Pace | None:
    """Return the pace of a device's latest sittings, those of the same space where there are any.

    Args:
        store: Opened with latency's tables.
        device_id: As `DeviceInfo` has it; devices of the same key count as well.
        space: Name of the space that is to be built.

    Returns:
        ``None`` where the device has shown too little.
    """
    rows = store.query("SELECT device_key, device_json FROM lut ORDER BY created_at_utc DESC")
    keys = [row["device_key"] for row in rows if json.loads(row["device_json"])["device_id"] == device_id]
    if not keys:
        return None
    return _pace(store, keys[0], space) or _pace(store, keys[0], "")


def _pace(store: Store, device_key: str, space: str) -> Pace | None:
    rows = store.query(
        "SELECT max(json_extract(v.record_json, '$.t')) - min(json_extract(v.record_json, '$.t')) AS seconds, "
        "sum(json_extract(v.record_json, '$.ref') IS NULL) AS visits "
        "FROM lut_visit v JOIN lut_sitting s USING (sitting_id) JOIN lut l USING (lut_id) "
        "WHERE l.device_key = ? AND (? = '' OR l.space = ?) GROUP BY s.sitting_id ORDER BY s.sitting_id DESC LIMIT ?",
        (device_key, space, space, _LATEST),
    )
    seconds, visits = sum(row["seconds"] for row in rows), sum(row["visits"] for row in rows)
    return Pace(seconds / visits, visits, space) if visits >= _FEWEST_VISITS and seconds > 0 else None
