"""Entries that contradict each other: a larger segment that is faster, beyond what both intervals allow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from math import prod

from latency.table import LatencyTable, LutEntry
from mnas.segments import Segment

_Axis = tuple[str, Callable[[Segment], tuple[object, int]]]
"""Name of an axis, and a function to what a segment is apart from it, and where on it the segment lies."""


@dataclass(frozen=True, slots=True)
class NonMonotone:
    """Two segments that differ along one axis, the larger of which is faster.

    Attributes:
        axis: ``kernel_size``, ``mid_channels``, ``out_channels`` or ``resolution``.
        smaller: The one with less to do.
        larger: The one with more to do.
        smaller_ms: Latency of the first, milliseconds.
        larger_ms: Latency of the second.
        gap_ms: How far the second's interval lies below the first's.
    """

    axis: str
    smaller: Segment
    larger: Segment
    smaller_ms: float
    larger_ms: float
    gap_ms: float

    def text(self) -> str:
        """Return it for people, in one line."""
        return (
            f"{self.axis}: {self.larger.label()} {self.larger_ms:.4g} ms, "
            f"though {self.smaller.label()} {self.smaller_ms:.4g} ms"
        )


def _kernel(segment: Segment) -> tuple[object, int]:
    block = segment.blocks[0]
    return replace(segment, blocks=(replace(block, kernel_size=1),)), block.kernel_size


def _mid(segment: Segment) -> tuple[object, int]:
    """Squeeze channels follow the inner ones; what counts is whether there are any."""
    block = segment.blocks[0]
    rest = replace(block, mid_channels=min(block.mid_channels, 1), se_channels=min(block.se_channels, 1))
    return replace(segment, blocks=(rest,)), block.mid_channels


def _out(segment: Segment) -> tuple[object, int]:
    block = segment.blocks[0]
    return replace(segment, blocks=(replace(block, out_channels=1),)), block.out_channels


def _resolution(segment: Segment) -> tuple[object, int]:
    channels, *sides = segment.in_shape_chw
    return replace(segment, in_shape_chw=(channels, 1, 1)), prod(sides)


_AXES: tuple[_Axis, ...] = (("kernel_size", _kernel), ("mid_channels", _mid), ("out_channels", _out))


def non_monotone(table: LatencyTable) -> list[NonMonotone]:
    """Return the pairs of a table that contradict each other, widest gap first.

    A larger kernel, more inner or output channels, or a larger input never make a segment faster. Each entry is held
    against the one before it on an axis that most surely takes long; a pair counts where the intervals lie apart.
    Segments of several blocks (whole stems and heads) are compared along the resolution alone.
    """
    single = {segment: entry for segment, entry in table.entries.items() if len(segment.blocks) == 1}
    found = [pair for axis in _AXES for pair in _along(axis, single)]
    found += _along(("resolution", _resolution), table.entries)
    return sorted(found, key=lambda pair: (-pair.gap_ms, pair.axis, pair.larger.label()))


def _along(axis: _Axis, entries: Mapping[Segment, LutEntry]) -> Iterator[NonMonotone]:
    name, place = axis
    rows: dict[object, list[tuple[int, Segment]]] = defaultdict(list)
    for segment in entries:
        rest, size = place(segment)
        rows[rest].append((size, segment))
    for row in rows.values():
        row.sort(key=lambda item: (item[0], item[1].label()))
        longest: Segment | None = None
        for _, group in groupby(row, key=lambda item: item[0]):
            equal = [segment for _, segment in group]
            if longest is not None:
                yield from (pair for one in equal if (pair := _contradiction(name, longest, one, entries)))
                equal.append(longest)
            longest = max(equal, key=lambda one: entries[one].low_ms)


def _contradiction(
    axis: str, smaller: Segment, larger: Segment, entries: Mapping[Segment, LutEntry]
) -> NonMonotone | None:
    first, second = entries[smaller], entries[larger]
    gap = first.low_ms - second.high_ms
    return NonMonotone(axis, smaller, larger, first.latency_ms, second.latency_ms, gap) if gap > 0 else None
