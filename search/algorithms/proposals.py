"""Where candidates come from: networks across all latencies, offspring of good ones, and neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnas.space import Genome
from search.algorithms.algorithm import GenomeSpace, LatencyOf
from search.algorithms.cheap_ends import cheap_ends
from search.algorithms.mutation import IntArray, mutate_genes, mutation_rate
from search.algorithms.random_search import draw_new

_TRIES_PER_GENOME = 3
_SHARE_MATED = 0.5
_SHARE_MUCH_MUTATED = 0.3
_MUCH = 3.0
_REACH = 0.1


class Proposals:
    """Makes canonical networks that were not asked for yet; latency costs nothing to know.

    Args:
        space: The space.
        rng: Draws.
        latency_of: Latencies of genomes.
    """

    def __init__(self, space: GenomeSpace, rng: np.random.Generator, latency_of: LatencyOf) -> None:
        self._space = space
        self._rng = rng
        self._latency_of = latency_of
        self._ends: list[Genome] = []

    def ends(self) -> list[Genome]:
        """Return the fastest and the slowest network that are easily found; they are looked for once."""
        if not self._ends:
            self._ends = cheap_ends(self._space, self._rng, self._latency_of)
        return self._ends

    def across(self, count: int, seen: set[Genome]) -> list[Genome]:
        """Return up to ``count`` new networks over the whole range of latency.

        Each takes a share of its genes, drawn anew for each, from the fast or from the slow end and the others
        uniformly: uniform draws alone crowd about the middle, the more so the more genes there are.
        """
        rng, ends = self._rng, np.asarray(self.ends())
        tries = count * _TRIES_PER_GENOME
        near = ends[rng.integers(len(ends), size=tries)]
        drawn = rng.integers(0, self._space.cardinalities, near.shape)
        found = self._new(np.where(rng.random(near.shape) < rng.random((tries, 1)), near, drawn), count, seen)
        return found + draw_new(self._space, rng, count - len(found), {*seen, *found})

    def offspring(self, parents: Sequence[Genome], count: int, seen: set[Genome]) -> list[Genome]:
        """Return up to ``count`` new networks, mated and mutated from parents that are in the order of their latency.

        Mates are close in latency: a child of a fast and a slow network is seldom as good as either.
        """
        rng, rows = self._rng, np.asarray(parents)
        tries, last = count * _TRIES_PER_GENOME, len(parents) - 1
        first = rng.integers(len(parents), size=tries)
        reach = rng.normal(0, _REACH * len(parents) + 1, tries)
        second = np.clip(np.rint(first + reach).astype(int), 0, last)
        is_mated = rng.random((tries, 1)) < _SHARE_MATED
        mixed = np.where(is_mated & (rng.random((tries, rows.shape[1])) < 0.5), rows[second], rows[first])
        much = np.where(rng.random((tries, 1)) < _SHARE_MUCH_MUTATED, _MUCH, 1.0)
        chosen = rng.random(mixed.shape) < much * mutation_rate(self._space.cardinalities, 1.0)
        return self._new(mutate_genes(mixed, self._space.cardinalities, chosen, rng), count, seen)

    def neighbours(self, genome: Genome, count: int, seen: set[Genome]) -> list[Genome]:
        """Return up to ``count`` new networks that differ from this one by the choice of one gene, drawn among all."""
        changes = [
            (gene, choice)
            for gene, choices in enumerate(self._space.cardinalities)
            for choice in range(choices)
            if choice != genome[gene]
        ]
        rows = np.tile(np.asarray(genome), (len(changes), 1))
        for row, (gene, choice) in zip(rows, changes, strict=True):
            row[gene] = choice
        return self._new(self._rng.permutation(rows)[:count], count, seen)

    def _new(self, rows: IntArray, count: int, seen: set[Genome]) -> list[Genome]:
        """Return the first distinct ones of genomes that need not be canonical, as far as they are new."""
        found: dict[Genome, None] = {}
        for row in rows.tolist():
            if len(found) == count:
                break
            genome = self._space.canonical(tuple(row))
            if genome not in seen:
                found.setdefault(genome)
        return list(found)
