"""Latencies of all networks of a space: from an exported table, or made up from MACs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latency.genomes import GenomeIndex
from latency.table_document import read_document
from mnas.layers import layers_of_blocks
from mnas.segments import Segment
from mnas.space import Genome, SearchSpace

LatenciesOf = Callable[[Sequence[Genome]], npt.NDArray[np.float64]]
_DENSE_MACS_PER_MS = 2.0e7
_GROUPED_MACS_PER_MS = 5.0e6
_MS_PER_LAYER = 0.01


def table_latency(space: SearchSpace, path: Path) -> LatenciesOf:
    """Return the latencies of an exported table (``mnas lut export --to json``); it must cover the space.

    Raises:
        LutError: The file is no table, or the table lacks entries of the space.
    """
    table = read_document(path.read_bytes()).table
    table.require(list(space.segments()))
    return table.over(space).ms


def simulated_latency(space: SearchSpace) -> LatenciesOf:
    """Return made-up latencies that add up: a time for each layer, and MACs at a rate that grouped ones lower."""
    index = GenomeIndex(space)
    costs = index.gather({one: _simulated_ms(one) for one in index.segments if one is not None})
    return lambda genomes: np.asarray(costs[index.cells(genomes)].sum(axis=1))


def _simulated_ms(segment: Segment) -> float:
    layers = layers_of_blocks(segment.blocks, segment.in_shape_chw)
    rates = [_GROUPED_MACS_PER_MS if layer.groups > 1 else _DENSE_MACS_PER_MS for layer in layers]
    return sum(_MS_PER_LAYER + layer.macs / rate for layer, rate in zip(layers, rates, strict=True))
