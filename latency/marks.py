"""What must be said of latency tables wherever one is shown or used, and with all that comes of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from latency.origin import Origin
from mnas.store import Store

UNVALIDATED = "UNVALIDATED"
NOT_HERE = "NOT IN THIS STORE"


@dataclass(frozen=True, slots=True)
class TableMarks:
    """The marks of one table.

    Attributes:
        lut_id: The table.
        marks: As `marks_of` gives them.
    """

    lut_id: str
    marks: tuple[str, ...]

    @property
    def is_validated(self) -> bool:
        """Whether something says how far its predictions are off."""
        return not {UNVALIDATED, NOT_HERE} & set(self.marks)

    def text(self) -> str:
        """Return one line for people."""
        return f"latency table {self.lut_id}: {', '.join(self.marks)}"


def marks_of(is_simulated: bool, is_validated: bool, origin: Origin | None) -> list[str]:
    """Return the marks of a table; none of one that was built here, on a real device, and validated."""
    marks = ["SIMULATED"] if is_simulated else []
    marks += [] if is_validated else [UNVALIDATED]
    return [*marks, *([origin.text()] if origin else [])]


def stored_marks(store: Store, lut_id: str) -> TableMarks:
    """Return the marks of a table by its row alone, without its entries.

    Args:
        store: An open store with latency's tables.
        lut_id: Its whole id.
    """
    rows = store.query("SELECT device_json, validation_json, origin_json FROM lut WHERE lut_id = ?", (lut_id,))
    if not rows:
        return TableMarks(lut_id, (NOT_HERE,))
    device, origin = json.loads(rows[0]["device_json"]), rows[0]["origin_json"]
    came = Origin.from_json(json.loads(origin)) if origin else None
    return TableMarks(lut_id, tuple(marks_of(device["is_simulated"], rows[0]["validation_json"] is not None, came)))


def texts_of(tables: Sequence[TableMarks]) -> list[str]:
    """Return the marks of all tables behind one result; of several tables each mark names its own."""
    if len(tables) == 1:
        return list(tables[0].marks)
    return [f"{one.lut_id}: {mark}" for one in tables for mark in one.marks]
