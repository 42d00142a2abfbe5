"""The segments of a staged space: all of them, by place, and those of the cheapest network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import product

from mnas.architecture import Block
from mnas.layers import Shape, layers_of_blocks
from mnas.segments import Segment
from mnas.space import Genome, Place
from mnas.spaces.layer_options import LayerOptions
from mnas.spaces.stage_choices import StageChoices
from mnas.spaces.staged_genes import GLOBAL_GENES, StagedGenes


class StagedSegments:
    """What stands where in the networks of a space.

    Args:
        genes: Of the space.
    """

    def __init__(self, genes: StagedGenes) -> None:
        self._genes = genes
        self._definition = genes.definition

    def _walk(self, px: int, width: int) -> Iterator[tuple[int, Shape, Shape, StageChoices]]:
        """Yield stage, the shapes that its first and its later layers are fed, and its fillings, for all channels."""
        side = self._side_behind_stem(px)
        for stage, fixed in enumerate(self._definition.stages):
            after = _divided(side, fixed.stride)
            for source, out in dict.fromkeys(self._feeds(stage, 0, width)):
                yield stage, (source, side, side), (out, after, after), self._genes.fillings(stage, source, out)
            side = after

    def _feeds(self, stage: int, layer: int, width: int) -> Iterable[tuple[int, int]]:
        """Return the channels into and out of a layer, for each choice of the filters that decide them."""
        outs = self._genes.outs(stage, width)
        if layer:
            return zip(outs, outs, strict=True)
        return product(self._genes.outs(stage - 1, width) if stage else (self._genes.stem_out(width),), outs)

    def _side_behind_stem(self, px: int) -> int:
        return layers_of_blocks(self._genes.stem(0), (self._definition.in_channels, px, px))[-1].out_shape_chw[1]

    def _side_before(self, px: int, stage: int) -> int:
        """Pixels that a stage, or the head behind the last one, is fed."""
        side = self._side_behind_stem(px)
        for fixed in self._definition.stages[:stage]:
            side = _divided(side, fixed.stride)
        return side

    def _stem_segment(self, px: int, width: int) -> Segment:
        return Segment("stem", self._genes.stem(width), (self._definition.in_channels, px, px))

    def _head_segment(self, px: int, width: int, channels: int) -> Segment:
        side = self._side_before(px, len(self._definition.stages))
        return Segment("head", self._genes.head(width, channels), (channels, side, side))

    def segments(self) -> Iterator[Segment]:
        """Yield every segment that some architecture of the space has, each once."""
        seen: set[Segment] = set()
        for px, width in product(self._definition.resolutions_px, self._genes.widths):
            for segment in self._segments_at(px, width):
                if segment not in seen:
                    seen.add(segment)
                    yield segment

    def _segments_at(self, px: int, width: int) -> Iterator[Segment]:
        yield self._stem_segment(px, width)
        for _, before, after, fillings in self._walk(px, width):
            first, others = fillings.reachable()
            yield from (Segment("block", (block,), before) for block in first)
            yield from (Segment("block", (block,), after) for block in others)
        for channels in dict.fromkeys(self._genes.outs(len(self._definition.stages) - 1, width)):
            yield self._head_segment(px, width, channels)

    def places(self) -> tuple[Place, ...]:
        """Return the places whose segments are those of any genome: stem, each layer up to the deepest, head."""
        return self._all_places

    @cached_property
    def _all_places(self) -> tuple[Place, ...]:
        scales = tuple(product(self._definition.resolutions_px, range(len(self._definition.widths))))
        found = [Place((0, 1), tuple(self._stem_segment(px, width) for px, width in scales))]
        for stage, fixed in enumerate(self._definition.stages):
            found += [self._place(stage, layer, scales) for layer in range(max(fixed.depths))]
        last, genes = len(self._definition.stages) - 1, self._genes.layout[1][-1]
        heads = [self._head_segment(px, width, out) for px, width in scales for out in self._genes.outs(last, width)]
        return (*found, Place((0, 1, *_present(genes.filters)), tuple(heads)))

    def _place(self, stage: int, layer: int, scales: tuple[tuple[int, int], ...]) -> Place:
        """Return the place of a layer; a first one depends on the filters of the stage before, too."""
        genes, own = self._genes, self._genes.layout[1][stage]
        before = genes.layout[1][stage - 1].filters if stage and layer == 0 else None
        known: dict[tuple[int, LayerOptions], tuple[Segment, ...]] = {}
        segments: list[Segment | None] = []
        for px, width in scales:
            side = self._side_before(px, stage + (layer > 0))
            for channels, out in self._feeds(stage, layer, width):
                options = genes.later_layer(stage, out) if layer else genes.fillings(stage, channels, out).first
                if (side, options) not in known:
                    shape = (channels, side, side)
                    known[side, options] = tuple(Segment("block", (one,), shape) for one in options.blocks.values())
                choices = known[side, options]
                for depth in self._definition.stages[stage].depths:
                    segments += choices if layer < depth else [None] * len(choices)
        deciding = (0, 1, *_present(before), *_present(own.filters), own.depth, *own.of_layer(layer))
        return Place(deciding, tuple(segments))

    def cheapest(self, cost: Callable[[Segment], float]) -> Genome:
        """Return the genome whose segments' costs have the least sum; exact, by dynamic programming over channels."""
        best: tuple[float, list[int]] | None = None
        for resolution, px in enumerate(self._definition.resolutions_px):
            for width in self._genes.widths:
                total, genes = self._cheapest_at(px, width, cost)
                if best is None or total < best[0]:
                    best = (total, [resolution, width, *genes[GLOBAL_GENES:]])
        assert best is not None, "a space has a resolution and a width"
        return tuple(best[1])

    def _cheapest_at(self, px: int, width: int, cost: Callable[[Segment], float]) -> tuple[float, list[int]]:
        # Channels that a stage gives -> the cheapest way there.
        start = cost(self._stem_segment(px, width))
        ways: dict[int, tuple[float, list[int]]] = {
            self._genes.stem_out(width): (start, [0] * len(self._genes.cardinalities))
        }
        reached: dict[int, tuple[float, list[int]]] = {}
        at = 0
        for stage, before, after, fillings in self._walk(px, width):
            if stage != at:
                ways, reached, at = reached, {}, stage
            spent, genes = ways[before[0]]
            own, depth, choices = fillings.cheapest(_cost_at(cost, before), _cost_at(cost, after))
            if after[0] not in reached or spent + own < reached[after[0]][0]:
                genes = list(genes)
                self._genes.write(stage, genes, self._genes.outs(stage, width).index(after[0]), depth, choices)
                reached[after[0]] = (spent + own, genes)
        ends = ((spent + cost(self._head_segment(px, width, out)), genes) for out, (spent, genes) in reached.items())
        return min(ends, key=lambda end: end[0])


def _cost_at(cost: Callable[[Segment], float], shape: Shape) -> Callable[[Block], float]:
    return lambda block: cost(Segment("block", (block,), shape))


def _present(gene: int | None) -> tuple[int, ...]:
    return () if gene is None else (gene,)


def _divided(px: int, stride: int) -> int:
    """Pixels behind an odd kernel with torch's symmetric padding."""
    return -(-px // stride)
