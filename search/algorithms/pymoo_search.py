"""An evolution of pymoo behind the ask / tell protocol, with operators made for genomes.

Crossover exchanges whole stages, whole blocks or single genes; mutation steps along a gene's choices; repair makes
genomes canonical; nothing is asked twice. Source: Blank and Deb 2020 (pymoo).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence, Set
from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.core.termination import NoTermination

from mnas.space import Genome
from search.algorithms.algorithm import FloatArray, GenomeSpace, LatencyOf
from search.algorithms.cheap_ends import cheap_ends
from search.algorithms.mutation import gene_groups, mutate_genes, mutation_rate
from search.algorithms.random_search import draw_new
from search.algorithms.spread import spread_by_latency

_CHANGES = 0.5
_MATINGS = 20
Engine = Any
"""An algorithm of pymoo, which has no types."""


class BlockCrossover(Crossover):  # type: ignore[misc]
    """Exchanges groups of genes between two parents, each with probability 1/2; the level is drawn for each pair."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(2, 2)
        self._groups = gene_groups(names)

    def _do(
        self, problem: Problem, X: npt.NDArray[Any], *args: Any, random_state: np.random.Generator, **kwargs: Any
    ) -> npt.NDArray[Any]:
        _, pairs, genes = X.shape
        groups = self._groups[random_state.integers(len(self._groups), size=pairs)]
        swap = np.take_along_axis(random_state.random((pairs, genes)) < 0.5, groups, axis=1)
        return np.stack([np.where(swap, X[1], X[0]), np.where(swap, X[0], X[1])])


class OrdinalMutation(Mutation):  # type: ignore[misc]
    """Changes a gene of every other child on average; see `search.algorithms.mutation.mutate_genes`."""

    def __init__(self, cardinalities: Sequence[int]) -> None:
        super().__init__()
        self._cardinalities = cardinalities

    def _do(
        self, problem: Problem, X: npt.NDArray[Any], *args: Any, random_state: np.random.Generator, **kwargs: Any
    ) -> npt.NDArray[np.int64]:
        chosen = random_state.random(X.shape) < mutation_rate(self._cardinalities, _CHANGES)
        return mutate_genes(X, self._cardinalities, chosen, random_state)


class CanonicalRepair(Repair):  # type: ignore[misc]
    """Makes genomes canonical, so that equal networks are equal rows.

    Args:
        space: The space.
        known: Canonical genomes, which need no second look; may grow.
    """

    def __init__(self, space: GenomeSpace, known: Set[Genome] = frozenset()) -> None:
        super().__init__()
        self._space = space
        self._known = known

    def _do(self, problem: Problem, X: npt.NDArray[Any], **kwargs: Any) -> npt.NDArray[np.int64]:
        genomes = [tuple(row) for row in X.tolist()]
        return np.asarray(
            [one if one in self._known else self._space.canonical(one) for one in genomes], dtype=np.int64
        )


class NewGenomes(DuplicateElimination):  # type: ignore[misc]
    """Keeps what was never asked for, each once.

    Args:
        seen: What was asked for; grows while the search goes on.
    """

    def __init__(self, seen: set[Genome]) -> None:
        super().__init__()
        self._seen = seen

    def _do(self, pop: Any, other: Any, is_duplicate: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        known = set() if other is None else {tuple(row) for row in np.asarray(other.get("X")).tolist()}
        for place, row in enumerate(np.asarray(pop.get("X")).tolist()):
            genome = tuple(row)
            is_duplicate[place] = is_duplicate[place] or genome in known or (other is None and genome in self._seen)
            known.add(genome)
        return is_duplicate


class PymooSearch:
    """Generations of an evolution; of many offspring, those that spread best over the cheap objective are asked for.

    The first generation holds both ends of the cheap objective and uniform draws.

    Args:
        space: The space.
        rng: Its own stream.
        population: Networks of one generation.
        oversample: Networks looked at for each one returned.
        latency_of: The cheap objective.
        objectives: How many there are.
        make_engine: Makes the algorithm of pymoo from the keywords that all of them share.
    """

    def __init__(
        self,
        space: GenomeSpace,
        rng: np.random.Generator,
        population: int,
        oversample: int,
        latency_of: LatencyOf,
        objectives: int,
        make_engine: Callable[..., Engine],
    ) -> None:
        self._space = space
        self._rng = rng
        self._population = population
        self._pool_size = population * oversample
        self._latency_of = latency_of
        self._objectives = objectives
        self._make_engine = make_engine
        self._seen: set[Genome] = set()
        self._engine: Engine = None

    def ask(self) -> list[Genome]:
        """Return the next generation; uniform draws fill up where mating finds too little that is new."""
        pool = self._first_pool() if self._engine is None else self._mated()
        if not pool:
            return []
        kept = spread_by_latency(self._latency_of(pool), self._population, self._rng)
        chosen = [pool[place] for place in kept]
        if self._engine is None:
            self._engine = self._start(chosen)
        self._seen.update(chosen)
        return chosen

    def tell(self, genomes: Sequence[Genome], objectives: FloatArray) -> None:
        """Take the objectives of genomes in ask order."""
        assert self._engine is not None, "tell comes after ask"
        if len(genomes):
            with warnings.catch_warnings():
                # pymoo switches warnings off for good where a hyperplane cannot be fitted.
                warnings.simplefilter("ignore")
                self._engine.tell(infills=Population.new(X=np.asarray(genomes), F=np.asarray(objectives)))

    def _first_pool(self) -> list[Genome]:
        ends = cheap_ends(self._space, self._rng, self._latency_of)
        return ends + draw_new(self._space, self._rng, self._pool_size - len(ends), set(ends))

    def _mated(self) -> list[Genome]:
        offspring = self._engine.ask()
        rows = [] if offspring is None else np.asarray(offspring.get("X")).tolist()
        pool = [genome for row in rows if (genome := tuple(row)) not in self._seen]
        lacking = self._population - len(pool)
        if lacking > 0:
            pool += draw_new(self._space, self._rng, lacking, self._seen | set(pool))
        return pool

    def _start(self, first: list[Genome]) -> Engine:
        top = np.asarray(self._space.cardinalities) - 1
        engine = self._make_engine(
            n_offsprings=self._pool_size,
            sampling=np.asarray(first),
            crossover=BlockCrossover(self._space.gene_names),
            mutation=OrdinalMutation(self._space.cardinalities),
            repair=CanonicalRepair(self._space, self._seen),
            eliminate_duplicates=NewGenomes(self._seen),
        )
        problem = Problem(n_var=len(top), n_obj=self._objectives, xl=0, xu=top, vtype=int)
        engine.setup(problem, termination=NoTermination(), seed=int(self._rng.integers(2**31)))
        # Draws fill up what mating does not find; a space that is nearly spent would else cost a hundred matings.
        engine.mating.n_max_iterations = _MATINGS
        engine.ask()
        return engine
