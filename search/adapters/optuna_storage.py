"""A study as one of Optuna's, e.g. to be looked at in optuna-dashboard; needs the package optuna."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mnas.config import make_config
from mnas.optional import optional_package
from mnas.store import Store
from search.candidate import Candidate
from search.events import EventLog
from search.result import study_row
from search.study_space import study_space
from search.tabular_study import KIND


@dataclass(frozen=True, slots=True)
class Told:
    """What Optuna is told of one network.

    Attributes:
        key: Tells it from others within the study.
        number: Order in which it was asked for.
        genome: Its genome.
        values: Of the objectives, as the study's directions have them; ``None`` where it failed.
        attributes: What else is known of it.
    """

    key: str
    number: int
    genome: tuple[int, ...]
    values: tuple[float, ...] | None
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Copied:
    """What came of a copy.

    Attributes:
        study_id: Of the study here, and its name there.
        added: Trials that were not there yet.
        trials: All that are there now.
    """

    study_id: str
    added: int
    trials: int


def copy_to_optuna(store: Store, study_id: str, storage: Any) -> Copied:
    """Copy a study into a storage of Optuna; again, it adds what has been found since.

    A parameter is a gene, by its name; an objective has the direction and the values of the study; what is known of a
    network beside them are user attributes.

    Args:
        store: Opened with the search tables.
        study_id: Its id or the beginning of it; the newest unless given.
        storage: As ``optuna.create_study`` takes it: a URL such as ``sqlite:///optuna.db``, or a storage.

    Raises:
        PackageError: ``PKG01``: optuna is not installed.
        StudyError: ``STU01``: no such study.
    """
    optuna = optional_package("optuna", "a copy for Optuna", "optuna")
    row = study_row(store, study_id)
    log = EventLog(store, row["study_id"])
    names, tops, objectives, networks = _of_table(log) if row["kind"] == KIND else _of_search(row, log)
    study = optuna.create_study(
        storage=storage,
        study_name=row["study_id"],
        directions=[direction for _, direction in objectives],
        load_if_exists=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([name for name, _ in objectives])
    study.set_user_attr("mnas_config", json.loads(row["config_json"]))
    there = {trial.user_attrs.get("mnas_key") for trial in study.get_trials(deepcopy=False)}
    times = {event["key"]: event["at_utc"] for event in log.history(["evaluated"])}
    new = [one for one in sorted(networks, key=lambda one: one.number) if one.key not in there]
    distributions = {
        name: optuna.distributions.IntDistribution(0, max(top - 1, 0)) for name, top in zip(names, tops, strict=True)
    }
    study.add_trials([_trial(optuna, one, distributions, times[one.key]) for one in new])
    return Copied(row["study_id"], len(new), len(there) + len(new))


_Parts = tuple[Sequence[str], Sequence[int], Sequence[tuple[str, str]], list[Told]]
"""Names of the genes, how many choices each has, name and direction of the objectives, the networks."""
_WORDS = {"max": "maximize", "min": "minimize"}


def _of_search(row: Mapping[str, Any], log: EventLog) -> _Parts:
    config = make_config(json.loads(row["config_json"]))
    space = study_space(log, config)
    objectives = [
        (one.key.removesuffix(":max"), _WORDS["max" if one.key.endswith(":max") else "min"]) for one in config.sought
    ]
    networks = [_told(key, Candidate.from_json(value)) for key, value in log.payloads("evaluated").items()]
    return space.gene_names, space.cardinalities, objectives, networks


def _told(key: str, candidate: Candidate) -> Told:
    known = [one.value for one in candidate.values] or [candidate.error, candidate.predicted_ms]
    values = tuple(value for value in known if value is not None)
    is_whole = candidate.status == "done" and len(values) == len(known)
    about = {
        "arch_id": candidate.arch_id,
        "generation": candidate.generation,
        "predicted_ms": candidate.predicted_ms,
        "latency_source": candidate.latency_source,
        "accuracy_source": candidate.accuracy_source,
        "reward": candidate.reward,
        "reason": candidate.reason,
    }
    return Told(key, candidate.number, candidate.genome, values if is_whole else None, about)


def _of_table(log: EventLog) -> _Parts:
    table = log.payload("table") or {"gene_names": [], "cardinalities": [], "objectives": []}
    objectives = [(one["name"], _WORDS[one["direction"]]) for one in table["objectives"]]
    networks = [
        Told(
            key,
            int(value["number"]),
            tuple(int(gene) for gene in key.split("-")),
            tuple(value["values"]),
            {"generation": value["generation"]},
        )
        for key, value in log.payloads("evaluated").items()
    ]
    return table["gene_names"], table["cardinalities"], objectives, networks


def _trial(optuna: Any, told: Told, distributions: Mapping[str, Any], at_utc: str) -> Any:
    is_done = told.values is not None
    trial = optuna.trial.create_trial(
        state=optuna.trial.TrialState.COMPLETE if is_done else optuna.trial.TrialState.FAIL,
        values=list(told.values) if told.values is not None else None,
        params=dict(_params(distributions, told.genome)),
        distributions=dict(distributions),
        user_attrs={"mnas_key": told.key, "mnas_number": told.number, **told.attributes},
    )
    # Optuna's times are naive and local.
    at = datetime.fromisoformat(at_utc).astimezone().replace(tzinfo=None)
    trial.datetime_start = trial.datetime_complete = at
    return trial


def _params(distributions: Mapping[str, Any], genome: Sequence[int]) -> Iterator[tuple[str, int]]:
    yield from zip(distributions, genome, strict=True)
