"""What an algorithm was told so far: the networks that nothing dominates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mnas.space import Genome
from search.algorithms.algorithm import FloatArray


class FrontArchive:
    """The non-dominated networks among those told; equal objectives stand side by side.

    Attributes:
        genomes: Of the members, in the order in which they came.
    """

    def __init__(self) -> None:
        self.genomes: list[Genome] = []
        self._values: FloatArray = np.zeros((0, 0))

    @property
    def objectives(self) -> FloatArray:
        """Objectives of the members, ``(n, m)``."""
        return self._values

    def add(self, genomes: Sequence[Genome], objectives: FloatArray) -> None:
        """Take in networks one by one; what one of them dominates leaves."""
        for genome, row in zip(genomes, np.asarray(objectives, dtype=float), strict=True):
            if not self.genomes:
                self.genomes, self._values = [genome], row[None, :]
                continue
            if _dominates(self._values, row[None, :]).any():
                continue
            kept = ~_dominates(row[None, :], self._values)
            self.genomes = [one for one, stays in zip(self.genomes, kept, strict=True) if stays] + [genome]
            self._values = np.concatenate([self._values[kept], row[None, :]])


def _dominates(rows: FloatArray, others: FloatArray) -> npt.NDArray[np.bool_]:
    return np.asarray((rows <= others).all(axis=1) & (rows < others).any(axis=1))
