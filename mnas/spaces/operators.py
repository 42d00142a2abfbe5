"""What every space does with genomes in the same way: drawing, mutation, crossover, membership."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from mnas.architecture import Architecture
from mnas.errors import SpaceError
from mnas.space import Genome


def random_below(rng: np.random.Generator, bound: int) -> int:
    """Draw uniformly from ``0 .. bound - 1``, however large ``bound`` is."""
    bits = (bound - 1).bit_length()
    while True:
        drawn = int.from_bytes(rng.bytes(-(-bits // 8)), "big") >> -bits % 8
        if drawn < bound:
            return drawn


class GenomeMoves(ABC):
    """Drawing, mutation and crossover: what needs no more than numbered networks and canonical genomes."""

    @property
    @abstractmethod
    def cardinalities(self) -> tuple[int, ...]:
        """Number of choices of each gene."""

    @abstractmethod
    def size(self) -> int:
        """Return how many distinct networks there are."""

    @abstractmethod
    def unrank(self, number: int) -> Genome:
        """Return the canonical genome of one of the networks ``0 .. size - 1``; each has one number."""

    @abstractmethod
    def canonical(self, genome: Genome) -> Genome:
        """Return the one genome that stands for the same network."""

    def sample(self, rng: np.random.Generator) -> Genome:
        """Draw a canonical genome, every network as likely as any other."""
        return self.unrank(random_below(rng, self.size()))

    def draw(self, rng: np.random.Generator) -> Genome:
        """Draw a canonical genome, every gene uniformly: shallow and deep networks come alike often."""
        return self.canonical(tuple(int(gene) for gene in rng.integers(0, self.cardinalities)))

    def mutate(self, genome: Genome, rng: np.random.Generator, rate: float) -> Genome:
        """Redraw each gene with probability ``rate``; the result is canonical."""
        fresh = rng.integers(0, self.cardinalities)
        chosen = rng.random(len(genome)) < rate
        return self.canonical(
            tuple(int(new if hit else old) for old, new, hit in zip(genome, fresh, chosen, strict=True))
        )

    def crossover(self, first: Genome, second: Genome, rng: np.random.Generator) -> Genome:
        """Take each gene from either parent; the result is canonical."""
        chosen = rng.random(len(first)) < 0.5
        return self.canonical(tuple(a if hit else b for a, b, hit in zip(first, second, chosen, strict=True)))


class GenomeOperators(GenomeMoves):
    """The part of `mnas.space.SearchSpace` that follows from its genomes, architectures among it."""

    @abstractmethod
    def encode(self, architecture: Architecture) -> Genome:
        """Return the canonical genome of an architecture."""

    def contains(self, architecture: Architecture) -> bool:
        """Return whether `encode` would succeed."""
        try:
            self.encode(architecture)
        except SpaceError:
            return False
        return True
