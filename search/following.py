"""Hands the events of a study on as they happen, for whoever wants to follow it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from mnas.store import Store
from search.context import Reporter


@dataclass(frozen=True, slots=True)
class StudyEvent:
    """One thing that a study has recorded.

    Attributes:
        study_id: Of which study.
        sequence: Its number within the study, from 1.
        at_utc: When, ISO 8601.
        kind: E.g. ``evaluated``, ``generation``, ``trained``, ``measured``; docs/contracts.md has them all.
        key: Within the kind.
        payload: What was recorded.
    """

    study_id: str
    sequence: int
    at_utc: str
    kind: str
    key: str
    payload: dict[str, Any]


class Follower(Protocol):
    """Takes each event once, in order; after a resumption those of before come again."""

    def take(self, event: StudyEvent) -> None:
        """Take the next event."""

    def close(self) -> None:
        """Nothing more comes."""


def events_after(store: Store, study_id: str, sequence: int = 0) -> Iterator[StudyEvent]:
    """Yield the events of a study with a higher number, in order."""
    rows = store.query(
        "SELECT sequence, at_utc, kind, key, payload_json FROM event WHERE study_id = ? AND sequence > ? "
        "ORDER BY sequence",
        (study_id, sequence),
    )
    for row in rows:
        payload = json.loads(row["payload_json"])
        yield StudyEvent(study_id, row["sequence"], row["at_utc"], row["kind"], row["key"], payload)


class FollowedReporter:
    """A reporter that looks for new events whenever it is told something.

    A follower that fails, e.g. since the disk that it writes to is full, is warned of once and left behind: what it
    makes can be made again from the events, the study goes on.

    Args:
        reporter: Who tells a person.
        store: Of the study.
        study_id: The study.
        followers: Who takes the events.
    """

    def __init__(self, reporter: Reporter, store: Store, study_id: str, followers: Sequence[Follower]) -> None:
        self._reporter = reporter
        self._store = store
        self._study_id = study_id
        self._followers = list(followers)
        self._sequence = 0

    def line(self, text: str) -> None:
        """Say something once."""
        self.catch_up()
        self._reporter.line(text)

    def warn(self, text: str) -> None:
        """Say something that a person must not miss."""
        self.catch_up()
        self._reporter.warn(text)

    def progress(self, what: str, done: int, total: int) -> None:
        """Say how much of something is done."""
        self.catch_up()
        self._reporter.progress(what, done, total)

    def catch_up(self) -> None:
        """Hand on what has happened since the last time."""
        if not self._followers:
            return
        for event in events_after(self._store, self._study_id, self._sequence):
            self._sequence = event.sequence
            for follower in tuple(self._followers):
                self._hand(event, follower)

    def _hand(self, event: StudyEvent, follower: Follower) -> None:
        try:
            follower.take(event)
        except Exception as error:  # whatever a follower stumbles over, the study goes on
            self._followers.remove(follower)
            self._reporter.warn(f"{type(follower).__name__} follows the study no more: {_said(error)}")
            with suppress(Exception):
                follower.close()

    def close(self) -> None:
        """Close those who still follow; one who cannot is told of."""
        while self._followers:
            follower = self._followers.pop()
            try:
                follower.close()
            except Exception as error:  # as above
                self._reporter.warn(f"{type(follower).__name__} may lack its end: {_said(error)}")


def _said(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


@contextmanager
def followed(reporter: Reporter, store: Store, study_id: str, followers: Sequence[Follower]) -> Iterator[Reporter]:
    """Yield a reporter that followers follow a study by; at the end they get the rest and are closed.

    Args:
        reporter: Who tells a person.
        store: Of the study; open until the end.
        study_id: The study.
        followers: Who takes the events.
    """
    told = FollowedReporter(reporter, store, study_id, followers)
    try:
        yield told
        told.catch_up()
    finally:
        told.close()
