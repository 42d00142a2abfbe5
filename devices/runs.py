"""The runs that a store keeps, those that were never finished included."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from devices.measurement import Measurement, Session
from devices.protocol import ProtocolSettings, VisitRecord, statistic_of
from devices.run import BenchedModel, BenchRun, RawRuns, Status
from devices.run_recorder import RunRecorder
from devices.run_schema import RUNS, load_visits, samples_of
from devices.summary import summarise
from mnas.errors import MeasurementError, RunError
from mnas.ids import matching_ids
from mnas.liveness import is_alive
from mnas.store import Store

__all__ = ["LATEST", "RUNS", "RunRecorder", "RunRow", "list_runs", "load_run", "load_visits"]

LATEST = "latest"
_NAMED = 10


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in a list.

    Attributes:
        run_id: Its id.
        started_at_utc: ISO 8601.
        finished_at_utc: ISO 8601, or "".
        status: ``interrupted`` when it says that it is running but its process is gone.
        device_id: Device spec.
        device_key: Of the device.
        is_simulated: Its numbers are not of a real device.
        models: Labels, in the run's order.
        verdict: Of the session, or "" when there is none.
        latency_ms: Of the first model, or ``None``.
    """

    run_id: str
    started_at_utc: str
    finished_at_utc: str
    status: Status
    device_id: str
    device_key: str
    is_simulated: bool
    models: tuple[str, ...]
    verdict: str
    latency_ms: float | None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def list_runs(store: Store, limit: int | None = None, device: str | None = None) -> list[RunRow]:
    """Return runs, newest first.

    Args:
        store: Opened with the component `RUNS`.
        limit: At most so many.
        device: Only those whose device spec or device key begins like this.
    """
    prefix = device or ""
    rows = store.query(
        "SELECT run_id, started_at_utc, finished_at_utc, status, device_id, device_key, driver, heartbeat_s, "
        "json_extract(header_json, '$.device.is_simulated') AS is_simulated, "
        "coalesce(json_extract(header_json, '$.session.verdict'), '') AS verdict FROM bench_runs "
        "WHERE substr(device_id, 1, ?) = ? OR substr(device_key, 1, ?) = ? ORDER BY number DESC LIMIT ?",
        (len(prefix), prefix, len(prefix), prefix, -1 if limit is None else limit),
    )
    return [_listed(store, row) for row in rows]


def load_run(store: Store, run_id: str = LATEST) -> BenchRun:
    """Read a run.

    One that was not finished comes with what its visits say: each model's measurement by the rounds that were recorded,
    as long as the references were.

    Args:
        store: Opened with the component `RUNS`.
        run_id: Its id, the beginning of it, or ``latest``.

    Raises:
        RunError: ``RUN01`` no such run, ``RUN02`` more than one begins so.
    """
    row = _row(store, run_id)
    header = json.loads(row["header_json"])
    visits = load_visits(store, row["run_id"])
    rows = store.query("SELECT facts_json FROM bench_run_models WHERE run_id = ? ORDER BY position", (row["run_id"],))
    models = _models([json.loads(one["facts_json"]) for one in rows], visits)
    status = _status(row)
    run = BenchRun.from_json(
        {
            **{name: row[name] for name in ("run_id", "started_at_utc", "finished_at_utc")},
            **{"timing": {}, "session": {}, "gates": [], **header},
            "status": status,
            "stopping": header.get("stopping") or _stopped(visits, status, header.get("reason", "")),
            "models": [],
        }
    )
    run = replace(run, models=models)
    return run if "session" in header else _judged(run, header, visits)


def _row(store: Store, run_id: str) -> Any:
    ids = [row["run_id"] for row in store.query("SELECT run_id FROM bench_runs ORDER BY number DESC")]
    meant = ids[:1] if run_id in ("", LATEST) else matching_ids(ids, run_id)
    if len(meant) == 1:
        return store.query("SELECT * FROM bench_runs WHERE run_id = ?", meant)[0]
    if meant:
        raise RunError(
            "RUN02",
            "more than one run begins like this",
            value=run_id,
            why=f"so do {', '.join(meant[:_NAMED])}",
            fix="give more of the id",
        )
    raise RunError(
        "RUN01",
        "no such run",
        value=run_id or LATEST,
        why=f"the newest runs here: {', '.join(ids[:_NAMED]) or 'none'}",
        fix="name one of them, or measure with: mnas bench",
    )


def _status(row: Mapping[str, Any]) -> Status:
    is_gone = row["status"] == "running" and not is_alive(row["driver"], row["heartbeat_s"])
    status: Status = "interrupted" if is_gone else row["status"]
    return status


def _listed(store: Store, row: Any) -> RunRow:
    models = store.query(
        "SELECT label, json_extract(facts_json, '$.measurement.latency_ms') AS latency_ms FROM bench_run_models "
        "WHERE run_id = ? ORDER BY position",
        (row["run_id"],),
    )
    return RunRow(
        **{name: row[name] for name in ("run_id", "started_at_utc", "finished_at_utc", "device_id", "device_key")},
        status=_status(row),
        is_simulated=bool(row["is_simulated"]),
        models=tuple(model["label"] for model in models),
        verdict=row["verdict"],
        latency_ms=models[0]["latency_ms"] if models else None,
    )


def _models(facts: Sequence[dict[str, Any]], visits: Sequence[VisitRecord]) -> tuple[BenchedModel, ...]:
    """Put models and their samples together."""
    recorded = samples_of(visits)
    for one in facts:
        if one["measurement"] and "samples_ms" not in one["measurement"]:
            one["measurement"] |= recorded[one["measurement"]["artifact_sha256"]]
    return tuple(BenchedModel.from_json(one) for one in facts)


def _stopped(visits: Sequence[VisitRecord], status: Status, reason: str) -> dict[str, Any]:
    default = {"running": "it is still going on", "interrupted": "its process was killed"}.get(status, "")
    return {"rounds": _rounds(visits), "why": reason or default}


def _rounds(visits: Sequence[VisitRecord]) -> int:
    return len({visit.round for visit in visits})


def _judged(run: BenchRun, header: Mapping[str, Any], visits: Sequence[VisitRecord]) -> BenchRun:
    """Give a run that has no result what can be said of it by its visits."""
    before = header.get("conditions_before", {})
    protocol = header.get("protocol", {})
    try:
        session = _session(run, header, visits)
    except MeasurementError as error:
        told = {"reference_ms": {}, "reference_nominals_ms": {}, "conditions_before": before, "conditions_after": {}}
        keys = {"device_key": run.device.device_key, "started_at_utc": run.started_at_utc, "protocol": protocol}
        return replace(run, session={**told, **keys, "verdict": "invalid", "reasons": [error.what]})
    described = session.describe()
    models = tuple(_with_measurement(model, session.measurements.get(model.sha256), visits) for model in run.models)
    return replace(run, session={**described, "reasons": list(described["reasons"])}, models=models)


def _session(run: BenchRun, header: Mapping[str, Any], visits: Sequence[VisitRecord]) -> Session:
    protocol = header.get("protocol", {})
    known = {name: value for name, value in protocol.items() if name in ProtocolSettings.__dataclass_fields__}
    return summarise(
        visits,
        header.get("references", {}),
        header.get("nominals_ms", {}),
        ProtocolSettings(**known),
        rounds_wanted=_rounds(visits),
        device_key=run.device.device_key,
        started_at_utc=run.started_at_utc,
        conditions_before=header.get("conditions_before", {}),
    )


def _with_measurement(
    model: BenchedModel, measurement: Measurement | None, visits: Sequence[VisitRecord]
) -> BenchedModel:
    if model.measurement is not None or measurement is None:
        return model
    own = [visit for visit in visits if visit.sha256 == model.sha256 and not visit.is_reference]
    known = [visit.involuntary_switches for visit in own if visit.involuntary_switches >= 0]
    return replace(
        model,
        measurement=measurement,
        raw=RawRuns.of(measurement.samples_ms, statistic_of(own, model.sha256)),
        involuntary_switches=sum(known) if known else -1,
    )
