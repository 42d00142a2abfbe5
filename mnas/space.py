"""What a search space is: genomes, the architectures they stand for, and the segments that can occur."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mnas.architecture import Architecture
from mnas.segments import Segment

Genome = tuple[int, ...]
"""One choice a gene, ``0 <= genome[i] < cardinalities[i]``."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a segment stands in the networks of a space, and what can stand there.

    Attributes:
        genes: Indices of the genes that decide it.
        segments: What stands there for each combination of these genes, the last gene fastest; ``None`` for nothing.
    """

    genes: tuple[int, ...]
    segments: tuple[Segment | None, ...]


class SearchSpace(Protocol):
    """A finite set of architectures with a genome for each."""

    @property
    def name(self) -> str:
        """Family and preset, e.g. ``mobilenetv3/fashion``."""

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of choices of each gene."""

    @property
    def gene_names(self) -> tuple[str, ...]:
        """A name for each gene, e.g. ``stage0.block1.kernel``."""

    def size(self) -> int:
        """Return how many distinct architectures it holds."""

    def unrank(self, number: int) -> Genome:
        """Return the canonical genome of one of the architectures ``0 .. size - 1``; each has one number.

        Raises:
            SpaceError: ``SPC02``: there are not so many.
        """

    def sample(self, rng: np.random.Generator) -> Genome:
        """Draw a canonical genome, every architecture as likely as any other."""

    def draw(self, rng: np.random.Generator) -> Genome:
        """Draw a canonical genome, every gene uniformly: shallow and deep networks come alike often."""

    def canonical(self, genome: Genome) -> Genome:
        """Return the one genome that stands for the same architecture as ``genome``.

        Raises:
            SpaceError: ``SPC02``: wrong length or a choice out of range.
        """

    def mutate(self, genome: Genome, rng: np.random.Generator, rate: float) -> Genome:
        """Redraw each gene with probability ``rate``; the result is canonical."""

    def crossover(self, first: Genome, second: Genome, rng: np.random.Generator) -> Genome:
        """Take each gene from either parent; the result is canonical."""

    def decode(self, genome: Genome) -> Architecture:
        """Return the architecture of a genome."""

    def encode(self, architecture: Architecture) -> Genome:
        """Return the canonical genome of an architecture.

        Raises:
            SpaceError: ``SPC03``: it is not in this space.
        """

    def contains(self, architecture: Architecture) -> bool:
        """Return whether `encode` would succeed."""

    def segments(self) -> Iterator[Segment]:
        """Yield every segment that some architecture of the space has, each once."""

    def places(self) -> tuple[Place, ...]:
        """Return the places whose segments, taken together, are those of any genome, canonical or not."""

    def extremes(self) -> tuple[Genome, Genome]:
        """Return the genomes of the smallest and of the largest architecture by MACs."""

    def cheapest(self, cost: Callable[[Segment], float]) -> Genome:
        """Return the genome whose segments' costs have the least sum; exact, by dynamic programming."""
