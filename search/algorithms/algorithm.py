"""What every search algorithm does: ask for networks, be told what they are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mnas.space import Genome

FloatArray = npt.NDArray[np.float64]
LatencyOf = Callable[[Sequence[Genome]], FloatArray]
"""Latencies in milliseconds of genomes; free, so an algorithm may ask for as many as it likes."""


class Algorithm(Protocol):
    """A search by generations, a pure function of its seed and of what it was told."""

    def ask(self) -> list[Genome]:
        """Return the genomes of the next generation: canonical, distinct, never asked before.

        An empty list says that nothing new can be found.
        """

    def tell(self, genomes: Sequence[Genome], objectives: FloatArray) -> None:
        """Take the objectives ``(n, 2)`` - error, latency - of genomes in ask order; some may be left out."""


@runtime_checkable
class Learner(Protocol):
    """An algorithm that has something to tell of how its learning goes."""

    @property
    def figures(self) -> Mapping[str, float]:
        """Numbers of the generation told last, each defined where the algorithm is; empty before the first."""
