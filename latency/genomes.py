"""Latencies of whole populations at once, by looking genomes up instead of decoding them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mnas.genome_index import FloatArray, GenomeIndex, IntArray
from mnas.space import SearchSpace

if TYPE_CHECKING:
    from latency.table import LatencyTable, Missing

__all__ = ["FloatArray", "GenomeIndex", "GenomeLatencies"]


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
        costs = table.drawn_costs_ms
        padded = np.vstack([costs, np.zeros((1, costs.shape[1]))])  # row -1: nothing stands there
        order = {segment: row for row, segment in enumerate(table.entries)}
        return np.asarray(padded[self._index.rows(order)])
