"""The hypervolume of studies over their evaluations, read from their logs so that they can be set beside each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from mnas.errors import StudyError
from mnas.ids import matching_ids
from mnas.jsonio import canonical_json
from mnas.store import Store
from search.algorithms.archive import FrontArchive
from search.candidate import Candidate
from search.events import EventLog
from search.pareto import hypervolume

_NOT_OF_THE_METHOD = ("schema_version", "seed", "budget", "patience", "table", "lut", "data_dir")
"""Keys that do not make another method: those of the length, of the place of files, and the seed."""
_SAME_TABLE = ("table_sha256", "objectives", "genes", "reference_point")
_SAME_SEARCH = (
    *("space", "preset", "data", "training", "device", "other_devices", "objectives", "dtype", "combine", "weights"),
    *("accuracy", "accuracy_cmd", "proxy_preset", "proxy_epochs", "proxy_fraction", "proxy_resolution", "proxy_width"),
)
"""Errors of two estimators, and latencies combined otherwise, are not of one scale."""


@dataclass(frozen=True, slots=True)
class StudyCurve:
    """What a study had found after each generation.

    Attributes:
        study_id: Its id.
        seed: Its seed.
        method: Configuration without the seed and what does not make another method.
        subject: What two studies must share to be set beside each other, as canonical JSON.
        evaluations: After each generation, rising.
        volumes: Hypervolume after each.
        reference_point: That it is measured from, minimised.
        whole: Hypervolume of all networks there are, where that is known.
        is_finished: Whether the study is.
    """

    study_id: str
    seed: int
    method: Mapping[str, Any]
    subject: str
    evaluations: tuple[int, ...]
    volumes: tuple[float, ...]
    reference_point: tuple[float, ...]
    whole: float | None
    is_finished: bool

    def at(self, evaluations: int) -> float:
        """Return the hypervolume after so many evaluations: that of the last generation that ended by then; else 0."""
        place = int(np.searchsorted(self.evaluations, evaluations, side="right"))
        return self.volumes[place - 1] if place else 0.0


def read_curves(store: Store, study_ids: Sequence[str] = ()) -> list[StudyCurve]:
    """Return the curves of studies that can be set beside each other, oldest first.

    Studies of `mnas search` on tables of their own have reference points of their own; their curves are worked out anew
    from the worst of these.

    Args:
        store: Open.
        study_ids: Ids or their beginnings. Empty: all finished studies that share the subject of the newest one.

    Raises:
        StudyError: ``STU01``: no such study, or none to compare; ``STU08``: they cannot be compared.
    """
    rows = store.query("SELECT * FROM study ORDER BY rowid")
    if study_ids:
        ids = [row["study_id"] for row in rows]
        meant = [_the_one(ids, one) for one in study_ids]
        rows = [row for row in rows if row["study_id"] in meant]
    curves = [curve for row in rows if (curve := _curve(store, dict(row))) is not None]
    if not study_ids:
        finished = [curve for curve in curves if curve.is_finished]
        curves = [curve for curve in finished if curve.subject == finished[-1].subject]
    if not curves:
        raise StudyError(
            "STU01",
            "there is no study to compare",
            value=", ".join(study_ids) or str(store.path),
            why="a curve needs at least one generation, and without ids a finished study",
            fix="mnas study list has them all",
        )
    _require_one_subject(curves)
    return _on_one_point(store, curves)


def curves_beside(store: Store, study_id: str, most: int = 12) -> list[StudyCurve]:
    """Return the curve of a study and of the newest finished ones that can be set beside it, its own first.

    Args:
        store: Open.
        study_id: The study's id.
        most: Curves beside its own at most.

    Returns:
        Nothing as long as the study has no generation.
    """
    rows = [dict(row) for row in store.query("SELECT * FROM study ORDER BY rowid DESC")]
    own = [curve for row in rows if row["study_id"] == study_id and (curve := _curve(store, row)) is not None]
    if not own:
        return []
    finished = (row for row in rows if row["study_id"] != study_id and row["status"] == "finished")
    curves = (curve for row in finished if (curve := _curve(store, row)) is not None)
    others = (curve for curve in curves if curve.subject == own[0].subject)
    return _on_one_point(store, [*own, *islice(others, most)])


def _the_one(ids: Sequence[str], asked: str) -> str:
    found = matching_ids(ids, asked)
    if len(found) != 1:
        why = f"{len(found)} studies begin so; studies here: {', '.join(ids[-10:]) or 'none'}"
        raise StudyError("STU01", "no study of that id", value=asked, why=why, fix="name one of them")
    return found[0]


def _curve(store: Store, row: Mapping[str, Any]) -> StudyCurve | None:
    """Return the curve of a study, or ``None`` where not one generation is done."""
    log, config = EventLog(store, row["study_id"]), json.loads(row["config_json"])
    generations = sorted(log.payloads("generation").values(), key=lambda one: one["evaluations"])
    goal = log.payload("goal")
    if not generations or goal is None:
        return None
    kept = _SAME_TABLE if row["kind"] == "table" else _SAME_SEARCH
    subject = {"kind": row["kind"], **{key: config[key] for key in kept if key in config}}
    return StudyCurve(
        study_id=row["study_id"],
        seed=config["seed"],
        method={key: value for key, value in config.items() if key not in _NOT_OF_THE_METHOD},
        subject=canonical_json(subject),
        evaluations=tuple(one["evaluations"] for one in generations),
        volumes=tuple(one["hypervolume"] for one in generations),
        reference_point=tuple(goal["reference_point"]),
        whole=(log.payload("table") or {}).get("hypervolume"),
        is_finished=row["status"] == "finished",
    )


def _require_one_subject(curves: Sequence[StudyCurve]) -> None:
    first = curves[0]
    for other in curves[1:]:
        if other.subject != first.subject:
            raise StudyError(
                "STU08",
                "these studies cannot be compared",
                value=f"{first.study_id}: {first.subject}; {other.study_id}: {other.subject}",
                why="their hypervolumes are of different networks, objectives, data, devices or estimates of accuracy",
                fix="compare studies of one table, or of one space, data set and device",
            )


def _on_one_point(store: Store, curves: list[StudyCurve]) -> list[StudyCurve]:
    points = np.asarray([curve.reference_point for curve in curves], dtype=float)
    if (points == points[0]).all():
        return curves
    worst = tuple(points.max(axis=0).tolist())
    return [_measured_from(store, curve, worst) for curve in curves]


def _measured_from(store: Store, curve: StudyCurve, point: tuple[float, ...]) -> StudyCurve:
    """Return a curve of `mnas search` measured from another reference point."""
    payloads = EventLog(store, curve.study_id).payloads("evaluated").values()
    done = sorted((Candidate.from_json(one) for one in payloads), key=lambda one: one.number)
    archive, volumes, first = FrontArchive(), [], 0
    for count in curve.evaluations:
        new = [one for one in done[first:count] if one.status == "done"]
        archive.add([one.genome for one in new], np.asarray([one.objectives for one in new], dtype=float))
        volumes.append(hypervolume(archive.objectives, point) if archive.genomes else 0.0)
        first = count
    return replace(curve, volumes=tuple(volumes), reference_point=point)
