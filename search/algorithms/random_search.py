"""Random search, the baseline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnas.space import Genome
from search.algorithms.algorithm import FloatArray, GenomeSpace
from search.algorithms.setting import SearchSetting

_TRIES_PER_GENOME = 50


def draw_new(space: GenomeSpace, rng: np.random.Generator, count: int, seen: set[Genome]) -> list[Genome]:
    """Draw up to ``count`` distinct genomes that are not in ``seen``; fewer when the space runs dry."""
    found: dict[Genome, None] = {}
    for _ in range(count * _TRIES_PER_GENOME):
        if len(found) == count:
            break
        genome = space.draw(rng)
        if genome not in seen:
            found.setdefault(genome)
    return list(found)


class RandomSearch:
    """Draws every gene uniformly and never twice the same network; latency plays no part.

    Args:
        space: The space.
        rng: Its own stream.
        population: Genomes of one generation.
    """

    def __init__(self, space: GenomeSpace, rng: np.random.Generator, population: int) -> None:
        self._space = space
        self._rng = rng
        self._population = population
        self._seen: set[Genome] = set()

    def ask(self) -> list[Genome]:
        """Return the next genomes."""
        genomes = draw_new(self._space, self._rng, self._population, self._seen)
        self._seen.update(genomes)
        return genomes

    def tell(self, genomes: Sequence[Genome], objectives: FloatArray) -> None:
        """Random search learns nothing."""


def from_setting(setting: SearchSetting) -> RandomSearch:
    """Return the algorithm as a study wants it."""
    return RandomSearch(setting.space, setting.rng, setting.population)
