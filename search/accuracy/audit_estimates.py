"""What estimators say of an audit's networks: asked as a search asks, and kept in the audit's log."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mnas.errors import TrainingError
from search.accuracy.audit_log import EVENT, AuditLog
from search.accuracy.audit_verdict import EstimatorRows
from search.accuracy.estimator import AccuracyEstimate, AccuracyEstimator
from search.accuracy.generation import Contender, GenerationEstimator, Told, estimate_each, run_generation
from search.context import Reporter
from search.executors.executor import Executor

_NETWORKS_OWN = ("TRN01", "TRN14")
"""Codes of failures that another try would repeat."""
_WITHIN = re.compile(r"\|(\d+) in (\d+)s$")
_OF_GENERATIONS = ("halving", "halving-async", "curves")


@dataclass(frozen=True, slots=True)
class AuditEvents:
    """Events of an estimator within an audit, as a search's log has them.

    Attributes:
        log: Of the audit.
        owner: Whose they are.
    """

    log: AuditLog
    owner: str

    def append(self, kind: str, payload: dict[str, Any], key: str = "") -> None:
        """Record an event; a kind and key that are there already stay as they are."""
        self.log.append(f"{EVENT}{kind}|{self.owner}", key, payload)

    def payloads(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return key -> payload of all events of a kind, in the order in which they were recorded."""
        return self.log.rows(f"{EVENT}{kind}|{self.owner}")


@dataclass(frozen=True, eq=False)
class Judged:
    """An estimator under audit.

    Attributes:
        name: As the registry knows it.
        estimator: What it opens.
        log: Of the audit.
        contenders: The audit's networks, in the order in which they were drawn.
        population: Networks of a generation.
    """

    name: str
    estimator: AccuracyEstimator
    log: AuditLog
    contenders: Sequence[Contender]
    population: int

    @property
    def source(self) -> str:
        """As its candidates are marked in a search."""
        return f"{self.estimator.name}:{self.estimator.fidelity}"

    @property
    def generation(self) -> int:
        """Networks among which it decides; 0 where it takes each network on its own."""
        return self.population if isinstance(self.estimator, GenerationEstimator) else 0

    @property
    def subject(self) -> str:
        """Of its rows. What is decided within generations holds for a sample of this size alone."""
        within = f"|{len(self.contenders)} in {self.generation}s" if self.generation else ""
        return f"{self.name}|{self.source}{within}"

    def keep(self, one: Contender, estimate: AccuracyEstimate | TrainingError) -> None:
        """Record what it says of a network."""
        if isinstance(estimate, TrainingError):
            is_own = estimate.code in _NETWORKS_OWN
            self.log.append_try(self.subject, one.arch_id, {"failure": str(estimate), "is_own": is_own})
        else:
            self.log.append_try(self.subject, one.arch_id, {"failure": "", **estimate.to_json()})

    def ask(self, executor: Executor, reporter: Reporter, at_once: int) -> Iterator[None]:
        """Ask it about the networks of which it has not said anything; yield now and then.

        Where it takes each network on its own, what failed before is tried again, unless that is the network's fault.

        Args:
            executor: Runs jobs.
            reporter: Is told how it gets on.
            at_once: Networks between two looks at the clock, for an estimator that takes each on its own.
        """
        yield from self._generations(executor, reporter) if self.generation else self._each(executor, reporter, at_once)

    def _each(self, executor: Executor, reporter: Reporter, at_once: int) -> Iterator[None]:
        known = self.log.last_tries(self.subject)
        settled = {arch_id for arch_id, row in known.items() if not row["failure"] or row.get("is_own", True)}
        lacking = [one for one in self.contenders if one.arch_id not in settled]
        for start in range(0, len(lacking), at_once):
            yield
            part = lacking[start : start + at_once]
            estimate_each(self.estimator, part, executor, self.keep)
            reporter.progress(f"estimating by {self.name}", start + len(part), len(lacking))

    def _generations(self, executor: Executor, reporter: Reporter) -> Iterator[None]:
        """Go through the networks as a search would that asks for them in this order."""
        told: list[Told] = []
        for start in range(0, len(self.contenders), self.population):
            yield
            part, known = self.contenders[start : start + self.population], self.log.rows(self.subject)
            part = [replace(one, is_known=one.arch_id in known) for one in part]
            events = AuditEvents(self.log, self.source)
            run_generation(self.estimator, part, told, events, executor, self.keep)
            known = self.log.rows(self.subject)
            told += [Told(one.number, one.arch_id, one.predicted_ms, known[one.arch_id].get("error")) for one in part]
            reporter.progress(f"estimating by {self.name}", start + len(part), len(self.contenders))


def rows_of(log: AuditLog, subject: str, networks: int) -> EstimatorRows | None:
    """Return what an estimator has said, or None where it decided within generations of another sample.

    Args:
        log: Of the audit.
        subject: Its rows'.
        networks: Size of the sample.
    """
    name, _, source = subject.partition("|")
    within = _WITHIN.search(source)
    if within is None:
        # Rows of before judged what decides within generations by each network alone.
        return None if name in _OF_GENERATIONS else EstimatorRows(name, source, log.last_tries(subject))
    if int(within[1]) != networks:
        return None
    return EstimatorRows(name, source[: within.start()], log.last_tries(subject), int(within[2]))
