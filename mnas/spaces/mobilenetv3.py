"""The MobileNetV3 space in the manner of once-for-all, with width and resolution among its axes.

Per layer: kernel, expansion and squeeze-and-excitation; per stage: depth; per network: width multiplier and
resolution. Source: Cai et al. 2020 (arXiv 1908.09791) for the choices, Howard et al. 2019 (arXiv 1905.02244) for
channels, activations and the head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod

import numpy as np

from mnas.architecture import Architecture, Block, Stage
from mnas.errors import SpaceError
from mnas.layers import Shape
from mnas.rounding import make_divisible
from mnas.segments import Segment
from mnas.space import Genome, Place
from mnas.spaces.choices import MobileNetV3Choices

_GLOBAL_GENES = 2
_GENES_PER_LAYER = 3


@dataclass(frozen=True, slots=True)
class _StagePlaces:
    """What can stand in a stage: segment -> genes, for its first layer and for each later one."""

    first: dict[Segment, Genome]
    others: dict[Segment, Genome]


class MobileNetV3Space:
    """The space that some `MobileNetV3Choices` span.

    A genome holds resolution and width, then for each stage its depth and for each of its layers (up to the deepest)
    kernel, expansion and squeeze-and-excitation. Genes of layers beyond the depth are 0 in canonical form.
    """

    def __init__(self, choices: MobileNetV3Choices) -> None:
        self.choices = choices
        self._layers = max(choices.depths)

    @property
    def name(self) -> str:
        """Family and preset."""
        return f"mobilenetv3/{self.choices.preset}"

    @cached_property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of choices of each gene."""
        c = self.choices
        layer = (len(c.kernels), len(c.expands), len(c.se_ratios))
        stage = (len(c.depths), *(layer * self._layers))
        return (len(c.resolutions_px), len(c.widths), *(stage * len(c.stages)))

    @cached_property
    def gene_names(self) -> tuple[str, ...]:
        """A name for each gene."""
        names = ["resolution", "width"]
        for stage in range(len(self.choices.stages)):
            names.append(f"stage{stage}.depth")
            for layer in range(self._layers):
                names += [f"stage{stage}.block{layer}.{gene}" for gene in ("kernel", "expand", "se")]
        return tuple(names)

    def size(self) -> int:
        """Return how many distinct architectures it holds."""
        c = self.choices
        options = len(c.kernels) * len(c.expands) * len(c.se_ratios)
        a_stage = sum(int(options**depth) for depth in c.depths)
        return len(c.resolutions_px) * len(set(self._first_equal_width)) * prod([a_stage] * len(c.stages))

    @cached_property
    def _first_equal_width(self) -> tuple[int, ...]:
        """Width gene -> the first width gene that rounds to the same channels everywhere."""
        channels = [self._channels(width) for width in range(len(self.choices.widths))]
        return tuple(channels.index(own) for own in channels)

    def _channels(self, width: int) -> tuple[int, ...]:
        """Return the rounded channels at a width gene: stem, stages, head convolution."""
        c, factor = self.choices, self.choices.widths[width]
        base = (c.stem_channels, *(stage.out_channels for stage in c.stages), c.head_conv)
        return tuple(make_divisible(channels * factor) for channels in base)

    def sample(self, rng: np.random.Generator) -> Genome:
        """Draw a canonical genome, every gene uniformly."""
        return self.canonical(tuple(int(gene) for gene in rng.integers(0, self.cardinalities)))

    def mutate(self, genome: Genome, rng: np.random.Generator, rate: float) -> Genome:
        """Redraw each gene with probability ``rate``; the result is canonical."""
        fresh = rng.integers(0, self.cardinalities)
        chosen = rng.random(len(genome)) < rate
        return self.canonical(
            tuple(int(new if hit else old) for old, new, hit in zip(genome, fresh, chosen, strict=True))
        )

    def crossover(self, first: Genome, second: Genome, rng: np.random.Generator) -> Genome:
        """Take each gene from either parent; the result is canonical."""
        chosen = rng.random(len(first)) < 0.5
        return self.canonical(tuple(a if hit else b for a, b, hit in zip(first, second, chosen, strict=True)))

    def canonical(self, genome: Genome) -> Genome:
        """Return the one genome that stands for the same architecture."""
        if len(genome) != len(self.cardinalities) or any(
            not 0 <= gene < count for gene, count in zip(genome, self.cardinalities, strict=False)
        ):
            raise SpaceError(
                "SPC02",
                f"not a genome of {self.name}",
                value=genome,
                why=f"it needs {len(self.cardinalities)} genes below {self.cardinalities}",
                fix="take genomes from this space's own sample, mutate or encode",
            )
        genes = list(genome)
        genes[1] = self._first_equal_width[genes[1]]
        for start in self._stage_starts:
            used = self.choices.depths[genes[start]]
            for layer in range(used, self._layers):
                at = start + 1 + layer * _GENES_PER_LAYER
                genes[at : at + _GENES_PER_LAYER] = [0] * _GENES_PER_LAYER
        return tuple(genes)

    @cached_property
    def _stage_starts(self) -> tuple[int, ...]:
        step = 1 + self._layers * _GENES_PER_LAYER
        return tuple(_GLOBAL_GENES + stage * step for stage in range(len(self.choices.stages)))

    def decode(self, genome: Genome) -> Architecture:
        """Return the architecture of a genome.

        Raises:
            SpaceError: ``SPC02``: not a genome of this space.
        """
        genome = self.canonical(genome)
        c, channels, px = self.choices, self._channels(genome[1]), self.choices.resolutions_px[genome[0]]
        stages, source = [], channels[0]
        for stage, start in enumerate(self._stage_starts):
            blocks = []
            for layer in range(c.depths[genome[start]]):
                at = start + 1 + layer * _GENES_PER_LAYER
                kernel, expand, se = genome[at : at + _GENES_PER_LAYER]
                choice = (c.kernels[kernel], c.expands[expand], c.se_ratios[se])
                blocks.append(self._block(stage, layer == 0, source, channels[stage + 1], choice))
                source = channels[stage + 1]
            stages.append(Stage(tuple(blocks)))
        return Architecture(
            input_shape_chw=(c.in_channels, px, px),
            classes=c.classes,
            stem=self._stem(channels[0]),
            stages=tuple(stages),
            head=self._head(channels[-1]),
        )

    def _stem(self, channels: int) -> tuple[Block, ...]:
        conv = Block(
            op="conv", kernel_size=3, stride=self.choices.stem_stride, out_channels=channels, activation="hswish"
        )
        if not self.choices.stem_block:
            return (conv,)
        return (conv, Block(op="sepconv", kernel_size=3, out_channels=channels, activation="relu", skip=True))

    def _head(self, channels: int) -> tuple[Block, ...]:
        blocks = [
            Block(op="conv", out_channels=channels, activation="hswish"),
            Block(op="pool", out_channels=channels),
        ]
        if self.choices.head_linear:
            blocks.append(Block(op="linear", out_channels=self.choices.head_linear, activation="hswish"))
        return (*blocks, Block(op="linear", out_channels=self.choices.classes))

    def _block(
        self, stage: int, is_first: bool, in_channels: int, out_channels: int, choice: tuple[int, int, float]
    ) -> Block:
        kernel, expand, se_ratio = choice
        stride = self.choices.stages[stage].stride if is_first else 1
        mid = make_divisible(in_channels * expand)
        se_channels = make_divisible(mid * se_ratio) if se_ratio else 0
        return Block(
            op="mbconv",
            kernel_size=kernel,
            stride=stride,
            mid_channels=mid,
            se_channels=se_channels,
            se_gate="hsigmoid" if se_channels else "none",
            se_activation="relu" if se_channels else "none",
            out_channels=out_channels,
            activation=self.choices.stages[stage].activation,
            skip=stride == 1 and in_channels == out_channels,
        )

    def _options(self, stage: int, is_first: bool, in_channels: int, out_channels: int) -> dict[Block, Genome]:
        """Return every block that can stand in a place, with its genes."""
        c = self.choices
        found: dict[Block, Genome] = {}
        for genes in product(range(len(c.kernels)), range(len(c.expands)), range(len(c.se_ratios))):
            choice = (c.kernels[genes[0]], c.expands[genes[1]], c.se_ratios[genes[2]])
            found.setdefault(self._block(stage, is_first, in_channels, out_channels, choice), genes)
        return found

    def encode(self, architecture: Architecture) -> Genome:
        """Return the canonical genome of an architecture.

        Raises:
            SpaceError: ``SPC03``: it is not in this space.
        """
        px = architecture.input_shape_chw[1]
        if px in self.choices.resolutions_px:
            for width in range(len(self.choices.widths)):
                genome = self._match(architecture, self.choices.resolutions_px.index(px), width)
                if genome is not None and self.decode(genome) == architecture:
                    return genome
        raise SpaceError(
            "SPC03",
            f"the network is not in the space {self.name}",
            value=architecture.arch_id[:12],
            why="no resolution and width of the space give these blocks",
            fix="use the space that it was found in",
        )

    def _match(self, architecture: Architecture, resolution: int, width: int) -> Genome | None:
        channels, depths = self._channels(width), self.choices.depths
        if len(architecture.stages) != len(self.choices.stages):
            return None
        genes, source = [resolution, width], channels[0]
        for stage, found in enumerate(architecture.stages):
            if len(found.blocks) not in depths:
                return None
            genes.append(depths.index(len(found.blocks)))
            for layer, block in enumerate(found.blocks):
                own = self._options(stage, layer == 0, source, channels[stage + 1]).get(block)
                if own is None:
                    return None
                genes += own
                source = channels[stage + 1]
            genes += [0] * ((self._layers - len(found.blocks)) * _GENES_PER_LAYER)
        return self.canonical(tuple(genes))

    def contains(self, architecture: Architecture) -> bool:
        """Return whether `encode` would succeed."""
        try:
            self.encode(architecture)
        except SpaceError:
            return False
        return True

    def segments(self) -> Iterator[Segment]:
        """Yield every segment that some architecture of the space has, each once."""
        seen: set[Segment] = set()
        for px, width in product(self.choices.resolutions_px, sorted(set(self._first_equal_width))):
            for segment in self._segments_at(px, width):
                if segment not in seen:
                    seen.add(segment)
                    yield segment

    def _segments_at(self, px: int, width: int) -> Iterator[Segment]:
        channels = self._channels(width)
        yield self._stem_segment(px, channels)
        for place in self._places(px, channels):
            yield from place.first
            yield from place.others
        yield self._head_segment(px, channels)

    def _places(self, px: int, channels: tuple[int, ...]) -> Iterator[_StagePlaces]:
        """Yield the options of each stage with their genes: of its first layer, and of every later one."""
        source, side = channels[0], _halved(px, self.choices.stem_stride)
        for stage, fixed in enumerate(self.choices.stages):
            out = channels[stage + 1]
            after = _halved(side, fixed.stride)
            first, others = (
                {Segment("block", (block,), shape): genes for block, genes in options.items()}
                for options, shape in (
                    (self._options(stage, True, source, out), (source, side, side)),
                    (self._options(stage, False, out, out), (out, after, after)),
                )
            )
            yield _StagePlaces(first, others if self._layers > 1 else {})
            source, side = out, after

    def _stem_segment(self, px: int, channels: tuple[int, ...]) -> Segment:
        return Segment("stem", self._stem(channels[0]), (self.choices.in_channels, px, px))

    def _head_segment(self, px: int, channels: tuple[int, ...]) -> Segment:
        side = _halved(px, self.choices.stem_stride)
        for fixed in self.choices.stages:
            side = _halved(side, fixed.stride)
        shape: Shape = (channels[-2], side, side)
        return Segment("head", self._head(channels[-1]), shape)

    def cheapest(self, cost: Callable[[Segment], float]) -> Genome:
        """Return the genome whose segments' costs have the least sum; stages do not depend on one another."""
        best: tuple[float, Genome] | None = None
        for resolution, px in enumerate(self.choices.resolutions_px):
            for width in sorted(set(self._first_equal_width)):
                channels, genes = self._channels(width), [resolution, width]
                total = cost(self._stem_segment(px, channels)) + cost(self._head_segment(px, channels))
                for place in self._places(px, channels):
                    stage_cost, stage_genes = self._cheapest_stage(place, cost)
                    total += stage_cost
                    genes += stage_genes
                if best is None or total < best[0]:
                    best = (total, tuple(genes))
        assert best is not None, "a space has a resolution and a width"
        return self.canonical(best[1])

    def _cheapest_stage(self, place: _StagePlaces, cost: Callable[[Segment], float]) -> tuple[float, list[int]]:
        first = min(place.first, key=cost)
        other = min(place.others, key=cost, default=None)
        first_cost, other_cost = cost(first), 0.0 if other is None else cost(other)
        depth = min(range(len(self.choices.depths)), key=lambda d: (self.choices.depths[d] - 1) * other_cost)
        genes = [depth, *place.first[first], *(() if other is None else place.others[other] * (self._layers - 1))]
        return first_cost + (self.choices.depths[depth] - 1) * other_cost, genes

    def places(self) -> tuple[Place, ...]:
        """Return the places whose segments are those of any genome: stem, each layer up to the deepest, head."""
        return self._all_places

    @cached_property
    def _all_places(self) -> tuple[Place, ...]:
        c, sources = self.choices, {}
        for resolution, px in enumerate(c.resolutions_px):
            for width in range(len(c.widths)):
                sources[resolution, width] = (px, self._channels(width))
        ends = [
            Place((0, 1), tuple(make(px, channels) for px, channels in sources.values()))
            for make in (self._stem_segment, self._head_segment)
        ]
        layers = []
        for stage, start in enumerate(self._stage_starts):
            for layer in range(self._layers):
                at = start + 1 + layer * _GENES_PER_LAYER
                segments: list[Segment | None] = []
                for px, channels in sources.values():
                    found = self._layer_segments(stage, layer, px, channels)
                    for depth in c.depths:
                        segments += found if layer < depth else [None] * len(found)
                layers.append(Place((0, 1, start, *range(at, at + _GENES_PER_LAYER)), tuple(segments)))
        return (ends[0], *layers, ends[1])

    def _layer_segments(self, stage: int, layer: int, px: int, channels: tuple[int, ...]) -> list[Segment]:
        """Return what each choice of kernel, expansion and squeeze-and-excitation puts there, the last fastest."""
        c, out, side = self.choices, channels[stage + 1], _halved(px, self.choices.stem_stride)
        for fixed in c.stages[: stage if layer == 0 else stage + 1]:
            side = _halved(side, fixed.stride)
        source = channels[stage] if layer == 0 else out
        return [
            Segment("block", (self._block(stage, layer == 0, source, out, choice),), (source, side, side))
            for choice in product(c.kernels, c.expands, c.se_ratios)
        ]

    def extremes(self) -> tuple[Genome, Genome]:
        """Return the genomes of the smallest and of the largest architecture by MACs."""
        c = self.choices
        axes = (c.kernels, c.expands, c.se_ratios)
        found = []
        for pick in (_argmin, _argmax):
            stage = (pick(c.depths), *(tuple(pick(axis) for axis in axes) * self._layers))
            found.append(self.canonical((pick(c.resolutions_px), pick(c.widths), *(stage * len(c.stages)))))
        return found[0], found[1]


def _halved(px: int, stride: int) -> int:
    """Pixels behind an odd kernel with torch's symmetric padding."""
    return -(-px // stride)


def _argmin(values: tuple[int, ...] | tuple[float, ...]) -> int:
    return values.index(min(values))


def _argmax(values: tuple[int, ...] | tuple[float, ...]) -> int:
    return values.index(max(values))
