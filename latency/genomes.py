"""Latencies of whole populations at once, by looking genomes up instead of decoding them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mnas.errors import SpaceError
from mnas.segments import Segment
from mnas.space import SearchSpace

if TYPE_CHECKING:
    from latency.table import LatencyTable, Missing

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
        found = np.asarray(genomes, dtype=np.int64)
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


class GenomeLatencies:
    """What a table says of the networks of a space, vectorised over genomes.

    Args:
        table: Its entries, calibration and draws are looked up now; a table does not change.
        space: The space.
        missing: ``refuse`` or ``interpolate``, as in `LatencyTable.estimate`.
    """

    def __init__(self, table: LatencyTable, space: SearchSpace, *, missing: Missing = "refuse") -> None:
        self._index = GenomeIndex(space)
        if missing == "interpolate":
            known = {one for one in self._index.segments if one is not None}
            table = table.filled([one for one in known if one not in table.entries])
        self._table = table
        self._costs_ms = self._index.gather({segment: table.cost_ms(segment) for segment in table.entries})

    def ms(self, genomes: npt.ArrayLike) -> FloatArray:
        """Return the latency of each genome in milliseconds, shape (genomes,).

        Args:
            genomes: Integers, shape (genomes, genes); they need not be canonical.

        Raises:
            LutError: ``LUT02``: entries are missing; the message names them.
            SpaceError: ``SPC02``: not genomes of the space.
        """
        return self._ms(self._index.cells(genomes))

    def sd_ms(self, genomes: npt.ArrayLike) -> FloatArray:
        """Return the standard deviation of what a session measures of each, milliseconds, shape (genomes,).

        Raises:
            LutError: ``LUT02``, as in `ms`.
            SpaceError: ``SPC02``, as in `ms`.
        """
        cells = self._index.cells(genomes)
        return self._sd_ms(cells, self._ms(cells))

    def probability_within(self, genomes: npt.ArrayLike, target_ms: float) -> FloatArray:
        """Return the probability that a session measures each at no more than ``target_ms``, shape (genomes,).

        Raises:
            LutError: ``LUT02``, as in `ms`.
            SpaceError: ``SPC02``, as in `ms`.
        """
        from scipy.special import ndtr

        cells = self._index.cells(genomes)
        ms = self._ms(cells)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = ndtr((target_ms - ms) / self._sd_ms(cells, ms))
        return np.asarray(np.where(np.isnan(found), ms <= target_ms, found))

    def _ms(self, cells: IntArray) -> FloatArray:
        found = np.asarray(self._costs_ms[cells].sum(axis=1) + self._table.calibration.intercept_ms)
        if np.isnan(found).any():
            lacking = np.unique(cells[np.isnan(self._costs_ms[cells])])
            self._table.require([one for cell in lacking if (one := self._index.segments[cell]) is not None])
        return found

    def _sd_ms(self, cells: IntArray, ms: FloatArray) -> FloatArray:
        table = self._table
        if table.draws is None:
            return np.asarray(ms * np.sqrt(table.uncertainty.variance))
        costs = self._drawn_costs_ms
        drawn = np.stack([costs[row].sum(axis=0) for row in cells]) if len(cells) else np.zeros((0, costs.shape[1]))
        own = table.uncertainty.drawn * np.var(drawn + table.draws.intercepts_ms, axis=1)
        return np.asarray(np.sqrt(own + ms**2 * table.uncertainty.variance))

    @cached_property
    def _drawn_costs_ms(self) -> FloatArray:
        """Cost of each cell in each draw, shape (cells, draws)."""
        table = self._table
        assert table.draws is not None
        params = np.array([table.params(segment) for segment in table.entries], dtype=np.float64)
        costs = table.draws.costs_ms(params)
        padded = np.vstack([costs, np.zeros((1, costs.shape[1]))])  # row -1: nothing stands there
        order = {segment: row for row, segment in enumerate(table.entries)}
        return np.asarray(padded[self._index.rows(order)])
