"""Studies of a store in a line each: what they are, how far they are, and whether anybody drives them."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mnas.liveness import is_alive
from mnas.store import Store
from search.driver import STOPPED
from search.simulated import is_simulated
from search.stopping import OVER

State = Literal["running", "interrupted", "finished", "refused"]


@dataclass(frozen=True, slots=True)
class StudyLine:
    """One study.

    Attributes:
        study_id: Its id.
        created_at_utc: ISO 8601.
        kind: ``search``, or ``table`` for a study on a table of networks.
        algorithm: Name.
        seed: Of the study.
        status: ``running`` while its driver lives, ``interrupted`` where nobody drives it and it may be gone on with,
            ``finished``, or ``refused`` where it can never go on.
        driver: ``host:pid`` and the age of its last sign of life in seconds, while it runs.
        evaluations: Networks evaluated.
        failures: Of these, failed.
        front: Members of the front after the last generation.
        hypervolume: Likewise.
        why: Why it stopped, or was refused; "" where nothing is to be said.
        is_simulated: Whether any latency in it is of a device that is none.
    """

    study_id: str
    created_at_utc: str
    kind: str
    algorithm: str
    seed: int
    status: State
    driver: dict[str, Any] | None
    evaluations: int
    failures: int
    front: int | None
    hypervolume: float | None
    why: str
    is_simulated: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)


def state_of(status: str, driver: str, heartbeat_s: float) -> State:
    """Return what a study is doing, from its row."""
    if status == "running":
        return "running" if is_alive(driver, heartbeat_s) else "interrupted"
    return "refused" if status == "refused" else "finished"


def study_lines(store: Store) -> list[StudyLine]:
    """Return every study of a store, newest first."""
    rows = store.query("SELECT * FROM study ORDER BY created_at_utc DESC, rowid DESC")
    counts = {
        row["study_id"]: row["n"]
        for row in store.query("SELECT study_id, count(*) AS n FROM event WHERE kind = 'evaluated' GROUP BY study_id")
    }
    failures = {
        row["study_id"]: row["n"]
        for row in store.query(
            "SELECT study_id, count(*) AS n FROM event WHERE kind = 'evaluated' AND "
            "json_extract(payload_json, '$.status') = 'failed' GROUP BY study_id"
        )
    }
    found = []
    for row in rows:
        config = json.loads(row["config_json"])
        state = state_of(row["status"], row["driver"], row["heartbeat_s"])
        last = _last(store, row["study_id"], "generation") or {}
        host, _, _ = row["driver"].rpartition(":")
        driver = {"process": host, "heartbeat_age_s": round(max(0.0, time.time() - row["heartbeat_s"]), 1)}
        found.append(
            StudyLine(
                study_id=row["study_id"],
                created_at_utc=row["created_at_utc"],
                kind=row["kind"],
                algorithm=config["algorithm"],
                seed=config["seed"],
                status=state,
                driver=driver if state == "running" else None,
                evaluations=counts.get(row["study_id"], 0),
                failures=failures.get(row["study_id"], 0),
                front=last.get("front"),
                hypervolume=last.get("hypervolume"),
                why=_why(store, row["study_id"], state),
                is_simulated=is_simulated(store, row["study_id"]),
            )
        )
    return found


def _last(store: Store, study_id: str, kind: str) -> dict[str, Any] | None:
    statement = "SELECT payload_json FROM event WHERE study_id = ? AND kind = ? ORDER BY sequence DESC LIMIT 1"
    rows = store.query(statement, (study_id, kind))
    return json.loads(rows[0]["payload_json"]) if rows else None


def _why(store: Store, study_id: str, state: State) -> str:
    if state == "running":
        return ""
    found = _last(store, study_id, OVER if state == "finished" else STOPPED)
    return str(found["why"]) if found else ""
