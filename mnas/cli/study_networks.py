"""The networks of a study in parts, each part once, with what every table says it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mnas.errors import ConfigError, LutError, SpaceError

if TYPE_CHECKING:
    from latency.table import LatencyTable, Missing
    from mnas.segments import Segment
    from mnas.space import Genome, SearchSpace

_Z95 = 1.96


@dataclass(frozen=True, slots=True)
class NetworkParts:
    """A network as numbers of parts, stem and head included.

    Attributes:
        stages: Parts of the stem, of each stage, of the head.
        macs: Of the whole network.
        params: Likewise.
    """

    stages: tuple[tuple[int, ...], ...]
    macs: int
    params: int

    @property
    def parts(self) -> Iterator[int]:
        """Every part in order."""
        return (part for stage in self.stages for part in stage)


class PartList:
    """The distinct parts of many networks.

    Args:
        space: That the networks are of.

    Attributes:
        segments: Each part as it is in a latency table, in the order in which they were first met.
    """

    def __init__(self, space: SearchSpace) -> None:
        from mnas.genome_index import GenomeIndex

        self._space = space
        self._index = GenomeIndex(space)
        self._numbers: dict[Segment, int] = {}
        self._counts: list[tuple[int, int]] = []
        self.segments: list[Segment] = []

    def networks(self, genomes: Sequence[Genome]) -> list[NetworkParts]:
        """Return each network in parts.

        Raises:
            SpaceError: ``SPC02``: not genomes of the space.
        """
        return [
            self._network(genome, [one for cell in cells if (one := self._index.segments[cell]) is not None])
            for genome, cells in zip(genomes, self._index.cells(list(genomes)), strict=True)
        ]

    def _network(self, genome: Genome, segments: Sequence[Segment]) -> NetworkParts:
        lengths = [len(stage.blocks) for stage in self._space.decode(genome).stages]
        numbers = iter([self._number(segment) for segment in segments])
        ends = [sum(segment.role == role for segment in segments) for role in ("stem", "head")]
        stages = tuple(tuple(next(numbers) for _ in range(length)) for length in (ends[0], *lengths, ends[1]))
        macs, params = (sum(self._counts[part][which] for stage in stages for part in stage) for which in (0, 1))
        return NetworkParts(stages, macs, params)

    def _number(self, segment: Segment) -> int:
        if segment not in self._numbers:
            self._numbers[segment] = len(self.segments)
            self.segments.append(segment)
            described = _blocks(segment)
            self._counts.append((sum(one["macs"] for one in described), sum(one["params"] for one in described)))
        return self._numbers[segment]

    def to_json(self, costs_ms: Sequence[Sequence[float | None]]) -> list[dict[str, Any]]:
        """Return the parts for a page.

        Args:
            costs_ms: For each device what each part adds to a latency.
        """
        return [
            {
                "role": segment.role,
                "in": list(segment.in_shape_chw),
                "blocks": _blocks(segment),
                "ms": [None if (ms := costs[number]) is None else rounded(ms) for costs in costs_ms],
            }
            for number, segment in enumerate(self.segments)
        ]


def _blocks(segment: Segment) -> list[dict[str, Any]]:
    """Return what is drawn and told of each block of a segment."""
    from mnas.counts import total_macs, total_params
    from mnas.layers import layers_of_blocks

    found, shape = [], segment.in_shape_chw
    for block in segment.blocks:
        layers = layers_of_blocks((block,), shape)
        shape = layers[-1].out_shape_chw
        found.append(
            {
                "op": block.op,
                "label": block.label(),
                "out": list(shape),
                "se": bool(block.se_channels),
                "skip": block.skip,
                "macs": total_macs(layers),
                "params": total_params(layers),
            }
        )
    return found


def space_of(store: Any, study_id: str, config: Any) -> SearchSpace | None:
    """Return the space of a study, or ``None`` where it is not to be had here any more."""
    from search.events import EventLog
    from search.study_space import study_space

    try:
        return study_space(EventLog(store, study_id), config)
    except (ConfigError, SpaceError):
        return None


def part_costs(table: LatencyTable, segments: Sequence[Segment], missing: Missing) -> list[float | None]:
    """Return what each part adds to a latency by a table, milliseconds; ``None`` where the table lacks it."""
    if missing == "interpolate":
        try:
            table = table.completed(segments)
        except LutError:  # too few entries to learn from: those that are there still count
            missing = "refuse"
    return [_cost(table, segment) for segment in segments]


def _cost(table: LatencyTable, segment: Segment) -> float | None:
    try:
        return table.cost_ms(segment)
    except LutError:
        return None


def predictions(
    table: LatencyTable, space: SearchSpace, genomes: Sequence[Genome], missing: Missing
) -> list[tuple[float, float, float]] | None:
    """Return the latency of each network by a table and the ends of its 95 % interval, milliseconds.

    Returns:
        ``None`` where the table lacks entries.
    """
    from latency.genomes import GenomeLatencies

    if not genomes:
        return []
    try:
        latencies = GenomeLatencies(table, space, missing=missing)
        ms, sd = latencies.ms(list(genomes)), latencies.sd_ms(list(genomes))
    except (LutError, SpaceError):
        return None
    return [(float(a), float(a - _Z95 * b), float(a + _Z95 * b)) for a, b in zip(ms, sd, strict=True)]


def rounded(value: float, digits: int = 5) -> float:
    """Return a number with so many significant digits: a page holds thousands of them."""
    return float(f"{value:.{digits}g}")
