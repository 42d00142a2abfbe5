"""A range that a figure of a network must lie in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mnas.errors import SpaceError
from mnas.genome_counts import GenomeCounts
from mnas.genome_index import FloatArray
from mnas.segments import Segment
from mnas.space import Genome

Measure = Callable[[Sequence[Genome]], npt.NDArray[np.float64] | npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Constraint:
    """Both ends belong to the range.

    Attributes:
        name: The figure, with its unit, e.g. ``latency_ms``.
        measure: Figure of each genome, shape (genomes,); NaN lies in no range.
        low: Least that is allowed.
        high: Greatest that is allowed.
        cost: What a segment adds to the figure, where that is a sum over segments, but for a constant: the least and
            the greatest of a space are then known exactly.
    """

    name: str
    measure: Measure
    low: float = -math.inf
    high: float = math.inf
    cost: Callable[[Segment], float] | None = None

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise SpaceError(
                "SPC20",
                f"no {self.name} lies in this range",
                value=f"{figure_text(self.low)} .. {figure_text(self.high)}",
                why="its lower end lies above its upper end",
                fix="swap them, or leave one out",
            )

    def off(self, values: npt.ArrayLike) -> FloatArray:
        """Return how far figures lie outside the range, in their own unit: 0 within, infinite for NaN."""
        found = np.asarray(values, dtype=np.float64)
        beyond = np.maximum(np.maximum(self.low - found, found - self.high), 0.0)
        return np.asarray(np.where(np.isnan(beyond), np.inf, beyond))

    def verdict(self, value: float) -> str:
        """Return a figure and how it lies to the range, e.g. ``MACs 312,000,000 (4 % above 300,000,000)``."""
        shown = f"{self.name} {figure_text(value)}"
        if self.low <= value <= self.high:
            return f"{shown} (met)"
        side, bound = ("above", self.high) if value > self.high else ("below", self.low)
        share = f"{abs(value - bound) / abs(bound):.2%} " if bound and math.isfinite(value) else ""
        return f"{shown} ({share}{side} {figure_text(bound)})"


def macs_between(counts: GenomeCounts, low: float = -math.inf, high: float = math.inf) -> Constraint:
    """Return a constraint on the multiply-accumulates."""
    return Constraint("MACs", counts.macs, low, high, counts.segment_macs.__getitem__)


def params_between(counts: GenomeCounts, low: float = -math.inf, high: float = math.inf) -> Constraint:
    """Return a constraint on the parameters."""
    return Constraint("params", counts.params, low, high, counts.segment_params.__getitem__)


def figure_text(value: float) -> str:
    """Return a figure for people: large ones as whole numbers."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < math.inf else f"{value:.4g}"
