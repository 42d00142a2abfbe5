"""A study as scalars of TensorBoard, while it runs or afterwards; needs the package tensorboardX."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from mnas.optional import optional_package
from mnas.store import Store
from search.adapters.event_file import EventFile
from search.following import StudyEvent, events_after
from search.result import study_row

_CANDIDATE = ("error", "loss", "reward", "predicted_ms", "cost_s")
_GENERATION = ("hypervolume", "front")


class TensorBoardLog:
    """Writes the events of studies below a folder, a run for each study.

    Candidates are numbered by the order in which they were asked for, generations by the evaluations made until then,
    finalists' trainings by their order; the time is that of the event. A study that is gone on with is written anew.

    Args:
        folder: What ``tensorboard --logdir`` is given.

    Raises:
        PackageError: ``PKG01``: tensorboardX is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        optional_package("tensorboardX", "a log for TensorBoard", "tensorboard")
        self._folder = Path(folder)
        self._files: dict[str, EventFile] = {}
        self._trained = 0

    def take(self, event: StudyEvent) -> None:
        """Write what an event holds.

        Raises:
            OSError: The folder cannot be made or written.
        """
        file = self._file(event.study_id)
        at_s = datetime.fromisoformat(event.at_utc).timestamp()
        for name, value, step in self._scalars(event):
            if isinstance(value, int | float) and math.isfinite(value):
                file.scalar(name, value, step, at_s)
        if event.kind in ("goal", "notice", "recommended"):
            file.text(event.kind, f"```json\n{json.dumps(event.payload, indent=1)}\n```", event.sequence, at_s)

    def close(self) -> None:
        """Write what is left; another event would begin its study's run anew.

        Raises:
            OSError: That cannot be written.
        """
        while self._files:
            self._files.popitem()[1].close()

    def _file(self, study_id: str) -> EventFile:
        if study_id not in self._files:
            # Whatever an earlier process wrote of this study is written again, so that it is to be forgotten.
            self._files[study_id], self._trained = EventFile(self._folder / study_id), 0
        return self._files[study_id]

    def _scalars(self, event: StudyEvent) -> Iterator[tuple[str, Any, int]]:
        payload = event.payload
        if event.kind == "evaluated":
            step = int(payload["number"])
            yield from ((f"candidate/{name}", payload.get(name), step) for name in _CANDIDATE)
            yield from ((f"objective/{name}", value, step) for name, value in _objectives(payload))
        elif event.kind == "generation":
            step = int(payload["evaluations"])
            yield from ((f"search/{name}", payload.get(name), step) for name in _GENERATION)
            yield from ((f"learning/{name}", value, step) for name, value in payload.get("learning", {}).items())
        elif event.kind == "trained":
            errors = payload.get("errors") or {}
            yield from ((f"finalist/{split}_error", value, self._trained) for split, value in errors.items())
            self._trained += 1


def _objectives(payload: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the objectives of a candidate; a study on a table has them as bare values."""
    for place, one in enumerate(payload.get("values", ())):
        if isinstance(one, Mapping):
            yield one["key"].replace(":", "_").replace("@", "_"), one["value"]
        else:
            yield str(place), one


def write_tensorboard(store: Store, study_id: str, folder: str | Path) -> str:
    """Write all that a study has recorded, and return its id.

    Args:
        store: Opened with the search tables.
        study_id: Its id or the beginning of it; the newest unless given.
        folder: What ``tensorboard --logdir`` is given.

    Raises:
        PackageError: ``PKG01``: tensorboardX is not installed.
        StudyError: ``STU01``: no such study.
        OSError: The folder cannot be made or written.
    """
    found = str(study_row(store, study_id)["study_id"])
    log = TensorBoardLog(folder)
    for event in events_after(store, found):
        log.take(event)
    log.close()
    return found
