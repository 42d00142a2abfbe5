"""An audit: a sample of a space's networks trained from scratch on several seeds, and what estimators say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mnas.config import StudyConfig
from mnas.counts import total_macs, total_params
from mnas.jsonio import sha256_json
from mnas.layers import layers_of
from mnas.seeding import derive_seed, named_rng
from mnas.space import Genome
from mnas.spaces.staged import StagedSpace
from mnas.spaces.toml_file import definition_sha256
from mnas.store import Store
from search.accuracy.audit_estimates import Judged, rows_of
from search.accuracy.audit_log import TRUTH, AuditLog
from search.accuracy.audit_verdict import EstimatorRows, TruthRows, make_verdict
from search.accuracy.estimator import mark_of
from search.accuracy.generation import Contender
from search.accuracy.jobs import TrainingJob, require_training, training_outcome
from search.accuracy.proxy_schedule import schedule_of
from search.accuracy.registry import open_accuracy
from search.accuracy.setting import setting_of
from search.context import Reporter
from search.data.dataset import Dataset
from search.executors.executor import Executor, Outcome
from search.training.schedule import TrainingSchedule

_AT_ONCE = 8
"""Jobs between two looks at the clock, at least: the last of them leave processes idle."""
_AT_ONCE_PER_WORKER = 4
DEFAULT_ESTIMATORS = (
    "proxy",
    *(f"zero-cost:{name}" for name in ("synflow", "naswot", "zen", "gradnorm", "snip", "jacov")),
)


@dataclass(frozen=True, eq=False)
class Audit:
    """What is audited.

    Attributes:
        config: Resolved: space, data, training, seed and whatever the estimators take of it.
        space: Its space.
        dataset: Its data.
        networks: Drawn gene by gene; a larger sample begins with a smaller one, and so goes on from it.
        seeds: Trainings of each, 2 or more.
        estimators: Names as `search.accuracy.registry` knows them.
    """

    config: StudyConfig
    space: StagedSpace
    dataset: Dataset
    networks: int
    seeds: int
    estimators: tuple[str, ...] = DEFAULT_ESTIMATORS

    def schedule(self, purpose: str) -> TrainingSchedule:
        """Return the training schedule for ``proxy`` or ``final``; the truth is trained with ``final``."""
        return schedule_of(self.config, purpose, self.dataset.size("train"))

    @property
    def audit_id(self) -> str:
        """Of space, data, truth's schedule and seed; sample size, seeds and estimators may grow within it."""
        parts = [self.space.name, list(self.space.cardinalities), self.dataset.fingerprint]
        return "audit-" + sha256_json([*parts, self.schedule("final").fidelity, self.config.seed])[:10]

    def sample(self) -> list[Genome]:
        """Return distinct genomes, each gene drawn uniformly; fewer where the space holds no more."""
        rng = named_rng(self.config.seed, "audit-sample", self.space.name)
        found: dict[Genome, None] = {}
        for _ in range(100 * self.networks):
            found.setdefault(self.space.draw(rng))
            if len(found) == self.networks:
                break
        return list(found)

    def run(
        self,
        store: Store,
        executor: Executor,
        reporter: Reporter,
        is_over: Callable[[], bool] = lambda: False,
        workers: int = 1,
    ) -> dict[str, Any] | None:
        """Do what no earlier run has done, and keep and return the verdict; None where time was over before.

        Args:
            store: Opened with `search.accuracy.audit_log.AUDIT`.
            executor: Where networks are trained.
            reporter: Is told how it gets on.
            is_over: Asked now and then whether to stop; what is done by then is kept.
            workers: Processes of the executor.

        Raises:
            ConfigError: An estimator cannot be opened, or too few networks could be trained.
            TrainingError: ``TRN05``: a training could not be run.
        """
        if left_out := self.dataset.left_out:
            reporter.warn(left_out)
        log, contenders = AuditLog(store, self.audit_id), self._contenders()
        setting = setting_of(self.config, self.space, self.dataset)
        population, at_once = self.config.population, max(_AT_ONCE, _AT_ONCE_PER_WORKER * workers)
        judged = [Judged(name, open_accuracy(name, setting), log, contenders, population) for name in self.estimators]
        for mark in filter(None, (mark_of(one.estimator) for one in judged)):
            reporter.warn(mark)
        work = [self._truth(log, contenders, executor, reporter, at_once)]
        work += [one.ask(executor, reporter, at_once) for one in judged]
        for part in work:
            for _ in part:
                if is_over():
                    return None
        verdict = self._verdict(log, contenders, judged)
        log.keep_verdict(verdict)
        return verdict

    def _contenders(self) -> list[Contender]:
        """Return the sample; MACs stand for the latency that decides what is trained first."""
        networks = [self.space.decode(genome) for genome in self.sample()]
        return [Contender(i, one, float(total_macs(layers_of(one)))) for i, one in enumerate(networks)]

    def training_job(self, contender: Contender, repeat: int) -> TrainingJob:
        """Return one training of the truth; its seeds are none that a search uses."""
        return TrainingJob(
            architecture_json=contender.architecture.to_json(),
            dataset_name=self.config.data,
            dataset_folder=self.config.data_dir or None,
            schedule=self.schedule("final"),
            study_seed=derive_seed(self.config.seed, "audit"),
            repeat=repeat,
            fingerprint=self.dataset.fingerprint,
        )

    def _truth(
        self, log: AuditLog, contenders: Sequence[Contender], executor: Executor, reporter: Reporter, at_once: int
    ) -> Iterator[None]:
        """Train what is lacking, the first seed of all networks before the second; yield now and then.

        What failed in an earlier run is tried again, unless its loss diverged.
        """
        known, ordered = log.last_tries(TRUTH), sorted(contenders, key=lambda one: -one.predicted_ms)
        keys = [(f"{one.arch_id}/{repeat}", one, repeat) for repeat in range(self.seeds) for one in ordered]
        lacking = [
            (key, self.training_job(one, repeat)) for key, one, repeat in keys if not _is_settled(known.get(key))
        ]
        for start in range(0, len(lacking), at_once):
            yield
            part = lacking[start : start + at_once]

            def on_done(index: int, outcome: Outcome, part: list[tuple[str, TrainingJob]] = part) -> None:
                require_training(outcome)
                key, job = part[index]
                found = training_outcome(job, outcome)
                figures = {"error": found.errors["rank-val"], "loss": found.losses["rank-val"]} if found.is_ok else {}
                more = {"failure": found.error_message, "diverged": found.diverged, "cost_s": found.cost_s}
                log.append_try(TRUTH, key, {**figures, **more, "images": found.images.get("rank-val", 0)})

            executor.map_in_order([job.as_job() for _, job in part], on_done)
            reporter.progress("training the sample", start + len(part), len(lacking))

    def _verdict(self, log: AuditLog, contenders: Sequence[Contender], judged: Sequence[Judged]) -> dict[str, Any]:
        rows = log.last_tries(TRUTH)
        table = [[rows[f"{one.arch_id}/{repeat}"] for repeat in range(self.seeds)] for one in contenders]
        truth = TruthRows.of(
            [one.arch_id for one in contenders],
            self.sample(),
            table,
            macs=[one.predicted_ms for one in contenders],
            params=[float(total_params(layers_of(one.architecture))) for one in contenders],
        )
        said, partly = self._said(log, contenders, judged)
        about = {
            "audit_id": self.audit_id,
            "space": self.config.space,
            "definition": definition_sha256(self.space.definition),
            "preset": self.config.preset,
            "fingerprint": self.dataset.fingerprint,
            "truth": self.schedule("final").fidelity,
        }
        found = make_verdict(truth, said, self.space.cardinalities, self.config.seed)
        return {**about, **found, "partly_judged": partly}

    def _said(
        self, log: AuditLog, contenders: Sequence[Contender], judged: Sequence[Judged]
    ) -> tuple[list[EstimatorRows], list[str]]:
        """Return what was said of all networks, by the estimators asked now and by those of earlier runs.

        Returns:
            The rows of each; names of those that have not seen the whole sample yet.
        """
        said, partly = list[EstimatorRows](), list[str]()
        for subject in dict.fromkeys([*(one.subject for one in judged), *log.subjects()]):
            found = rows_of(log, subject, len(contenders))
            if found is None:
                continue
            if all(one.arch_id in found.rows for one in contenders):
                said.append(found)
            else:
                partly.append(found.name)
        return said, partly


def _is_settled(row: dict[str, Any] | None) -> bool:
    """Return whether a training of the truth need not be run; rows of before hold no ``diverged``."""
    return row is not None and (not row["failure"] or bool(row.get("diverged", "TRN01" in row["failure"])))
