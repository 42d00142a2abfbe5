"""Successive halving: a generation is trained shortly, and only what looks worth it longer.

Source: Jamieson and Talwalkar, Non-stochastic best arm identification and hyperparameter optimization (AISTATS 2016);
the promotion by non-dominated rank is ours, since a front is sought and not one best network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnas.architecture import Architecture
from mnas.errors import ConfigError, TrainingError
from search.accuracy.estimator import AccuracyEstimate
from search.accuracy.generation import Contender, OnEstimate, Told, estimate_each
from search.accuracy.proxy import ProxyTraining
from search.events import Events
from search.executors.executor import Executor, Job, Outcome
from search.pareto import front_ranks

RUNG = "rung"
"""Kind of the events that hold what a rung came to, keyed ``arch_id/rung``."""

_LEAST_BATCHES = 4


@dataclass(frozen=True, slots=True)
class SuccessiveHalving:
    """Trains a generation on rising rungs; of each rung, one in ``eta`` goes on to the next.

    A network that is stopped keeps its estimate of the rung it reached, marked by that rung's fidelity: it was trained
    for a shorter time than others, so its error is too high rather than too low.

    Attributes:
        rungs: From the cheapest to full proxy training.
        eta: What is kept of a rung: one in so many, at least one.
    """

    rungs: tuple[ProxyTraining, ...]
    eta: int = 3

    @property
    def name(self) -> str:
        """What the estimate's ``source`` says."""
        return "halving"

    @property
    def fidelity(self) -> str:
        """Of all rungs, and how many networks each keeps."""
        return f"eta{self.eta}:" + "|".join(rung.fidelity for rung in self.rungs)

    def jobs(self, architecture: Architecture) -> tuple[Job, ...]:
        """Return the trainings of the last rung: a network on its own wins every comparison."""
        return self.rungs[-1].jobs(architecture)

    def estimate(self, architecture: Architecture, outcomes: Sequence[Outcome]) -> AccuracyEstimate:
        """Return the last rung's estimate.

        Raises:
            TrainingError: As `ProxyTraining.estimate`.
        """
        found = self.rungs[-1].estimate(architecture, outcomes)
        return replace(found, source=self.name, fidelity=self.fidelity)

    def run_generation(
        self,
        contenders: Sequence[Contender],
        told: Sequence[Told],
        log: Events,
        executor: Executor,
        on_estimate: OnEstimate,
    ) -> None:
        """Estimate every contender that is not known; see `search.accuracy.generation.GenerationEstimator`."""
        alive, spent = list(contenders), dict.fromkeys((one.arch_id for one in contenders), 0.0)
        for number in range(len(self.rungs)):
            found = self._rung(number, alive, log, executor)
            failed = [one for one in alive if "estimate" not in found[one.arch_id]]
            alive = [one for one in alive if one not in failed]
            for one in alive:
                spent[one.arch_id] += found[one.arch_id]["estimate"]["cost_s"]
            kept = self._kept(number, alive, found, told, log)
            for one in failed:
                self.tell(one, found[one.arch_id], number, 0.0, on_estimate)
            for one in alive:
                if one not in kept:
                    self.tell(one, found[one.arch_id], number, spent[one.arch_id], on_estimate)
            alive = kept

    def _rung(
        self, number: int, alive: Sequence[Contender], log: Events, executor: Executor
    ) -> dict[str, dict[str, Any]]:
        """Return what a rung came to for each contender, from the log or by training."""
        known = log.payloads(RUNG)
        found = {one.arch_id: known[key] for one in alive if (key := f"{one.arch_id}/{number}") in known}

        def keep(one: Contender, estimate: AccuracyEstimate | TrainingError) -> None:
            found[one.arch_id] = keep_rung(log, one, number, estimate)

        estimate_each(self.rungs[number], [one for one in alive if one.arch_id not in found], executor, keep)
        return found

    def _kept(
        self,
        number: int,
        alive: Sequence[Contender],
        found: dict[str, dict[str, Any]],
        told: Sequence[Told],
        log: Events,
    ) -> list[Contender]:
        """Return who goes on, in ask order: the best of the generation among all that this rung has seen by then."""
        if number == len(self.rungs) - 1 or not alive:
            return []
        earlier, known = {one.arch_id for one in told}, log.payloads(RUNG)
        keys = (f"{arch_id}/{number}" for arch_id in sorted(earlier))
        others = [known[key] for key in keys if "estimate" in known.get(key, {})]
        chosen = promoted([found[one.arch_id] for one in alive], others, max(1, len(alive) // self.eta))
        return [alive[i] for i in chosen]

    def tell(
        self, one: Contender, payload: dict[str, Any], number: int, cost_s: float, on_estimate: OnEstimate
    ) -> None:
        """Tell of a contender that goes no further than a rung, unless it is known.

        Args:
            one: The contender.
            payload: Of `keep_rung`.
            number: Of the rung.
            cost_s: CPU seconds on all its rungs.
            on_estimate: Who is told.
        """
        if one.is_known:
            return
        if "failure" in payload:
            code, what, value, why, fix = payload["failure"]
            on_estimate(one, TrainingError(code, what, value=value, why=why, fix=fix))
            return
        estimate = AccuracyEstimate.from_json(payload["estimate"])
        is_last = number == len(self.rungs) - 1
        fidelity = self.fidelity if is_last else f"rung {number + 1} of {len(self.rungs)}:{estimate.fidelity}"
        on_estimate(one, replace(estimate, source=self.name, fidelity=fidelity, cost_s=cost_s))


def keep_rung(log: Events, one: Contender, number: int, estimate: AccuracyEstimate | TrainingError) -> dict[str, Any]:
    """Record and return what a rung came to for a network."""
    payload: dict[str, Any] = {"number": one.number, "predicted_ms": one.predicted_ms}
    if isinstance(estimate, TrainingError):
        payload["failure"] = [estimate.code, estimate.what, str(estimate.value), estimate.why, estimate.fix]
    else:
        payload["estimate"] = estimate.to_json()
    log.append(RUNG, payload, f"{one.arch_id}/{number}")
    return payload


def promoted(own: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]], count: int) -> list[int]:
    """Return which of a generation go on, ascending: by non-dominated rank in (loss, latency), then by loss.

    Args:
        own: The generation's results on the rung, in ask order.
        others: Those of earlier generations on the same rung; they take part in the ranks and are not chosen.
        count: How many go on.
    """
    rows = np.asarray([(one["estimate"]["loss"], one["predicted_ms"]) for one in (*own, *others)], dtype=float)
    ranks = front_ranks(rows)
    order = sorted(range(len(own)), key=lambda i: (ranks[i], rows[i, 0], i))
    return sorted(order[:count])


def rungs_of(proxy: ProxyTraining, eta: int, count: int, train_size: int) -> tuple[ProxyTraining, ...]:
    """Return ``count`` rungs up to a proxy: each trains on ``1 / eta`` of the next one's epochs, or else images.

    Epochs are divided as long as they stay whole; then the images are, so that every rung has a schedule of its own
    that anneals its learning rate to the end.

    Args:
        proxy: Full proxy training.
        eta: 2 or more.
        count: 1 or more.
        train_size: Images of the training split, for schedules that take all of them.

    Raises:
        ConfigError: ``CFG50``: so many rungs leave too few images to train on.
    """
    rungs = [proxy]
    while len(rungs) < count:
        schedule = rungs[0].schedule
        if schedule.epochs % eta == 0:
            schedule = replace(schedule, epochs=schedule.epochs // eta)
        else:
            schedule = replace(schedule, train_images=(schedule.train_images or train_size) // eta)
        if (schedule.train_images or train_size) < _LEAST_BATCHES * schedule.batch_size:
            raise ConfigError(
                "CFG50",
                "there are too many rungs for this training",
                value=f"{count} rungs of {proxy.schedule.train_images} images x {proxy.schedule.epochs} epochs",
                why=f"the lowest would train on {schedule.train_images} images, {_LEAST_BATCHES} batches are the least",
                fix="use fewer rungs, more images or more epochs",
            )
        rungs.insert(0, replace(rungs[0], schedule=schedule))
    return tuple(rungs)
