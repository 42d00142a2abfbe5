"""A study on a table of networks: every evaluation kept at once, gone on with after any kill, with the same front."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnas.errors import DataError, StudyError
from mnas.ids import matching_ids, new_id
from mnas.jsonio import canonical_json, sha256_bytes
from mnas.seeding import named_rng
from mnas.space import Genome
from mnas.store import Store, utc_now
from search.algorithms.algorithm import FloatArray, Learner
from search.algorithms.archive import FrontArchive
from search.algorithms.registry import open_algorithm
from search.algorithms.setting import SearchSetting
from search.context import Reporter
from search.driver import Driver
from search.events import EventLog
from search.pareto import hypervolume
from search.progress import SearchState, progress_text
from search.stopping import Stopping
from search.table_objective import parse_objectives
from search.tabular import TabularProblem
from search.tabular_config import TabularConfig, make_tabular_config, merge_tabular

KIND = "table"
_MEDIAN_OF = 200
_TELL_EVERY_S = 1.0
Point = tuple[float, ...]


def table_sha256(path: Path) -> str:
    """Return the hash of a table's content.

    Raises:
        DataError: ``TAB01``: it cannot be read.
    """
    try:
        return sha256_bytes(path.read_bytes())
    except OSError as error:
        raise DataError(
            "TAB01", "the table cannot be read", value=str(path), why=str(error), fix="name a .csv or a .json file"
        ) from error


@dataclass(frozen=True)
class TabularStudy:
    """A study on a table in the store.

    Attributes:
        store: Opened with the search tables.
        study_id: Its id.
        config: Complete.
    """

    store: Store
    study_id: str
    config: TabularConfig

    @classmethod
    def create(cls, store: Store, configs: Sequence[TabularConfig]) -> list[TabularStudy]:
        """Begin studies, one for each configuration, all of them or none."""
        studies = []
        with store.transaction() as sql:
            number = sql.execute("SELECT count(*) FROM study").fetchone()[0]
            for place, config in enumerate(configs, 1):
                study_id = new_id("study", number + place)
                sql.execute(
                    "INSERT INTO study (study_id, created_at_utc, status, config_json, versions_json, kind) "
                    "VALUES (?, ?, 'running', ?, '{}', ?)",
                    (study_id, utc_now(), canonical_json(config.model_dump(mode="json")), KIND),
                )
                studies.append(cls(store, study_id, config))
        return studies

    @classmethod
    def resume(cls, store: Store, study_id: str, asked: Mapping[str, Any]) -> list[TabularStudy]:
        """Return what is to be gone on with: the study named, or the newest unfinished one and its other seeds.

        Args:
            store: Open.
            study_id: Its id or the beginning of it; "" for the newest unfinished one on a table.
            asked: Configuration keys that were given again.

        Raises:
            ConfigError: ``CFG03``: a key differs.
            StudyError: ``STU01``: no such study, or it is finished.
        """
        rows = store.query(
            "SELECT study_id, config_json FROM study WHERE kind = ? AND status = 'running' ORDER BY rowid", (KIND,)
        )
        meant = matching_ids([row["study_id"] for row in rows], study_id)
        found = [
            cls(store, row["study_id"], make_tabular_config(json.loads(row["config_json"])))
            for row in rows
            if row["study_id"] in meant
        ]
        if not found:
            raise StudyError(
                "STU01",
                "there is no unfinished study on a table to resume",
                value=study_id or str(store.path),
                why="every one here is finished, or none was started",
                fix="leave --resume out to start one; mnas study list has them all",
            )
        newest = found[-1].config.group()
        group = [one for one in found if one.config.group() == newest]
        return [cls(store, one.study_id, merge_tabular(one.config, asked)) for one in group]

    def run(self, reporter: Reporter) -> None:
        """Search to the end of the budget, and keep the front.

        Raises:
            DataError: The table is wrong, or has changed (``TAB06``).
            StudyError: ``STU02`` another process drives it, ``STU07`` the search does not repeat its record.
        """
        with Driver(self.store, self.study_id):
            row = self.store.query("SELECT status FROM study WHERE study_id = ?", (self.study_id,))[0]
            if row["status"] == "finished":
                return
            self.store.execute(
                "UPDATE study SET config_json = ? WHERE study_id = ?",
                (canonical_json(self.config.model_dump(mode="json")), self.study_id),
            )
            _TableSearch(self, reporter).run()
            self.store.execute("UPDATE study SET status = 'finished' WHERE study_id = ?", (self.study_id,))


class _TableSearch:
    """The walk of one study over its table."""

    def __init__(self, study: TabularStudy, reporter: Reporter) -> None:
        self._config = study.config
        self._reporter = reporter
        self._log = EventLog(study.store, study.study_id)
        self._problem = _problem(study.config)
        self._log.append("table", _table_event(self._problem, study.config))
        self._point = study.config.reference_point or self._problem.reference_point()
        self._target = self._find_target()
        self._log.append("goal", {"reference_point": list(self._point), "target": self._target})
        self._stopping = Stopping(self._log, study.config.limits, study.config.patience)
        self._known = {
            key: (value["number"], value["values"]) for key, value in self._log.payloads("evaluated").items()
        }
        self._archive = FrontArchive()
        self._told = -_TELL_EVERY_S

    def run(self) -> None:
        """Ask and tell until the end, then keep the front."""
        algorithm, generation, evaluations = self._algorithm(), 0, 0
        while not (why := self._stopping.reason(evaluations, 0.0)):
            genomes = algorithm.ask()[: self._stopping.room(evaluations)]
            if not genomes:
                why = "no network of the table is left to try"
                break
            self._evaluate(genomes, generation, evaluations)
            objectives = self._problem.minimised(genomes)
            algorithm.tell(genomes, objectives)
            evaluations += len(genomes)
            self._archive.add(genomes, objectives)
            learning = dict(algorithm.figures) if isinstance(algorithm, Learner) else {}
            self._note(generation, evaluations, learning)
            generation += 1
        self._reporter.line(f"search over: {why}")
        self._log.append("front", self._front())
        self._stopping.over(evaluations, why)

    def _algorithm(self) -> Any:
        config = self._config
        return open_algorithm(
            config.algorithm,
            SearchSetting(
                space=self._problem,
                rng=named_rng(config.seed, "algorithm", config.algorithm),
                latency_of=self._problem.cheap,
                population=config.population,
                oversample=config.oversample,
                objectives=len(self._problem.objectives),
                reference_point=_pair(config.reference_point),
                target_ms=self._target,
                alpha=config.alpha,
                beta=config.beta,
            ),
        )

    def _find_target(self) -> float | None:
        """Return the target asked for, else the median of the cheap objective over draws; none where not positive."""
        if self._config.target is not None:
            return self._config.target
        rng = named_rng(self._config.seed, "median of the cheap objective")
        median = float(np.median(self._problem.cheap([self._problem.draw(rng) for _ in range(_MEDIAN_OF)])))
        return median if median > 0 else None

    def _evaluate(self, genomes: Sequence[Genome], generation: int, first: int) -> None:
        """Keep each evaluation in a transaction of its own; those that the log holds must be the same."""
        values = self._problem.values(genomes).tolist()
        for number, (genome, row) in enumerate(zip(genomes, values, strict=True), first):
            key = "-".join(map(str, genome))
            known = self._known.get(key)
            if known is None:
                self._stopping.begin(number)
                self._log.append("evaluated", {"number": number, "generation": generation, "values": row}, key)
            elif known != (number, row):
                raise StudyError(
                    "STU07",
                    "the search does not repeat what was recorded",
                    value=f"network {key}: recorded as number {known[0]}, now number {number}",
                    why="the algorithm or a package has changed since, so going on would mix two searches",
                    fix="start a new study without --resume",
                )

    def _note(self, generation: int, evaluations: int, learning: Mapping[str, float]) -> None:
        volume = hypervolume(self._archive.objectives, self._point)
        front = len(np.unique(self._archive.objectives, axis=0))
        payload: dict[str, Any] = {"evaluations": evaluations, "hypervolume": volume, "front": front}
        payload |= {"learning": dict(learning)} if learning else {}
        self._log.append("generation", payload, f"{generation}/{evaluations}")
        self._stopping.note(volume)
        now = time.monotonic()
        if now - self._told >= _TELL_EVERY_S:
            self._told = now
            left_s = self._stopping.left_s(evaluations, 0.0)
            state = SearchState(generation, evaluations, volume, front, self._best(), left_s)
            self._reporter.line(progress_text(state))

    def _best(self) -> str:
        """Return the best first objective at or below the target, in the table's own numbers."""
        within = [
            place for place, row in enumerate(self._archive.objectives) if self._target and row[-1] <= self._target
        ]
        if not within:
            return ""
        best = min(within, key=lambda place: float(self._archive.objectives[place][0]))
        values = self._problem.values([self._archive.genomes[best]])[0]
        return ", ".join(f"{one.name} {value:.5g}" for one, value in zip(self._problem.objectives, values, strict=True))

    def _front(self) -> dict[str, Any]:
        """Return the front, by the cheap objective, then by genome."""
        archive = self._archive
        order = sorted(
            range(len(archive.genomes)), key=lambda i: (*archive.objectives[i][::-1].tolist(), archive.genomes[i])
        )
        genomes = [archive.genomes[place] for place in order]
        values: FloatArray = self._problem.values(genomes) if genomes else np.zeros((0, 0))
        members = [
            {"genome": list(genome), "labels": _labels(self._problem, genome), "values": row}
            for genome, row in zip(genomes, values.tolist(), strict=True)
        ]
        return {"members": members}


def _labels(problem: TabularProblem, genome: Genome) -> list[Any]:
    return [labels[choice] for labels, choice in zip(problem.choices, genome, strict=True)]


def _pair(point: Point) -> tuple[float, float] | None:
    return (point[0], point[1]) if len(point) == 2 else None


def _problem(config: TabularConfig) -> TabularProblem:
    path = Path(config.table)
    if (now := table_sha256(path)) != config.table_sha256:
        raise DataError(
            "TAB06",
            "the table has changed since the study began",
            value=f"{path.name}: {config.table_sha256[:12]}, now {now[:12]}",
            why="what was found on another table does not compare",
            fix="restore it, or start a new study without --resume",
        )
    return TabularProblem.read(path, parse_objectives(config.objectives), config.genes)


def _table_event(problem: TabularProblem, config: TabularConfig) -> dict[str, Any]:
    """Return what a reader of the study must know of its table; its whole front is the measure of all searches."""
    true_front = problem.true_front()
    point = config.reference_point or problem.reference_point()
    return {
        "name": problem.name,
        "networks": problem.size(),
        "cardinalities": list(problem.cardinalities),
        "gene_names": list(problem.gene_names),
        "objectives": [{"name": one.name, "direction": one.direction} for one in problem.objectives],
        "front_points": len(true_front),
        "hypervolume": hypervolume(true_front, point),
    }
