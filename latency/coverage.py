"""What of a space a table covers, by stage and resolution."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from latency.table import LatencyTable
from mnas.errors import SpaceError
from mnas.layers import Shape
from mnas.segments import Segment, segments_of
from mnas.space import SearchSpace
from mnas.spaces.checked import checked_space
from mnas.spaces.presets import open_space
from mnas.spaces.staged import StagedSpace
from mnas.spaces.toml_file import definition_from_json


@dataclass(frozen=True, slots=True)
class Place:
    """Where segments can stand in the networks of a space: what they are fed and what they give.

    Attributes:
        role: ``stem``, ``block`` or ``head``.
        in_shape_chw: What they are fed.
        out_channels: Channels that they give.
        stride: Of a block; of the stem's or head's first block.
        activation: Likewise.
    """

    role: str
    in_shape_chw: Shape
    out_channels: int
    stride: int
    activation: str

    @classmethod
    def of(cls, segment: Segment) -> Place:
        """Return the place of a segment."""
        first, last = segment.blocks[0], segment.blocks[-1]
        return cls(segment.role, segment.in_shape_chw, last.out_channels, first.stride, first.activation)

    def label(self) -> str:
        """Return a short text for people."""
        channels, height, width = self.in_shape_chw
        return f"{channels}x{height}x{width} to {self.out_channels}, stride {self.stride}"


StageAt = tuple[str, int]
"""``stem``, ``stage0`` ... or ``head``, and the resolution of the network in pixels."""


@dataclass(frozen=True, slots=True)
class StageCoverage:
    """Segments of one stage at one resolution.

    Attributes:
        stage: ``stem``, ``stage0`` ... or ``head``.
        resolution_px: Side of the networks' input.
        reached: Segments that the space can reach there.
        present: Those of them that the table has.
    """

    stage: str
    resolution_px: int
    reached: int
    present: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What of a space a table covers.

    Attributes:
        reached: Segments that the space can reach; one that occurs at several places counts once.
        present: Those of them that the table has.
        missing: Labels of the others.
        foreign: Entries of the table that the space cannot reach.
        stages: By stage and resolution, where a segment counts at each of its places.
    """

    reached: int
    present: int
    missing: tuple[str, ...]
    foreign: int
    stages: tuple[StageCoverage, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)


def covered_space(table: LatencyTable) -> SearchSpace | None:
    """Return the space that a table was built for, at the table's resolutions; ``None`` where it is not known here."""
    if "space_definition" in table.settings:
        return own_space(table)
    family, _, preset = table.space.partition("/")
    sides = {segment.in_shape_chw[1] for segment in table.entries if segment.role == "stem"}
    try:
        return open_space(family, preset, tuple(sorted(sides)))
    except SpaceError:
        return None


def own_space(table: LatencyTable) -> StagedSpace | None:
    """Return the user's own space that a table carries; a table may come from a file, so that it is checked."""
    if "space_definition" not in table.settings:
        return None
    try:
        space = checked_space(definition_from_json(table.settings["space_definition"]))
    except SpaceError:
        return None
    return space if space.name == table.space else None


def stages_of(space: SearchSpace) -> dict[Place, tuple[StageAt, ...]]:
    """Return for each place in which stages, at which resolutions, it occurs.

    Walked are the largest network and its like at every value of the genes that stand for the whole network, such as
    resolution and width; what a stage's blocks are fed does not hang on their own genes.
    """
    base = space.extremes()[1]
    whole = [place for place, name in enumerate(space.gene_names) if "." not in name]
    found: dict[Place, dict[StageAt, None]] = {}
    for values in product(*(range(space.cardinalities[place]) for place in whole)):
        genome = list(base)
        for place, value in zip(whole, values, strict=True):
            genome[place] = value
        architecture = space.decode(space.canonical(tuple(genome)))
        px = architecture.input_shape_chw[1]
        names = iter(f"stage{stage}" for stage, one in enumerate(architecture.stages) for _ in one.blocks)
        for segment in segments_of(architecture):
            name = next(names) if segment.role == "block" else segment.role
            found.setdefault(Place.of(segment), {})[name, px] = None
    return {place: tuple(sorted(stages)) for place, stages in found.items()}


def coverage_of(table: LatencyTable, space: SearchSpace) -> Coverage:
    """Compare a table's entries with the segments that a space can reach."""
    reached = list(space.segments())
    missing = [segment.label() for segment in reached if segment not in table.entries]
    return Coverage(
        reached=len(reached),
        present=len(reached) - len(missing),
        missing=tuple(missing),
        foreign=len(set(table.entries) - set(reached)),
        stages=_by_stage(table, reached, stages_of(space)),
    )


def _by_stage(
    table: LatencyTable, reached: Iterable[Segment], stages: dict[Place, tuple[StageAt, ...]]
) -> tuple[StageCoverage, ...]:
    counts: dict[StageAt, list[int]] = {}
    for segment in reached:
        for stage in stages.get(Place.of(segment), ()):
            count = counts.setdefault(stage, [0, 0])
            count[0] += 1
            count[1] += segment in table.entries
    order = {"stem": -1, "head": 1}
    ranked = sorted(counts, key=lambda one: (one[1], order.get(one[0], 0), one[0]))
    return tuple(StageCoverage(stage, px, *counts[stage, px]) for stage, px in ranked)
