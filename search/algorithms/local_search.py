"""Pareto-archive local search: one-gene neighbours of the networks that nothing dominates.

It begins at both ends of the cheap objective, so that the front is grown from its two ends towards the middle.
Source: Paquete, Chiarandini and Stuetzle 2004 (Pareto local search); Knowles and Corne 2000 (archives).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnas.space import Genome
from search.algorithms.algorithm import FloatArray, GenomeSpace, LatencyOf
from search.algorithms.archive import FrontArchive
from search.algorithms.cheap_ends import cheap_ends
from search.algorithms.random_search import draw_new
from search.algorithms.setting import SearchSetting

_DISTANT_TRIES = 20


class LocalSearch:
    """Asks for neighbours of the archive's members, each member in its turn.

    A member's neighbours come in random order. Where no member has one left that is new, networks two genes and more
    away from members follow, then uniform draws.

    Args:
        space: The space.
        rng: Its own stream.
        population: Networks of one generation.
        latency_of: The cheap objective.
    """

    def __init__(self, space: GenomeSpace, rng: np.random.Generator, population: int, latency_of: LatencyOf) -> None:
        self._space = space
        self._rng = rng
        self._population = population
        self._latency_of = latency_of
        self._seen: set[Genome] = set()
        self._archive = FrontArchive()
        self._left: dict[Genome, list[Genome]] = {}
        self._asked_of: dict[Genome, int] = {}

    def ask(self) -> list[Genome]:
        """Return the next neighbours; the first generation has both ends of the space and neighbours of these."""
        members = self._archive.genomes
        chosen: list[Genome] = []
        if not self._seen:
            members = cheap_ends(self._space, self._rng, self._latency_of)
            chosen = members[: self._population]
            self._seen.update(chosen)
        while len(chosen) < self._population:
            genome = self._next_neighbour(members)
            if genome is None:
                break
            chosen.append(genome)
            self._seen.add(genome)
        chosen += self._distant(members, self._population - len(chosen))
        chosen += draw_new(self._space, self._rng, self._population - len(chosen), self._seen)
        self._seen.update(chosen)
        return chosen

    def tell(self, genomes: Sequence[Genome], objectives: FloatArray) -> None:
        """Take objectives of genomes in ask order."""
        self._archive.add(genomes, objectives)

    def _next_neighbour(self, members: Sequence[Genome]) -> Genome | None:
        """Return a new neighbour of the member that was asked the least, drawn among equals."""
        open_members = list(members)
        while open_members:
            asked = np.asarray([self._asked_of.get(member, 0) for member in open_members])
            least = np.flatnonzero(asked == asked.min())
            member = open_members[int(self._rng.choice(least))]
            left = self._neighbours(member)
            while left:
                genome = left.pop()
                if genome not in self._seen:
                    self._asked_of[member] = self._asked_of.get(member, 0) + 1
                    return genome
            open_members.remove(member)
        return None

    def _neighbours(self, member: Genome) -> list[Genome]:
        """Return what is left of a member's one-gene neighbours, in the order drawn when it was first looked at."""
        if member not in self._left:
            found = dict.fromkeys(
                self._space.canonical((*member[:gene], choice, *member[gene + 1 :]))
                for gene, count in enumerate(self._space.cardinalities)
                for choice in range(count)
                if choice != member[gene]
            )
            ordered = list(found)
            self._left[member] = [ordered[int(i)] for i in self._rng.permutation(len(ordered))]
        return self._left[member]

    def _distant(self, members: Sequence[Genome], count: int) -> list[Genome]:
        """Return up to ``count`` new genomes two genes or more away from members."""
        found: dict[Genome, None] = {}
        top = np.asarray(self._space.cardinalities)
        for attempt in range(count * _DISTANT_TRIES if members else 0):
            if len(found) == count:
                break
            genes = list(members[int(self._rng.integers(len(members)))])
            changes = min(2 + attempt // count, len(genes))
            for gene in self._rng.permutation(len(genes))[:changes]:
                genes[gene] = int(self._rng.integers(top[gene]))
            genome = self._space.canonical(tuple(genes))
            if genome not in self._seen:
                found.setdefault(genome)
        self._seen.update(found)
        return list(found)


def from_setting(setting: SearchSetting) -> LocalSearch:
    """Return the algorithm as a study wants it."""
    return LocalSearch(setting.space, setting.rng, setting.population, setting.latency_of)
