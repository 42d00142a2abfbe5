"""Which networks a step of supernet training looks at: what is elastic by then, drawn at random or at its ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mnas.architecture import Architecture
from mnas.errors import ConfigError
from mnas.space import Genome
from mnas.spaces.staged import StagedSpace

AXES = ("resolution", "width", "depth", "filters", "op", "kernel", "expand", "se", "skip", "activation", "dilation")
"""What can be elastic, as the last word of the genes' names says."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the training.

    Attributes:
        share: Of all steps; the shares of all phases add up to 1.
        elastic: Axes, of `AXES`, along which networks differ; along all others they are as the largest one is.
    """

    share: float
    elastic: tuple[str, ...] = AXES

    def __post_init__(self) -> None:
        unknown = sorted(set(self.elastic) - set(AXES))
        if unknown or not 0 < self.share <= 1:
            raise ConfigError(
                "CFG01",
                "a phase of the supernet's training is wrong",
                value={"share": self.share, "unknown": unknown},
                why="its share is above 0 and at most 1, and its axes are known",
                fix=f"use shares that add up to 1, and axes of {', '.join(AXES)}",
            )


TOGETHER = (Phase(1.0),)
"""Everything at once; the sandwich's ends hold the order of the channels."""
PROGRESSIVE = (
    Phase(0.2, ("resolution", "kernel", "op", "skip", "activation", "dilation")),
    Phase(0.2, ("resolution", "kernel", "op", "skip", "activation", "dilation", "depth")),
    Phase(0.2, ("resolution", "kernel", "op", "skip", "activation", "dilation", "depth", "expand", "se")),
    Phase(0.4),
)
"""From the largest network to smaller ones. Source: Cai et al. 2020 (arXiv 1908.09791), section 3.2."""


class PhaseNetworks:
    """The networks of a phase.

    Args:
        space: Of the supernet.
        phase: What is elastic.
    """

    def __init__(self, space: StagedSpace, phase: Phase) -> None:
        self._space = space
        smallest, self._largest = space.extremes()
        self._free = [at for at, name in enumerate(space.gene_names) if name.rpartition(".")[2] in phase.elastic]
        self._smallest = self._with({at: smallest[at] for at in self._free})

    def _with(self, genes: dict[int, int]) -> Genome:
        return self._space.canonical(tuple(genes.get(at, gene) for at, gene in enumerate(self._largest)))

    def draw(self, rng: np.random.Generator) -> Architecture:
        """Return a network, each elastic gene drawn uniformly."""
        counts = self._space.cardinalities
        return self._space.decode(self._with({at: int(rng.integers(0, counts[at])) for at in self._free}))

    def sandwich(self, rng: np.random.Generator, between: int) -> tuple[Architecture, ...]:
        """Return the largest network, the smallest one, and random ones between, each network once.

        Source: Yu and Huang 2019 (arXiv 1903.05134), section 3.1.
        """
        ends = (self._space.decode(self._largest), self._space.decode(self._smallest))
        return tuple(dict.fromkeys((*ends, *(self.draw(rng) for _ in range(between)))))
