"""Walks over an exact table: which networks a search tries, in what order, and what they come to."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mnas.jsonio import sha256_text
from mnas.seeding import named_rng
from mnas.space import Genome
from search.algorithms.registry import algorithm_module, open_algorithm
from search.algorithms.setting import SearchSetting
from search.pareto import hypervolume
from search.tabular import TabularProblem

_TRIES = 50
_MEDIAN_OF = 200


@dataclass(frozen=True)
class Walk:
    """A search's distinct networks in the order in which they were evaluated.

    Attributes:
        genomes: The networks.
        seconds: Spent by the search itself, in ask and tell.
    """

    genomes: Sequence[Genome]
    seconds: float


class Judge:
    """Says what walks over a table come to.

    Args:
        problem: The table.
        reference_point: Minimised; the worst of each objective when empty.
    """

    def __init__(self, problem: TabularProblem, reference_point: Sequence[float] = ()) -> None:
        self.problem = problem
        self.reference_point = tuple(reference_point) or problem.reference_point()
        self._front = {tuple(point) for point in problem.true_front().tolist()}

    @cached_property
    def volume(self) -> float:
        """Hypervolume of the whole table."""
        return hypervolume(self.problem.true_front(), self.reference_point)

    @property
    def front_points(self) -> int:
        """Distinct points of the whole table's front."""
        return len(self._front)

    def scores(self, walk: Walk, checkpoints: Sequence[int]) -> dict[str, dict[str, float]]:
        """Return the shares of hypervolume and of front points after so many evaluations, as far as the walk goes."""
        values = self.problem.minimised(walk.genomes)
        found = {}
        for count in checkpoints:
            if count <= len(values):
                points = {tuple(point) for point in values[:count].tolist()}
                found[str(count)] = {
                    "share": hypervolume(values[:count], self.reference_point) / self.volume,
                    "front": len(points & self._front) / self.front_points,
                }
        return found


def registered_walk(
    name: str, problem: TabularProblem, setting: Mapping[str, Any], seed: int, evaluations: int
) -> Walk:
    """Walk with a registered algorithm; a reward's target is the median of the cheap objective over draws."""
    rng = named_rng(seed, "median of the cheap objective")
    target = float(np.median(problem.cheap([problem.draw(rng) for _ in range(_MEDIAN_OF)])))
    algorithm = open_algorithm(
        name,
        SearchSetting(
            space=problem,
            rng=named_rng(seed, "algorithm", name),
            latency_of=problem.cheap,
            objectives=len(problem.objectives),
            target_ms=target if target > 0 else None,
            **setting,
        ),
    )
    walk: list[Genome] = []
    started = time.perf_counter()
    while len(walk) < evaluations:
        genomes = algorithm.ask()
        if not genomes:
            break
        algorithm.tell(genomes, problem.minimised(genomes))
        walk += genomes
    if len(set(walk)) < len(walk):
        raise SystemExit(f"{name} asked for a network twice")
    return Walk(walk[:evaluations], time.perf_counter() - started)


def pymoo_walk(problem: TabularProblem, population: int, seed: int, evaluations: int) -> Walk:
    """Walk with pymoo's own NSGA-II: uniform crossover, polynomial mutation (eta 3) rounded, duplicates eliminated."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.population import Population
    from pymoo.core.problem import Problem
    from pymoo.core.termination import NoTermination
    from pymoo.operators.crossover.ux import UX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling

    top = np.asarray(problem.cardinalities) - 1
    engine = NSGA2(
        pop_size=population,
        sampling=IntegerRandomSampling(),
        crossover=UX(repair=RoundingRepair()),
        mutation=PM(eta=3, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    shape = Problem(n_var=len(top), n_obj=len(problem.objectives), xl=0, xu=top, vtype=int)
    engine.setup(shape, termination=NoTermination(), seed=seed)
    walk: dict[Genome, None] = {}
    started = time.perf_counter()
    # Duplicates within the population are its only memory: it may never find a small table's last networks.
    for _ in range(_TRIES * min(evaluations, problem.size()) // population):
        offspring = engine.ask()
        if offspring is None or len(walk) >= evaluations:
            break
        rows = np.rint(np.asarray(offspring.get("X"), dtype=float)).astype(int)
        genomes = [problem.canonical(tuple(row)) for row in rows.tolist()]
        walk.update(dict.fromkeys(genomes))
        engine.tell(infills=Population.new(X=rows, F=problem.minimised(genomes)))
    return Walk(list(walk)[:evaluations], time.perf_counter() - started)


def code_of(name: str) -> str:
    """Return a hash of an algorithm's module and of all those beside it that it imports, one through another."""
    waiting, texts = [algorithm_module(name)], dict[str, str]()
    while waiting:
        module = waiting.pop()
        spec = find_spec(module)
        if module in texts or spec is None or spec.origin is None:
            continue
        texts[module] = Path(spec.origin).read_text(encoding="utf-8")
        waiting += re.findall(r"^from (search\.[\w.]+) import", texts[module], flags=re.MULTILINE)
    return sha256_text("\n".join(text for _, text in sorted(texts.items())))[:12]
