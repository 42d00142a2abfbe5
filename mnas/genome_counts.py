"""MACs and parameters of whole populations at once, the same numbers as `mnas.counts` gives of each network."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mnas.counts import total_macs, total_params
from mnas.genome_index import GenomeIndex, IntArray
from mnas.layers import layers_of_blocks
from mnas.space import SearchSpace


class GenomeCounts:
    """Counts of the networks of a space, vectorised over genomes.

    Args:
        space: Each of its segments is walked once, now.

    Attributes:
        space: The space.
        segment_macs: Multiply-accumulates of each segment of the space.
        segment_params: Parameters of each.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._index = GenomeIndex(space)
        segments = dict.fromkeys(one for one in self._index.segments if one is not None)
        layers = {one: layers_of_blocks(one.blocks, one.in_shape_chw) for one in segments}
        self.segment_macs = {one: total_macs(own) for one, own in layers.items()}
        self.segment_params = {one: total_params(own) for one, own in layers.items()}
        # Doubles hold these whole numbers exactly.
        self._macs = self._index.gather(self.segment_macs).astype(np.int64)
        self._params = self._index.gather(self.segment_params).astype(np.int64)

    def macs(self, genomes: npt.ArrayLike) -> IntArray:
        """Return the multiply-accumulates of each genome's network, shape (genomes,).

        Args:
            genomes: Integers, shape (genomes, genes); they need not be canonical.

        Raises:
            SpaceError: ``SPC02``: not genomes of the space.
        """
        return np.asarray(self._macs[self._index.cells(genomes)].sum(axis=1))

    def params(self, genomes: npt.ArrayLike) -> IntArray:
        """Return the parameters of each genome's network, shape (genomes,).

        Raises:
            SpaceError: ``SPC02``, as in `macs`.
        """
        return np.asarray(self._params[self._index.cells(genomes)].sum(axis=1))
