"""The genes of a staged space: where each stands, what channels they come to, and what fills a stage."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from mnas.architecture import Block
from mnas.rounding import make_divisible
from mnas.space import Genome
from mnas.spaces.definition import BlockTemplate, SpaceDefinition
from mnas.spaces.layer_options import Choice, LayerOptions, free_axes
from mnas.spaces.stage_choices import StageChoices, layer_choices, stage_choices

GLOBAL_GENES = 2
_GENE_NAMES = {
    "ops": "op",
    "kernels": "kernel",
    "expands": "expand",
    "se_ratios": "se",
    "skips": "skip",
    "activations": "activation",
    "dilations": "dilation",
    "groups": "groups",
}


@dataclass(frozen=True, slots=True)
class StageGenes:
    """Where the genes of a stage stand.

    Attributes:
        depth: Index of its gene.
        filters: Index of its gene, ``None`` where there is one choice alone.
        layers: First gene of each layer that has choices of its own.
        axes: Axes with a gene, in order.
    """

    depth: int
    filters: int | None
    layers: tuple[int, ...]
    axes: tuple[str, ...]

    def choices(self, genome: Genome) -> tuple[Choice, ...]:
        """Return the choices that a genome holds for the stage's layers."""
        return tuple(genome[at : at + len(self.axes)] for at in self.layers)

    def of_layer(self, layer: int) -> tuple[int, ...]:
        """Genes that decide a layer's choices."""
        at = self.layers[min(layer, len(self.layers) - 1)]
        return tuple(range(at, at + len(self.axes)))


class StagedGenes:
    """Layout and channels of a definition.

    Attributes:
        definition: What spans the space.
    """

    def __init__(self, definition: SpaceDefinition) -> None:
        self.definition = definition
        self._known: dict[tuple[int, int, int], StageChoices] = {}
        self._later: dict[tuple[int, int], LayerOptions] = {}
        self._stems: dict[int, tuple[Block, ...]] = {}
        self._outs: dict[tuple[int, int], tuple[int, ...]] = {}

    @cached_property
    def layout(self) -> tuple[tuple[tuple[str, int], ...], tuple[StageGenes, ...]]:
        """Name and number of choices of each gene, and where those of each stage stand."""
        d = self.definition
        genes: list[tuple[str, int]] = [("resolution", len(d.resolutions_px)), ("width", len(d.widths))]
        stages = []
        for number, stage in enumerate(d.stages):
            axes, depth, filters = free_axes(stage), len(genes), None
            genes.append((f"stage{number}.depth", len(stage.depths)))
            if len(stage.filters) > 1:
                filters = len(genes)
                genes.append((f"stage{number}.filters", len(stage.filters)))
            starts = []
            for layer in layer_choices(stage):
                starts.append(len(genes))
                place = f"stage{number}" if stage.same_layers else f"stage{number}.block{layer}"
                genes += [(f"{place}.{_GENE_NAMES[axis]}", len(getattr(stage, axis))) for axis in axes]
            stages.append(StageGenes(depth, filters, tuple(starts), axes))
        return tuple(genes), tuple(stages)

    @cached_property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of choices of each gene."""
        return tuple(count for _, count in self.layout[0])

    @cached_property
    def gene_names(self) -> tuple[str, ...]:
        """A name for each gene."""
        return tuple(name for name, _ in self.layout[0])

    def _scaled(self, template: BlockTemplate, width: int, in_channels: int) -> int:
        if template.channels is None:
            return self.definition.classes if template.op == "linear" else in_channels
        if not template.is_scaled or template.op == "linear":
            return template.channels
        return make_divisible(template.channels * self.definition.widths[width], self.definition.divisor)

    def outs(self, stage: int, width: int) -> tuple[int, ...]:
        """Output channels of a stage for each choice of its filters."""
        if (stage, width) not in self._outs:
            fixed, d = self.definition.stages[stage], self.definition
            self._outs[stage, width] = tuple(
                make_divisible(fixed.channels * d.widths[width] * one, d.divisor) for one in fixed.filters
            )
        return self._outs[stage, width]

    @cached_property
    def first_equal_width(self) -> tuple[int, ...]:
        """Width gene -> the first width gene that rounds to the same channels everywhere."""
        everywhere = []
        for width in range(len(self.definition.widths)):
            outs = [self.outs(stage, width) for stage in range(len(self.definition.stages))]
            everywhere.append((self.stem(width), outs, self.head(width, outs[-1][0])))
        return tuple(everywhere.index(own) for own in everywhere)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Width genes that differ from each other."""
        return tuple(sorted(set(self.first_equal_width)))

    def stem(self, width: int) -> tuple[Block, ...]:
        """Return the stem's blocks at a width gene."""
        if width not in self._stems:
            self._stems[width] = self._fixed_blocks(self.definition.stem, width, self.definition.in_channels)
        return self._stems[width]

    def head(self, width: int, in_channels: int) -> tuple[Block, ...]:
        """Return the head's blocks at a width gene, behind so many channels."""
        return self._fixed_blocks(self.definition.head, width, in_channels)

    def _fixed_blocks(self, templates: tuple[BlockTemplate, ...], width: int, channels: int) -> tuple[Block, ...]:
        blocks = []
        for template in templates:
            out = self._scaled(template, width, channels)
            mid = channels * template.expand if template.op == "mbconv" else 0
            kept = ("op", "kernel_size", "stride", "activation", "out_activation", "norm", "padding", "skip")
            fields = {name: getattr(template, name) for name in kept}
            blocks.append(Block(**fields, mid_channels=mid, out_channels=out))
            channels = out
        return tuple(blocks)

    def stem_out(self, width: int) -> int:
        """Return the channels that the stem gives at a width gene."""
        return self.stem(width)[-1].out_channels

    def fillings(self, stage: int, in_channels: int, out_channels: int) -> StageChoices:
        """Return what can fill a stage between given channels."""
        key = (stage, in_channels, out_channels)
        if key not in self._known:
            fixed, d = self.definition.stages[stage], self.definition
            first = LayerOptions(d, fixed, in_channels, out_channels, fixed.stride)
            self._known[key] = stage_choices(fixed, first, self.later_layer(stage, out_channels))
        return self._known[key]

    def later_layer(self, stage: int, channels: int) -> LayerOptions:
        """Return the options of a stage's layers behind the first; what the stage is fed plays no part."""
        if (stage, channels) not in self._later:
            fixed = self.definition.stages[stage]
            self._later[stage, channels] = LayerOptions(self.definition, fixed, channels, channels, 1)
        return self._later[stage, channels]

    def write(self, stage: int, genes: list[int], filters: int, depth: int, choices: tuple[Choice, ...]) -> None:
        """Write a stage's genes into a genome."""
        place = self.layout[1][stage]
        genes[place.depth] = depth
        if place.filters is not None:
            genes[place.filters] = filters
        for at, choice in zip(place.layers, choices, strict=True):
            genes[at : at + len(choice)] = choice
