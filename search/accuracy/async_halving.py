"""Halving that does not wait: a network goes on as soon as what has ended by then says that it is worth it.

No worker idles at the end of a rung. What goes on depends on which training ends first, so a search with it does not
repeat its own record bit for bit: it is a choice, and not what ``halving`` does.

Source: Li et al., A system for massively parallel hyperparameter tuning (MLSys 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.accuracy.generation import Contender, OnEstimate, Told, settled
from search.accuracy.halving import RUNG, SuccessiveHalving, keep_rung
from search.accuracy.jobs import require_training
from search.events import Events
from search.executors.executor import Executor, Job, Outcome
from search.pareto import front_ranks


@dataclass(frozen=True, slots=True)
class AsyncHalving(SuccessiveHalving):
    """Successive halving whose promotions follow each result at once."""

    @property
    def name(self) -> str:
        """What the estimate's ``source`` says."""
        return "halving-async"

    def run_generation(
        self,
        contenders: Sequence[Contender],
        told: Sequence[Told],
        log: Events,
        executor: Executor,
        on_estimate: OnEstimate,
    ) -> None:
        """Estimate every contender that is not known; see `search.accuracy.generation.GenerationEstimator`."""
        run = _Generation(self, contenders, told, log)
        executor.map_in_order(run.jobs, run.on_done)
        for one in contenders:
            if not one.is_known:
                number, payload = run.last(one)
                self.tell(one, payload, number, run.cost_s(one), on_estimate)


class _Generation:
    """One generation under way.

    Attributes:
        jobs: Those of all rungs so far; it grows as networks go on.
    """

    def __init__(
        self, halving: AsyncHalving, contenders: Sequence[Contender], told: Sequence[Told], log: Events
    ) -> None:
        self._halving, self._log, self._contenders = halving, log, contenders
        self.jobs: list[Job] = []
        self._owners: list[tuple[Contender, int]] = []
        self._outcomes: dict[tuple[str, int], dict[int, Outcome]] = {}
        self._known = log.payloads(RUNG)
        self._pending = 0
        rungs = range(len(halving.rungs))
        own = {one.arch_id for one in contenders}
        earlier = sorted({one.arch_id for one in told} - own)
        keys = [[f"{arch_id}/{number}" for arch_id in earlier] for number in rungs]
        self._others = [[self._known[key] for key in of if "estimate" in self._known.get(key, {})] for of in keys]
        self._found: list[dict[str, dict[str, Any]]] = [{} for _ in rungs]
        for one in contenders:
            self._start(one, 0)
        self._promote()

    def last(self, one: Contender) -> tuple[int, dict[str, Any]]:
        """Return the highest rung that a contender reached, and what it came to there."""
        number = max(number for number, found in enumerate(self._found) if one.arch_id in found)
        return number, self._found[number][one.arch_id]

    def cost_s(self, one: Contender) -> float:
        """Return the CPU seconds of a contender on all its rungs."""
        rows = (found.get(one.arch_id, {}) for found in self._found)
        return float(sum(row["estimate"]["cost_s"] for row in rows if "estimate" in row))

    def on_done(self, index: int, outcome: Outcome) -> None:
        """Take an outcome in; once all of a network's are there, see who goes on.

        Raises:
            TrainingError: ``TRN05``: the job could not be run for a reason outside the network.
        """
        require_training(outcome)
        one, number = self._owners[index]
        parts = self._outcomes.setdefault((one.arch_id, number), {})
        parts[index] = outcome
        if len(parts) < self._owners.count((one, number)):
            return
        self._pending -= 1
        estimate = settled(self._halving.rungs[number], one.architecture, [parts[i] for i in sorted(parts)])
        self._found[number][one.arch_id] = keep_rung(self._log, one, number, estimate)
        self._promote()

    def _start(self, one: Contender, number: int) -> None:
        """Have a network trained on a rung, unless that is recorded, or under way, or its estimate stands already."""
        key = f"{one.arch_id}/{number}"
        if key in self._known:
            self._found[number][one.arch_id] = self._known[key]
        if (
            key in self._known
            or one.is_known
            or any(at == number and of.arch_id == one.arch_id for of, at in self._owners)
        ):
            return
        own = self._halving.rungs[number].jobs(one.architecture)
        self._owners += [(one, number)] * len(own)
        self._pending += 1
        self.jobs += own

    def _promote(self) -> None:
        """Start whoever is worth it by now, from the lowest rung up."""
        for number in range(len(self._halving.rungs) - 1):
            started = {one.arch_id for one, at in self._owners if at > number} | set(self._found[number + 1])
            for one in self._worth_it(number):
                if one.arch_id not in started:
                    self._start(one, number + 1)

    def _worth_it(self, number: int) -> list[Contender]:
        """Return who is in the best part of a rung: by rank in (loss, latency), then by loss."""
        found = self._found[number]
        own = [one for one in self._contenders if "estimate" in found.get(one.arch_id, {})]
        rows = [found[one.arch_id] for one in own] + self._others[number]
        if not own:
            return []
        values = np.asarray([(row["estimate"]["loss"], row["predicted_ms"]) for row in rows], dtype=float)
        ranks = front_ranks(values)
        order = sorted(range(len(rows)), key=lambda i: (ranks[i], values[i, 0], i))
        best = [own[i] for i in order[: len(rows) // self._halving.eta] if i < len(own)]
        if best or self._pending:
            return best
        return [own[next(i for i in order if i < len(own))]]  # a generation never ends on a rung without a winner
