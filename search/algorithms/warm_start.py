"""A search that begins with networks that somebody knows of, whatever the algorithm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mnas.space import Genome
from search.algorithms.algorithm import Algorithm, FloatArray, Learner


class WarmStarted:
    """Asks for the given networks first, then lets an algorithm go on, told of them with its own first generation.

    The first generation is the given networks and, where they are fewer than a generation, what the algorithm would
    have begun with. What it asks for later and is known by then is left out, so that nothing is asked twice.

    Args:
        algorithm: At its start.
        first: Canonical genomes; doubles count once.
        population: Networks of one generation.
    """

    def __init__(self, algorithm: Algorithm, first: Sequence[Genome], population: int) -> None:
        self._algorithm = algorithm
        self._first = list(dict.fromkeys(first))
        self._given = set(self._first)
        self._population = population
        self._is_begun = False

    @property
    def figures(self) -> Mapping[str, float]:
        """Those of the algorithm, where it has any."""
        return self._algorithm.figures if isinstance(self._algorithm, Learner) else {}

    def ask(self) -> list[Genome]:
        """Return the next generation."""
        if not self._is_begun:
            self._is_begun = True
            others = [genome for genome in self._algorithm.ask() if genome not in self._given]
            return self._first + others[: max(0, self._population - len(self._first))]
        # An algorithm asks for each network once, so that no more generations than these can come to nothing.
        for _ in range(len(self._first) + 1):
            asked = self._algorithm.ask()
            new = [genome for genome in asked if genome not in self._given]
            if new or not asked:
                return new
        return []

    def tell(self, genomes: Sequence[Genome], objectives: FloatArray) -> None:
        """Pass on objectives of genomes in ask order."""
        self._algorithm.tell(genomes, objectives)
