"""The first stage of a study: generations of candidates, ranked by predicted latency and accuracy on rank-val."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from latency.estimator import LatencyEstimate
from latency.table import LatencyTable
from mnas.errors import StudyError, TrainingError
from mnas.objectives import Objective
from mnas.seeding import named_rng
from mnas.space import Genome
from search.accuracy.estimator import SCORE, AccuracyEstimate
from search.accuracy.generation import Contender, Told, run_generation
from search.algorithms.algorithm import Algorithm, FloatArray, Learner
from search.algorithms.feasible import FeasibleSearch
from search.algorithms.registry import open_algorithm
from search.algorithms.setting import SearchSetting
from search.algorithms.warm_start import WarmStarted
from search.candidate import Candidate, ObjectiveValue
from search.constraint import LatencyConstraint
from search.context import StudyContext
from search.goal import Goal
from search.measuring import CandidateMeasuring, measured_devices
from search.outlook import Outlook
from search.pareto import front_indices, hypervolume
from search.progress import SearchState, best_within, device_seconds, progress_text
from search.reward import mnasnet_reward
from search.stopping import Stopping
from search.study_accuracy import keep_estimator, study_estimator
from search.warm_start import warm_genomes


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
        outlook: The cheap objectives; a table stands for those that the configuration makes of it.
        goal: Target and reference point.
    """

    def __init__(self, context: StudyContext, outlook: Outlook | LatencyTable, goal: Goal) -> None:
        config = context.config
        self._context = context
        self._outlook = outlook if isinstance(outlook, Outlook) else Outlook.of(context.space, [outlook], config)
        self._goal = goal
        self._memo: dict[Genome, tuple[LatencyEstimate, ...]] = {}
        self._measuring = CandidateMeasuring(context, measured_devices(config.sought, len(config.devices)))
        self._estimator = study_estimator(context)
        self._stopping = Stopping(context.log, config.limits, config.patience)
        self._known = {key: Candidate.from_json(value) for key, value in context.log.payloads("evaluated").items()}

    def latencies(self, genomes: Sequence[Genome]) -> FloatArray:
        """Return the predicted latencies of genomes in milliseconds, all devices combined."""
        new = [genome for genome in genomes if genome not in self._memo]
        self._memo.update(zip(new, self._outlook.estimates(new), strict=True))
        return np.asarray([self._outlook.combined(self._memo[genome]) for genome in genomes])

    def _algorithm(self) -> Algorithm:
        config, goal = self._context.config, self._goal
        point = goal.reference_point
        setting = SearchSetting(
            space=self._context.space,
            rng=named_rng(config.seed, "algorithm", config.algorithm),
            latency_of=self._outlook.cheap,
            population=config.population,
            oversample=config.oversample,
            objectives=len(point),
            reference_point=(point[0], point[1]) if len(point) == 2 else None,
            target_ms=goal.target_ms,
            alpha=config.alpha,
            beta=config.beta,
        )
        algorithm = open_algorithm(config.algorithm, setting)
        if first := warm_genomes(self._context):
            algorithm = WarmStarted(algorithm, first, config.population)
        if goal.confidence:
            constraint = LatencyConstraint(goal.target_ms, goal.confidence)
            if first and (left_out := int((~constraint.is_met(self._outlook, first)).sum())):
                text = f"left out {left_out} networks to begin with, which do not keep to the target so surely"
                self._context.reporter.warn(text)
            algorithm = FeasibleSearch(algorithm, lambda genomes: constraint.is_met(self._outlook, genomes))
        return algorithm

    def run(self) -> list[Candidate]:
        """Return every candidate in ask order, evaluating those that are not known yet."""
        algorithm, stopping = self._algorithm(), self._stopping
        candidates: list[Candidate] = []
        generation = 0
        while not (why := stopping.reason(len(candidates), device_seconds(candidates))):
            genomes = algorithm.ask()[: stopping.room(len(candidates))]
            if not genomes:
                why = "no network of the space is left to try"
                break
            found = self._generation(genomes, generation, len(candidates))
            candidates += found
            algorithm.tell(genomes, np.asarray([candidate.objectives for candidate in found]))
            figures = dict(algorithm.figures) if isinstance(algorithm, Learner) else {}
            stopping.note(self._note(generation, candidates, figures))
            generation += 1
        self._context.reporter.line(f"search over: {why}")
        stopping.over(len(candidates), why)
        _require_some(candidates, self._goal.confidence)
        return candidates

    def _generation(self, genomes: Sequence[Genome], generation: int, first: int) -> list[Candidate]:
        latencies = self.latencies(genomes)
        asked = [
            _Asked(first + i, generation, genome, self._context.architecture(genome).arch_id, float(latencies[i]))
            for i, genome in enumerate(genomes)
        ]
        new = [one for one in asked if one.arch_id not in self._known]
        if new:
            keep_estimator(self._context, self._estimator)
            self._stopping.begin(first)
        self._measure(new)
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

    def _measure(self, asked: Sequence[_Asked]) -> None:
        """Measure candidates where that was asked for; those that cannot be measured have failed."""
        if not self._measuring.numbers:
            return
        self._measuring.measure([self._context.architecture(one.genome) for one in asked])
        for one in asked:
            reasons = [found.reason for found in self._measuring.of(one.arch_id).values() if found.reason]
            if reasons:
                self._keep(one, self._candidate(one, reason=f"its latency could not be measured: {'; '.join(reasons)}"))

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
            if estimate.note:
                self._context.reporter.warn(f"candidate {asked.arch_id[:12]}: {estimate.note}")
            latency_ms = self._latency_of_reward(asked)
            reward = mnasnet_reward(1 - estimate.error, latency_ms, self._goal.target_ms, config.alpha, config.beta)
            candidate = self._candidate(
                asked,
                error=estimate.error,
                std=estimate.std,
                loss=estimate.loss,
                reward=None if estimate.source.startswith(SCORE) else reward,
                seed=estimate.seeds[0] if estimate.seeds else 0,
                cost_s=estimate.cost_s,
                accuracy_source=f"{estimate.source}:{estimate.fidelity}",
            )
        self._keep(asked, candidate)

    def _keep(self, asked: _Asked, candidate: Candidate) -> None:
        self._context.log.append("evaluated", candidate.to_json(), asked.arch_id)
        self._known[asked.arch_id] = candidate

    def _candidate(
        self,
        asked: _Asked,
        *,
        error: float | None = None,
        std: float | None = None,
        loss: float | None = None,
        reward: float | None = None,
        seed: int = 0,
        cost_s: float = 0.0,
        accuracy_source: str = "",
        reason: str = "",
    ) -> Candidate:
        accuracy_source = accuracy_source or f"{self._estimator.name}:{self._estimator.fidelity}"
        return Candidate(
            number=asked.number,
            arch_id=asked.arch_id,
            genome=asked.genome,
            generation=asked.generation,
            predicted_ms=asked.predicted_ms,
            latency_source=_source_of(self._memo[asked.genome]),
            status="failed" if reason else "done",
            error=error,
            std=std,
            loss=loss,
            accuracy_source=accuracy_source,
            reward=reward,
            seed=seed,
            cost_s=cost_s,
            reason=reason,
            values=(
                ObjectiveValue("error", error, accuracy_source),
                *(self._value(asked, objective) for objective in self._outlook.objectives[1:]),
            ),
        )

    def _value(self, asked: _Asked, objective: Objective) -> ObjectiveValue:
        """Return a cheap objective of a candidate; one that could not be measured keeps what the tables say."""
        outlook, estimates = self._outlook, self._memo[asked.genome]
        if objective.name != "latency":
            return ObjectiveValue.of(
                objective, int(outlook.figure(objective.name).values([asked.genome])[0]), "counted"
            )
        chosen = [objective.device] if objective.device else range(1, len(estimates) + 1)
        ms = [estimates[number - 1].ms for number in chosen]
        source = _source_of([estimates[number - 1] for number in chosen])
        if objective.source == "measured":
            measured = [found.ms for number, found in self._measuring.of(asked.arch_id).items() if number in chosen]
            known = [one for one in measured if one is not None]
            ms, source = (known, "measured") if len(known) == len(ms) else (ms, source)
        return ObjectiveValue.of(objective, ms[0] if objective.device else outlook.combination.of_one(ms), source)

    def _latency_of_reward(self, asked: _Asked) -> float:
        """Return the latency that the reward takes: the objective's where there is one, all devices combined."""
        found = next((one for one in self._outlook.objectives if one.key == "latency"), None)
        value = self._value(asked, found).value if found else None
        return asked.predicted_ms if value is None else value

    def _note(self, generation: int, candidates: Sequence[Candidate], figures: dict[str, float]) -> float:
        done = [candidate.objectives for candidate in candidates if candidate.status == "done"]
        objectives = np.asarray(done, dtype=float).reshape(-1, len(self._goal.reference_point))
        volume = hypervolume(objectives, self._goal.reference_point)
        counts = {"evaluations": len(candidates), "hypervolume": volume, "front": len(front_indices(objectives))}
        payload: dict[str, Any] = {**counts, **({"learning": figures} if figures else {})}
        self._context.log.append("generation", payload, f"{generation}/{len(candidates)}")
        left_s = self._stopping.left_s(len(candidates), device_seconds(candidates))
        best = best_within(candidates, self._goal.target_ms)
        state = SearchState(generation, len(candidates), volume, payload["front"], best, left_s)
        self._context.reporter.line(progress_text(state))
        return volume


def _source_of(estimates: Sequence[LatencyEstimate]) -> str:
    """Return where a combined latency comes from; ``predicted`` as soon as a part of it is."""
    sources = [estimate.source for estimate in estimates]
    return "predicted" if "predicted" in sources else sources[0]


def _require_some(candidates: Sequence[Candidate], confidence: float) -> None:
    if not candidates and confidence:
        raise StudyError(
            "STU03",
            "no network was found that keeps to the target",
            value=f"with a probability of {confidence:g}",
            why="each device's own fastest network does, but perhaps no network does on all of them",
            fix="raise --target-ms, or lower --confidence",
        )
    if not any(candidate.status == "done" for candidate in candidates):
        raise StudyError(
            "STU03",
            "no candidate could be trained",
            value=candidates[0].reason if candidates else "no candidate",
            why="a front needs at least one accuracy",
            fix="see the reasons with: mnas study show",
        )
