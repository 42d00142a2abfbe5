"""The first stage of a study: generations of candidates, ranked by predicted latency and accuracy on rank-val."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from latency.estimator import LatencyEstimate
from latency.table import LatencyTable
from mnas.errors import StudyError, TrainingError
from mnas.seeding import named_rng
from mnas.space import Genome
from search.accuracy.estimator import AccuracyEstimate
from search.accuracy.generation import Contender, Told, run_generation
from search.accuracy.registry import open_accuracy
from search.accuracy.setting import accuracy_setting
from search.algorithms.algorithm import Algorithm, FloatArray, Learner
from search.algorithms.registry import open_algorithm
from search.algorithms.setting import SearchSetting
from search.candidate import Candidate
from search.context import StudyContext
from search.goal import Goal
from search.pareto import front_indices, hypervolume
from search.reward import mnasnet_reward


@dataclass(frozen=True, slots=True)
class _Asked:
    number: int
    generation: int
    genome: Genome
    arch_id: str
    predicted_ms: float


class Ranking:
    """Runs the search's generations; what the event log holds already is not evaluated again.

    Given the same table, candidates, predictions and accuracies are a pure function of the configuration: the
    algorithm is run anew on every resume and told the same things in the same order.

    Args:
        context: The study.
        table: Latencies.
        goal: Target and reference point.
    """

    def __init__(self, context: StudyContext, table: LatencyTable, goal: Goal) -> None:
        self._context = context
        self._table = table
        self._goal = goal
        self._memo: dict[Genome, LatencyEstimate] = {}
        config = context.config
        self._estimator = open_accuracy(config.accuracy, accuracy_setting(context))
        self._known = {key: Candidate.from_json(value) for key, value in context.log.payloads("evaluated").items()}

    def latencies(self, genomes: Sequence[Genome]) -> FloatArray:
        """Return the predicted latencies of genomes in milliseconds."""
        new = [genome for genome in genomes if genome not in self._memo]
        estimates = self._table.estimate([self._context.architecture(genome) for genome in new])
        self._memo.update(zip(new, estimates, strict=True))
        return np.asarray([self._memo[genome].ms for genome in genomes])

    def _algorithm(self) -> Algorithm:
        config = self._context.config
        setting = SearchSetting(
            space=self._context.space,
            rng=named_rng(config.seed, "algorithm", config.algorithm),
            latency_of=lambda genomes: self._table.over(self._context.space).ms(list(genomes)),
            population=config.population,
            oversample=config.oversample,
            reference_point=self._goal.reference_point,
            target_ms=self._goal.target_ms,
            alpha=config.alpha,
            beta=config.beta,
        )
        return open_algorithm(config.algorithm, setting)

    def run(self) -> list[Candidate]:
        """Return every candidate in ask order, evaluating those that are not known yet."""
        config, algorithm = self._context.config, self._algorithm()
        candidates: list[Candidate] = []
        generation, best, stale = 0, 0.0, 0
        while len(candidates) < config.budget and not (config.patience and stale >= config.patience):
            genomes = algorithm.ask()[: config.budget - len(candidates)]
            if not genomes:
                self._context.reporter.line("no network of the space is left to try")
                break
            found = self._generation(genomes, generation, len(candidates))
            candidates += found
            algorithm.tell(genomes, np.asarray([candidate.objectives for candidate in found]))
            figures = dict(algorithm.figures) if isinstance(algorithm, Learner) else {}
            volume = self._note(generation, candidates, figures)
            stale = 0 if volume > best else stale + 1
            best, generation = max(best, volume), generation + 1
        _require_some(candidates)
        return candidates

    def _generation(self, genomes: Sequence[Genome], generation: int, first: int) -> list[Candidate]:
        latencies = self.latencies(genomes)
        asked = [
            _Asked(first + i, generation, genome, self._context.architecture(genome).arch_id, float(latencies[i]))
            for i, genome in enumerate(genomes)
        ]
        contenders = [self._contender(one) for one in asked]
        by_number = {one.number: one for one in asked}
        todo, done = sum(not one.is_known for one in contenders), 0

        def on_estimate(contender: Contender, estimate: AccuracyEstimate | TrainingError) -> None:
            nonlocal done
            done += 1
            self._record(by_number[contender.number], estimate)
            self._context.reporter.progress(f"generation {generation}: training candidates", done, todo)

        context = self._context
        run_generation(self._estimator, contenders, self._told(first), context.log, context.executor, on_estimate)
        return [self._same(one) for one in asked]

    def _contender(self, asked: _Asked) -> Contender:
        architecture = self._context.architecture(asked.genome)
        return Contender(asked.number, architecture, asked.predicted_ms, asked.arch_id in self._known)

    def _told(self, first: int) -> list[Told]:
        """Return what the search was told before a generation, in ask order."""
        earlier = sorted((one for one in self._known.values() if one.number < first), key=lambda one: one.number)
        return [Told(one.number, one.arch_id, one.predicted_ms, one.error) for one in earlier]

    def _same(self, asked: _Asked) -> Candidate:
        """Return what is recorded of a candidate, if it is what the search asks for now.

        Raises:
            StudyError: ``STU07``: it is not, so the record and the search have parted.
        """
        known = self._known[asked.arch_id]
        if (known.number, known.predicted_ms) != (asked.number, asked.predicted_ms):
            raise StudyError(
                "STU07",
                "the search does not repeat what was recorded",
                value=f"network {asked.arch_id[:12]}: recorded as number {known.number} at {known.predicted_ms!r} ms, "
                f"now number {asked.number} at {asked.predicted_ms!r} ms",
                why="the latency table or a package has changed since, so going on would mix two searches",
                fix="start a new study without --resume",
            )
        return known

    def _record(self, asked: _Asked, estimate: AccuracyEstimate | TrainingError) -> None:
        """Turn an estimate into a candidate and keep it at once."""
        config = self._context.config
        if isinstance(estimate, TrainingError):
            candidate = self._candidate(asked, reason=str(estimate))
            self._context.reporter.warn(f"candidate {asked.arch_id[:12]} failed: {estimate}")
        else:
            goal = self._goal
            reward = mnasnet_reward(1 - estimate.error, asked.predicted_ms, goal.target_ms, config.alpha, config.beta)
            candidate = self._candidate(
                asked,
                error=estimate.error,
                loss=estimate.loss,
                reward=reward,
                seed=estimate.seeds[0] if estimate.seeds else 0,
                cost_s=estimate.cost_s,
                accuracy_source=f"{estimate.source}:{estimate.fidelity}",
            )
        self._context.log.append("evaluated", candidate.to_json(), asked.arch_id)
        self._known[asked.arch_id] = candidate

    def _candidate(
        self,
        asked: _Asked,
        *,
        error: float | None = None,
        loss: float | None = None,
        reward: float | None = None,
        seed: int = 0,
        cost_s: float = 0.0,
        accuracy_source: str = "",
        reason: str = "",
    ) -> Candidate:
        return Candidate(
            number=asked.number,
            arch_id=asked.arch_id,
            genome=asked.genome,
            generation=asked.generation,
            predicted_ms=asked.predicted_ms,
            latency_source=self._memo[asked.genome].source,
            status="failed" if reason else "done",
            error=error,
            loss=loss,
            accuracy_source=accuracy_source or f"{self._estimator.name}:{self._estimator.fidelity}",
            reward=reward,
            seed=seed,
            cost_s=cost_s,
            reason=reason,
        )

    def _note(self, generation: int, candidates: Sequence[Candidate], figures: dict[str, float]) -> float:
        done = [candidate.objectives for candidate in candidates if candidate.status == "done"]
        objectives = np.asarray(done, dtype=float).reshape(-1, 2)
        volume = hypervolume(objectives, self._goal.reference_point)
        counts = {"evaluations": len(candidates), "hypervolume": volume, "front": len(front_indices(objectives))}
        payload: dict[str, Any] = {**counts, **({"learning": figures} if figures else {})}
        self._context.log.append("generation", payload, f"{generation}/{len(candidates)}")
        self._context.reporter.line(
            f"generation {generation}: {payload['evaluations']} evaluations, front of {payload['front']}, "
            f"hypervolume {volume:.5g}"
        )
        return volume


def _require_some(candidates: Sequence[Candidate]) -> None:
    if not any(candidate.status == "done" for candidate in candidates):
        raise StudyError(
            "STU03",
            "no candidate could be trained",
            value=candidates[0].reason if candidates else "no candidate",
            why="a front needs at least one accuracy",
            fix="see the reasons with: mnas study show",
        )
