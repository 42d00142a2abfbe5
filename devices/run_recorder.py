"""A run of `mnas bench` is kept while it goes on, round by round: a kill costs the round under way and no more."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal

from devices.device import DeviceInfo
from devices.protocol import ProtocolSettings, VisitRecord
from devices.run import BenchedModel, BenchRun
from devices.run_schema import SAMPLES, load_visits, samples_of
from mnas.errors import RunError, StoreError
from mnas.ids import new_id
from mnas.jsonio import without_nan
from mnas.liveness import process_token
from mnas.store import Store, utc_now

_ELSEWHERE = ("schema", "run_id", "status", "started_at_utc", "finished_at_utc", "models")
"""Parts of a run's document that have columns or tables of their own."""

_BEAT_S = 20.0
"""Well under what counts as stale, and seldom, since a run that beats is measuring."""


class RunRecorder:
    """Keeps a run in the store while it goes on; made by `begin`.

    As a context manager it also says how a run ended that nobody finished: ``interrupted`` by Ctrl-C, ``failed`` by
    any other error, or when the context was left without a result.

    Attributes:
        run_id: Of the run.
    """

    def __init__(self, store: Store, run_id: str, token: str) -> None:
        self.run_id = run_id
        self._store = store
        self._token = token
        self._is_over = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="run-heartbeat", daemon=True)
        self._thread.start()

    @classmethod
    def begin(
        cls,
        store: Store,
        device: DeviceInfo,
        request: Mapping[str, Any],
        versions: Mapping[str, str],
        *,
        started_at_utc: str = "",
    ) -> RunRecorder:
        """Begin a run.

        Args:
            store: Opened with the component `devices.run_schema.RUNS`; it stays open.
            device: What is measured on.
            request: What was asked for, as JSON.
            versions: Package -> version.
            started_at_utc: ISO 8601; now unless given.
        """
        header = {"device": device.to_json(), "request": dict(request), "versions": dict(versions)}
        started, token = started_at_utc or utc_now(), process_token()
        with store.transaction() as sql:
            number = sql.execute("SELECT coalesce(max(number), 0) + 1 FROM bench_runs").fetchone()[0]
            run_id = new_id("run", number)
            sql.execute(
                "INSERT INTO bench_runs (number, run_id, started_at_utc, status, device_id, device_key, driver, "
                "heartbeat_s, header_json) VALUES (?, ?, ?, 'running', ?, ?, ?, ?, ?)",
                (number, run_id, started, device.device_id, device.device_key, token, time.time(), _json(header)),
            )
        return cls(store, run_id, token)

    def __enter__(self) -> RunRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_over:
            return
        if error is None:
            reason = "it was left without a result"
        elif isinstance(error, KeyboardInterrupt):
            reason = "interrupted from the keyboard"
        else:
            reason = str(error) or type(error).__name__
        # Whatever ended it matters more than that this cannot be kept; without it, the run counts as interrupted.
        with contextlib.suppress(StoreError):
            self.fail("interrupted" if isinstance(error, KeyboardInterrupt) else "failed", reason)

    def measuring(
        self,
        references: Mapping[str, str],
        nominals_ms: Mapping[str, float],
        settings: ProtocolSettings,
        conditions_before: Mapping[str, Any],
    ) -> None:
        """Keep what the visits have to be judged by, should the run never be finished.

        Args:
            references: Name of each reference network -> sha256 of its file.
            nominals_ms: Stored nominal of each.
            settings: The protocol.
            conditions_before: As the device gave them.
        """
        self._update(
            references=dict(references),
            nominals_ms=dict(nominals_ms),
            protocol=settings.to_json(),
            conditions_before=dict(conditions_before),
        )

    def models(self, models: Sequence[BenchedModel]) -> None:
        """Keep which models take part and what is known of them by now, in the place of what was kept before."""
        with self._store.transaction() as sql:
            self._require_running(sql)
            _write_models(sql, self.run_id, [_facts(model) for model in models])

    def judged(self, run: BenchRun) -> None:
        """Keep by now what the session said; the run goes on."""
        recorded = samples_of(load_visits(self._store, self.run_id))
        document = run.to_json()
        with self._store.transaction() as sql:
            self._require_running(sql)
            self._merge(sql, {name: document[name] for name in ("stopping", "timing", "session", "gates")})
            _write_models(sql, self.run_id, [_facts(model, recorded) for model in run.models])

    def extra(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep by now what is measured beside the session, in the place of what was kept of that name before."""
        with self._store.transaction() as sql:
            self._require_running(sql)
            row = sql.execute("SELECT header_json FROM bench_runs WHERE run_id = ?", (self.run_id,)).fetchone()
            extras = json.loads(row[0]).get("extras", {})
            self._merge(sql, {"extras": {**extras, name: dict(value)}})

    def append_round(self, records: Sequence[VisitRecord]) -> None:
        """Keep the visits of one round, all of them or none; without any it only shows that the run goes on."""
        with self._store.transaction() as sql:
            self._require_running(sql)
            if records:
                sql.execute(
                    "INSERT INTO bench_run_visits (run_id, round, records_json) VALUES (?, ?, ?)",
                    (self.run_id, records[-1].round, _json([record.to_json() for record in records])),
                )
            sql.execute("UPDATE bench_runs SET heartbeat_s = ? WHERE run_id = ?", (time.time(), self.run_id))

    def finish(self, run: BenchRun) -> None:
        """Keep the whole run and end the recording.

        Samples that are those of the recorded visits are not kept a second time; any others are.

        Args:
            run: With the recorder's id, and a status other than ``running``.

        Raises:
            RunError: ``RUN03``: it is another run, or not over, or was ended before.
        """
        if run.run_id != self.run_id or run.status == "running":
            raise _cannot_record(
                f"{run.run_id}, {run.status}", f"this recorder keeps {self.run_id}, which must be over"
            )
        recorded = samples_of(load_visits(self._store, self.run_id))
        facts = [_facts(model, recorded) for model in run.models]
        document = run.to_json()
        parts = {name: part for name, part in document.items() if name not in _ELSEWHERE}
        finished = run.finished_at_utc or utc_now()
        with self._store.transaction() as sql:
            self._require_running(sql)
            self._merge(sql, {**parts, "device": run.device.to_json()})
            _write_models(sql, self.run_id, facts)
            sql.execute(
                "UPDATE bench_runs SET status = ?, started_at_utc = ?, finished_at_utc = ?, device_id = ?, "
                "device_key = ?, driver = '' WHERE run_id = ?",
                (run.status, run.started_at_utc, finished, run.device.device_id, run.device.device_key, self.run_id),
            )
        self._end()

    def fail(self, status: Literal["failed", "interrupted"], reason: str) -> None:
        """End the recording without a result; what was recorded by now stays and can be read.

        Raises:
            RunError: ``RUN03``: it was ended before.
        """
        try:
            with self._store.transaction() as sql:
                self._require_running(sql)
                self._merge(sql, {"reason": reason})
                sql.execute(
                    "UPDATE bench_runs SET status = ?, finished_at_utc = ?, driver = '' WHERE run_id = ?",
                    (status, utc_now(), self.run_id),
                )
        finally:
            self._end()

    def _update(self, **parts: Any) -> None:
        with self._store.transaction() as sql:
            self._require_running(sql)
            self._merge(sql, parts)

    def _merge(self, sql: sqlite3.Connection, parts: Mapping[str, Any]) -> None:
        row = sql.execute("SELECT header_json FROM bench_runs WHERE run_id = ?", (self.run_id,)).fetchone()
        header = _json({**json.loads(row[0]), **parts})
        sql.execute("UPDATE bench_runs SET header_json = ? WHERE run_id = ?", (header, self.run_id))

    def _require_running(self, sql: sqlite3.Connection) -> None:
        row = sql.execute("SELECT status FROM bench_runs WHERE run_id = ?", (self.run_id,)).fetchone()
        if row[0] != "running":
            raise _cannot_record(f"{self.run_id}, {row[0]}", "it is over, and a run that is over never changes")

    def _end(self) -> None:
        self._is_over = True
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(_BEAT_S):
            # A locked store or a full disk may have passed by the next beat.
            with contextlib.suppress(StoreError):
                self._store.execute(
                    "UPDATE bench_runs SET heartbeat_s = ? WHERE run_id = ? AND driver = ?",
                    (time.time(), self.run_id, self._token),
                )


def _facts(model: BenchedModel, recorded: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a model as JSON, its samples rounded as visits have them, or left out where the visits have the same."""
    if model.measurement is None:
        return model.to_json()
    found = model.measurement
    rounded = VisitRecord(0, "", False, found.samples_ms, found.warmup_samples_ms).to_json()
    kept = {"samples_ms": rounded["ms"], "rounds": list(found.rounds), "warmup_samples_ms": rounded.get("w", [])}
    bare = replace(model, measurement=replace(found, samples_ms=(), rounds=(), warmup_samples_ms=()))
    value = bare.to_json()
    measurement = {name: part for name, part in value["measurement"].items() if name not in SAMPLES}
    if (recorded or {}).get(found.artifact_sha256) != kept:
        measurement |= kept
    return {**value, "measurement": measurement}


def _write_models(sql: sqlite3.Connection, run_id: str, facts: Sequence[Mapping[str, Any]]) -> None:
    sql.execute("DELETE FROM bench_run_models WHERE run_id = ?", (run_id,))
    sql.executemany(
        "INSERT INTO bench_run_models (run_id, position, label, sha256, facts_json) VALUES (?, ?, ?, ?, ?)",
        [(run_id, place, one["label"], one["sha256"], _json(one)) for place, one in enumerate(facts)],
    )


def _json(value: Any) -> str:
    """Return compact JSON with its keys in their own order: that of operators and conditions is for people to read."""
    return json.dumps(without_nan(value), separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _cannot_record(value: str, why: str) -> RunError:
    return RunError("RUN03", "the run cannot be recorded so", value=value, why=why, fix="begin another run")
