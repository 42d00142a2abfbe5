"""What every search algorithm does: ask for networks, be told what they are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mnas.space import Genome

FloatArray = npt.NDArray[np.float64]
LatencyOf = Callable[[Sequence[Genome]], FloatArray]
"""Latencies in milliseconds of genomes, ``(n,)``, or another cheap objective that is minimised.

Free, so an algorithm may ask for as many as it likes.
"""


class GenomeSpace(Protocol):
    """What an algorithm needs of a space: genomes and what can be done with them, not what they stand for."""

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of choices of each gene."""

    @property
    def gene_names(self) -> tuple[str, ...]:
        """A name for each gene; those with an equal part before the first dot belong together."""

    def draw(self, rng: np.random.Generator) -> Genome:
        """Draw a canonical genome, every gene uniformly."""

    def canonical(self, genome: Genome) -> Genome:
        """Return the one genome that stands for the same network as ``genome``."""


class Algorithm(Protocol):
    """A search by generations, a pure function of its seed and of what it was told."""

    def ask(self) -> list[Genome]:
        """Return the genomes of the next generation: canonical, distinct, never asked before.

        An empty list says that nothing new can be found.
        """

    def tell(self, genomes: Sequence[Genome], objectives: FloatArray) -> None:
        """Take the objectives of genomes in ask order; some may be left out.

        Args:
            genomes: Of the generation asked for last.
            objectives: ``(n, m)``, minimised; error first, the cheap objective - latency - last.
        """


@runtime_checkable
class Learner(Protocol):
    """An algorithm that has something to tell of how its learning goes."""

    @property
    def figures(self) -> Mapping[str, float]:
        """Numbers of the generation told last, each defined where the algorithm is; empty before the first."""
