"""The rows of the audit: one file, appended to as results come, read again by the next run."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

ROWS = Path(__file__).parent / "results" / "parts" / "accuracy_audit.jsonl"
Row = dict[str, Any]


class OutOfTimeError(Exception):
    """The minutes given are over; what is done is kept."""


class Deadline:
    """When a run shall stop.

    Args:
        minutes: From now on.
    """

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    @property
    def minutes_left(self) -> float:
        """What is left, 0 at the least."""
        return max(0.0, (self._end - time.monotonic()) / 60)

    def check(self, left: str) -> None:
        """Raise `OutOfTimeError`, which says what is left to do, when the minutes are over."""
        if not self.minutes_left:
            raise OutOfTimeError(left)


class Rows:
    """Rows by part and key; a line that was cut off is passed over.

    Args:
        path: The file.
    """

    def __init__(self, path: Path = ROWS) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def of(self, part: str, key: str) -> list[Row]:
        """Return the rows of a part that were taken under this key: another way to take them has another one."""
        found = []
        for line in self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if (row.get("part"), row.get("key")) == (part, key):
                found.append(row)
        return found

    def add(self, part: str, key: str, **values: Any) -> Row:
        """Append a row at once, and return it."""
        row = {"part": part, "key": key, **values}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        return row
