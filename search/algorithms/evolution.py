"""Regularised evolution: the best of a sample has a child, the oldest dies; directions of search are drawn anew.

Source: Real et al. 2019 (arXiv 1802.01548); several objectives by Chebyshev's distance with random weights
(Knowles 2006).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from mnas.space import Genome
from search.algorithms.algorithm import FloatArray, GenomeSpace, LatencyOf
from search.algorithms.cheap_ends import cheap_ends
from search.algorithms.mutation import mutate_genes
from search.algorithms.random_search import draw_new
from search.algorithms.setting import SearchSetting
from search.algorithms.spread import spread_by_latency

_TRIES_PER_CHILD = 30
_AGED_GENERATIONS = 4
_SAMPLE_SHARE = 0.25
_FIRST_POOL = 16


class RegularisedEvolution:
    """Keeps the networks told last, and asks for children of those that win tournaments among them.

    The first generation spreads over the cheap objective. For each child, weights of the objectives are drawn, a
    quarter of the living takes part, and the least of ``max(weight x objective)`` wins, objectives scaled to 0..1 by
    the range among the living. A child differs by one gene, or by more where those are known already.

    Args:
        space: The space.
        rng: Its own stream.
        population: Networks of one generation; four times as many live.
        latency_of: The cheap objective.
    """

    def __init__(self, space: GenomeSpace, rng: np.random.Generator, population: int, latency_of: LatencyOf) -> None:
        self._space = space
        self._rng = rng
        self._population = population
        self._latency_of = latency_of
        self._seen: set[Genome] = set()
        self._living: deque[tuple[Genome, FloatArray]] = deque(maxlen=_AGED_GENERATIONS * population)

    def ask(self) -> list[Genome]:
        """Return the next children; uniform draws fill up where tournaments find too little that is new."""
        if not self._seen:
            chosen = self._first()
        else:
            chosen = self._children() if self._living else []
            chosen += draw_new(self._space, self._rng, self._population - len(chosen), self._seen | set(chosen))
        self._seen.update(chosen)
        return chosen

    def tell(self, genomes: Sequence[Genome], objectives: FloatArray) -> None:
        """Take objectives of genomes in ask order; the oldest make room."""
        self._living.extend(zip(genomes, np.asarray(objectives, dtype=float), strict=True))

    def _first(self) -> list[Genome]:
        ends = cheap_ends(self._space, self._rng, self._latency_of)
        pool = ends + draw_new(self._space, self._rng, self._population * _FIRST_POOL - len(ends), set(ends))
        if not pool:
            return []
        return [pool[place] for place in spread_by_latency(self._latency_of(pool), self._population, self._rng)]

    def _children(self) -> list[Genome]:
        values = np.stack([row for _, row in self._living])
        low = values.min(axis=0)
        scaled = (values - low) / np.maximum(values.max(axis=0) - low, 1e-12)
        found: dict[Genome, None] = {}
        for _ in range(self._population):
            child = self._child(scaled, found)
            if child is not None:
                found.setdefault(child)
        return list(found)

    def _child(self, scaled: FloatArray, found: dict[Genome, None]) -> Genome | None:
        count = len(scaled)
        for attempt in range(_TRIES_PER_CHILD):
            weights = self._rng.dirichlet(np.ones(scaled.shape[1]))
            sample = self._rng.permutation(count)[: max(2, round(_SAMPLE_SHARE * count))]
            winner = sample[int(np.argmin((weights * scaled[sample]).max(axis=1)))]
            child = self._mutated(self._living[int(winner)][0], changes=1 + attempt // 10)
            if child not in self._seen and child not in found:
                return child
        return None

    def _mutated(self, genome: Genome, changes: int) -> Genome:
        free = np.flatnonzero(np.asarray(self._space.cardinalities) > 1)
        chosen = np.zeros((1, len(genome)), dtype=bool)
        chosen[0, self._rng.permutation(free)[:changes]] = True
        changed = mutate_genes(np.asarray([genome]), self._space.cardinalities, chosen, self._rng)
        return self._space.canonical(tuple(int(gene) for gene in changed[0]))


def from_setting(setting: SearchSetting) -> RegularisedEvolution:
    """Return the algorithm as a study wants it."""
    return RegularisedEvolution(setting.space, setting.rng, setting.population, setting.latency_of)
