"""The last stage: what to recommend is fixed by val and written down, and only then test is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np

from mnas.errors import StudyError, TrainingError
from search.accuracy.jobs import EvaluationJob
from search.candidate import Candidate
from search.context import StudyContext
from search.executors.executor import Outcome
from search.final_values import MeasuredFinalists
from search.finalists import trainings_of, weights_path
from search.goal import Goal
from search.pareto import front_indices
from search.seed_noise import are_tied, pooled_noise
from search.training.trainer import Evaluation


@dataclass(frozen=True, slots=True)
class Judged:
    """A finalist as val and the device see it.

    Attributes:
        arch_id: Its id.
        val_errors: One for each seed.
        ms: Measured latency.
        interval_ms: Its 95 % interval.
        values: Each objective as something to minimise; empty for mean val error and ``ms``.
    """

    arch_id: str
    val_errors: tuple[float, ...]
    ms: float
    interval_ms: tuple[float, float]
    values: tuple[float, ...] = ()

    @property
    def val_error(self) -> float:
        """Mean over the seeds."""
        return fmean(self.val_errors)

    @property
    def objectives(self) -> tuple[float, ...]:
        """What is minimised."""
        return self.values or (self.val_error, self.ms)


def seed_noise(finalists: Sequence[Judged]) -> float | None:
    """Return the SD of one training's val error, pooled over the finalists; ``None`` with a single seed."""
    return pooled_noise([one.val_errors for one in finalists])


def ties_of(finalists: Sequence[Judged]) -> list[tuple[str, str]]:
    """Return the pairs of neighbours by latency whose accuracies the seeds cannot tell apart."""
    noise = seed_noise(finalists)
    ordered = sorted(finalists, key=lambda one: one.ms)
    return [
        (first.arch_id, second.arch_id)
        for first, second in pairwise(ordered)
        if are_tied(first.val_errors, second.val_errors, noise)
    ]


def latency_ties_of(finalists: Sequence[Judged]) -> list[tuple[str, str]]:
    """Return the pairs of neighbours by latency whose intervals overlap."""
    ordered = sorted(finalists, key=lambda one: one.ms)
    return [
        (first.arch_id, second.arch_id)
        for first, second in pairwise(ordered)
        if first.interval_ms[1] >= second.interval_ms[0]
    ]


def recommend(context: StudyContext, finalists: Sequence[Candidate], goal: Goal) -> dict[str, Any]:
    """Fix what is recommended, by val error and measured latency alone, and write it to the store."""
    measured, judged = MeasuredFinalists(context.log, context.config), []
    for finalist in finalists:
        trainings = trainings_of(context, finalist)
        if context.log.payload("exported", finalist.arch_id) is None or not trainings:
            continue
        ms, interval = measured.ms(finalist.arch_id), measured.interval_ms(finalist.arch_id)
        if ms is not None and interval is not None:
            errors = tuple(one.errors["val"] for one in trainings.values())
            values = tuple(one.minimised for one in measured.values(finalist, errors))
            judged.append(Judged(finalist.arch_id, errors, ms, interval, values))
    objectives = np.asarray([one.objectives for one in judged]).reshape(-1, len(context.config.sought))
    within = [one for one in judged if (found := measured.estimate(one.arch_id)) and goal.is_met(found)]
    payload = {
        "members": [judged[i].arch_id for i in front_indices(objectives)],
        "finalists": {one.arch_id: asdict(one) for one in judged},
        "ties": [list(pair) for pair in ties_of(judged)],
        "latency_ties": [list(pair) for pair in latency_ties_of(judged)],
        "seed_noise": seed_noise(judged),
        "best_under_target": min(within, key=lambda one: (one.val_error, one.ms)).arch_id if within else None,
    }
    context.log.append("recommended", payload)
    return context.log.payload("recommended") or payload


def read_test(context: StudyContext, finalists: Sequence[Candidate]) -> None:
    """Evaluate every finalist on test, all seeds; the recommendation must stand in the store by then.

    Raises:
        StudyError: ``STU05``: nothing is recommended yet.
        TrainingError: ``TRN05``: an evaluation failed; resuming tries it again.
    """
    if context.log.payload("recommended") is None:
        raise StudyError(
            "STU05",
            "test may not be read yet",
            value=context.study_id,
            why="the recommended networks are fixed by val first, so that test chooses nothing",
            fix="resume the study",
        )
    todo = []
    for finalist in finalists:
        for repeat in trainings_of(context, finalist):
            key = f"{finalist.arch_id}/{repeat}"
            if context.log.payload("tested", key) is None:
                todo.append((key, _test_job(context, finalist, repeat)))

    def on_done(index: int, outcome: Outcome) -> None:
        key = todo[index][0]
        if not isinstance(outcome.value, Evaluation):
            raise TrainingError(
                "TRN05",
                "a finalist could not be tested",
                value=outcome.error_message,
                why=f"the test accuracy of {key[:12]} would be missing",
                fix="mend what the message says and go on with --resume",
            )
        context.log.append("tested", asdict(outcome.value), key)

    context.executor.map_in_order([job.as_job() for _, job in todo], on_done)


def _test_job(context: StudyContext, finalist: Candidate, repeat: int) -> EvaluationJob:
    return EvaluationJob(
        architecture_json=context.architecture(finalist.genome).to_json(),
        dataset_name=context.config.data,
        dataset_folder=context.config.data_dir or None,
        weights_path=str(weights_path(context.work, finalist.arch_id, repeat)),
        split="test",
        fingerprint=context.dataset.fingerprint,
    )
