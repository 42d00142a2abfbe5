"""Where each part of a genome's network is found in flat arrays: populations are looked up instead of decoded."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
import numpy.typing as npt

from mnas.errors import SpaceError
from mnas.segments import Segment
from mnas.space import SearchSpace

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class GenomeIndex:
    """Where each segment of a genome is found in one flat array.

    A place of the space has a cell for each combination of its genes; the cells of all places lie one after the other.

    Args:
        space: The space.
    """

    def __init__(self, space: SearchSpace) -> None:
        places = space.places()
        self.name = space.name
        self.cardinalities = np.asarray(space.cardinalities, dtype=np.int64)
        self.segments: tuple[Segment | None, ...] = tuple(one for place in places for one in place.segments)
        self._strides = np.zeros((len(self.cardinalities), len(places)))
        for number, place in enumerate(places):
            for position, gene in enumerate(place.genes):
                self._strides[gene, number] = prod(space.cardinalities[later] for later in place.genes[position + 1 :])
        sizes = [len(place.segments) for place in places]
        self._offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.float64)

    def cells(self, genomes: npt.ArrayLike) -> IntArray:
        """Return the cells of each genome, shape (genomes, places).

        Args:
            genomes: Integers, shape (genomes, genes); they need not be canonical.

        Raises:
            SpaceError: ``SPC02``: another number of genes, or a choice out of range.
        """
        try:
            found = np.asarray(genomes, dtype=np.int64)
        except (ValueError, OverflowError) as error:
            raise self._refused("rows of different lengths, or no whole numbers") from error
        if found.size == 0:
            found = found.reshape(0, len(self.cardinalities))
        if found.ndim != 2 or found.shape[1] != len(self.cardinalities):
            raise self._refused(f"an array of shape {found.shape}")
        # As unsigned numbers the negative ones are out of range, too.
        wrong = found.view(np.uint64) >= self.cardinalities.view(np.uint64)
        if wrong.any():
            raise self._refused(found[wrong.any(axis=1)][0].tolist())
        # Products of doubles are exact here and far quicker than those of integers.
        return np.asarray((found.astype(np.float64) @ self._strides + self._offsets).astype(np.int64))

    def gather(self, values: Mapping[Segment, float]) -> FloatArray:
        """Return a value for each cell: 0 where nothing stands, NaN where the mapping lacks the segment."""
        return np.array([0.0 if one is None else values.get(one, np.nan) for one in self.segments])

    def rows(self, order: Mapping[Segment, int]) -> IntArray:
        """Return a row number for each cell: -1 where nothing stands or the mapping lacks the segment."""
        return np.array([-1 if one is None else order.get(one, -1) for one in self.segments], dtype=np.int64)

    def _refused(self, value: object) -> SpaceError:
        return SpaceError(
            "SPC02",
            f"not genomes of {self.name}",
            value=value,
            why=f"each needs {len(self.cardinalities)} genes below {tuple(self.cardinalities.tolist())}",
            fix="take genomes from this space's own sample, mutate or encode",
        )
