"""NSGA-II on pymoo's ask / tell, with offspring chosen by their latency, which costs nothing to know.

Operators: uniform crossover and polynomial mutation (eta 3) rounded to choices, which did best of the plain ones on
an exact table. Source: Deb et al. 2002 (NSGA-II); Blank and Deb 2020 (pymoo).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.core.termination import NoTermination
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PM

from mnas.space import Genome
from search.algorithms.algorithm import FloatArray, GenomeSpace, LatencyOf
from search.algorithms.random_search import draw_new
from search.algorithms.setting import SearchSetting
from search.algorithms.spread import spread_by_latency

_MUTATION_ETA = 3.0


class _CanonicalRepair(Repair):  # type: ignore[misc]
    """Rounds to choices and makes genomes canonical, so that equal networks are equal rows."""

    def __init__(self, space: GenomeSpace) -> None:
        super().__init__()
        self._space = space

    def _do(self, problem: Problem, X: npt.NDArray[Any], **kwargs: Any) -> npt.NDArray[np.int64]:
        top = np.asarray(self._space.cardinalities) - 1
        choices = np.clip(np.rint(X.astype(float)), 0, top).astype(int)
        return np.asarray([self._space.canonical(tuple(int(gene) for gene in row)) for row in choices])


class Nsga2Search:
    """NSGA-II over (error, latency).

    Each generation looks at ``oversample`` times as many new networks as it returns and returns those that spread
    best over latency; the first generation does so with uniform draws.

    Args:
        space: The space.
        rng: Its own stream.
        population: Networks of one generation, and of the surviving population.
        oversample: Networks looked at for each one returned.
        latency_of: Latencies of genomes.
    """

    def __init__(
        self, space: GenomeSpace, rng: np.random.Generator, population: int, oversample: int, latency_of: LatencyOf
    ) -> None:
        self._space = space
        self._rng = rng
        self._population = population
        self._pool_size = population * oversample
        self._latency_of = latency_of
        self._seen: set[Genome] = set()
        self._engine: NSGA2 | None = None

    def _start(self, first: list[Genome]) -> NSGA2:
        top = np.asarray(self._space.cardinalities) - 1
        problem = Problem(n_var=len(top), n_obj=2, xl=0, xu=top, vtype=int)
        engine = NSGA2(
            pop_size=self._population,
            n_offsprings=self._pool_size,
            sampling=np.asarray(first),
            crossover=UX(),
            mutation=PM(eta=_MUTATION_ETA),
            repair=_CanonicalRepair(self._space),
            eliminate_duplicates=True,
        )
        engine.setup(problem, termination=NoTermination(), seed=int(self._rng.integers(2**31)))
        return engine

    def ask(self) -> list[Genome]:
        """Return the next generation; uniform draws fill up where mating finds too little that is new."""
        if self._engine is None:
            pool = draw_new(self._space, self._rng, self._pool_size, self._seen)
        else:
            offspring = self._engine.ask()
            rows = [] if offspring is None else offspring.get("X")
            mated = dict.fromkeys(tuple(int(gene) for gene in row) for row in rows)
            pool = [genome for genome in mated if genome not in self._seen]
            lacking = self._population - len(pool)
            if lacking > 0:
                pool += draw_new(self._space, self._rng, lacking, self._seen | set(pool))
        if not pool:
            return []
        chosen = [pool[i] for i in spread_by_latency(self._latency_of(pool), self._population, self._rng)]
        if self._engine is None:
            self._engine = self._start(chosen)
            self._engine.ask()
        self._seen.update(chosen)
        return chosen

    def tell(self, genomes: Sequence[Genome], objectives: FloatArray) -> None:
        """Take error and latency of genomes in ask order."""
        assert self._engine is not None, "tell comes after ask"
        if len(genomes):
            self._engine.tell(infills=Population.new(X=np.asarray(genomes), F=np.asarray(objectives)))


def from_setting(setting: SearchSetting) -> Nsga2Search:
    """Return the algorithm as a study wants it."""
    return Nsga2Search(setting.space, setting.rng, setting.population, setting.oversample, setting.latency_of)
