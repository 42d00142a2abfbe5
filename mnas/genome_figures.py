"""What a network costs whatever the device: MACs, parameters, bytes of its file and of its activations, by genome."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from mnas.activation_peak import peak_activation_bytes
from mnas.counts import total_macs, total_params
from mnas.export.network import Dtype
from mnas.genome_index import GenomeIndex, IntArray
from mnas.layers import LayerSpec, layers_of_blocks
from mnas.segments import Segment
from mnas.space import SearchSpace
from mnas.stored_size import stored_bytes

_ELEMENT_BYTES: Mapping[Dtype, int] = {"float32": 4, "int8": 1}


def figure_of(name: str, dtype: Dtype) -> Callable[[tuple[LayerSpec, ...]], int]:
    """Return what gives a figure of a network's layers.

    Args:
        name: ``macs``, ``params``, ``size`` (`stored_bytes`) or ``peak_memory`` (`peak_activation_bytes`).
        dtype: Of weights and activations; counts do not depend on it.
    """
    element_bytes = _ELEMENT_BYTES[dtype]
    return {
        "macs": total_macs,
        "params": total_params,
        "size": lambda layers: stored_bytes(layers, element_bytes),
        "peak_memory": lambda layers: peak_activation_bytes(layers, element_bytes),
    }[name]


class GenomeFigures:
    """One figure of the networks of a space, vectorised over genomes.

    Segments stand in a chain and share one tensor where they meet, so a figure is the sum over them, and the peak of
    the memory the greatest of theirs.

    Args:
        space: Each of its segments is walked once, now.
        name: As in `figure_of`.
        dtype: Likewise.
    """

    def __init__(self, space: SearchSpace, name: str, dtype: Dtype = "float32") -> None:
        self.name = name
        self._space = space
        self._is_peak = name == "peak_memory"
        self._index = GenomeIndex(space)
        figure = figure_of(name, dtype)
        segments = dict.fromkeys(one for one in self._index.segments if one is not None)
        self._of: dict[Segment, int] = {one: figure(layers_of_blocks(one.blocks, one.in_shape_chw)) for one in segments}
        # Doubles hold these whole numbers exactly.
        self._cells = self._index.gather(self._of).astype(np.int64)

    def values(self, genomes: npt.ArrayLike) -> IntArray:
        """Return the figure of each genome's network, shape (genomes,).

        Args:
            genomes: Integers, shape (genomes, genes); they need not be canonical.

        Raises:
            SpaceError: ``SPC02``: not genomes of the space.
        """
        found = self._cells[self._index.cells(genomes)]
        return np.asarray(found.max(axis=1) if self._is_peak else found.sum(axis=1))

    def bounds(self) -> tuple[int, int]:
        """Return the least and the greatest figure of the space; of a peak no more than bounds of them."""
        if self._is_peak:
            places = self._space.places()
            least = max(min(0 if one is None else self._of[one] for one in place.segments) for place in places)
            return least, max(self._of.values())
        fewest = self._space.cheapest(self._of.__getitem__)
        most = self._space.cheapest(lambda segment: -self._of[segment])
        least, greatest = self.values([fewest, most])
        return int(least), int(greatest)
