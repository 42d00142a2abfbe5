"""Any search kept to networks that meet a constraint which costs nothing to check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mnas.space import Genome
from search.algorithms.algorithm import Algorithm, FloatArray, Learner

_MOST_ASKED = 200


class FeasibleSearch:
    """Asks for those networks of another search that meet a constraint, and goes on where a generation has none.

    The others are never paid for. The other search is not told of them, and so asks for none of them again.

    Args:
        algorithm: The other search.
        is_met: Tells of genomes whether they meet the constraint, ``(n,)``.
    """

    def __init__(self, algorithm: Algorithm, is_met: Callable[[Sequence[Genome]], npt.NDArray[np.bool_]]) -> None:
        self._algorithm = algorithm
        self._is_met = is_met
        self._objectives = 0

    def ask(self) -> list[Genome]:
        """Return what meets the constraint; nothing where 200 generations in a row have no such network."""
        for _ in range(_MOST_ASKED):
            genomes = self._algorithm.ask()
            if not genomes:
                break
            kept = [genome for genome, is_met in zip(genomes, self._is_met(genomes), strict=True) if is_met]
            if kept:
                return kept
            self._algorithm.tell([], np.zeros((0, max(self._objectives, 2))))
        return []

    def tell(self, genomes: Sequence[Genome], objectives: FloatArray) -> None:
        """Take the objectives of genomes in ask order."""
        self._objectives = np.asarray(objectives).shape[-1]
        self._algorithm.tell(genomes, objectives)

    @property
    def figures(self) -> Mapping[str, float]:
        """Those of the other search."""
        return self._algorithm.figures if isinstance(self._algorithm, Learner) else {}
