"""The space that a `SpaceDefinition` spans: stem, stages with choices, head."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

from mnas.architecture import Architecture, Stage
from mnas.counts import total_macs
from mnas.errors import SpaceError
from mnas.layers import layers_of_blocks
from mnas.segments import Segment
from mnas.space import Genome, Place
from mnas.spaces.definition import SpaceDefinition
from mnas.spaces.operators import GenomeOperators
from mnas.spaces.staged_genes import GLOBAL_GENES, StagedGenes
from mnas.spaces.staged_segments import StagedSegments


class StagedSpace(GenomeOperators):
    """The networks of a definition.

    A genome holds resolution and width, then for each stage its depth, its filters where these have choices, and the
    choices of its layers: of all alike, or of each up to the deepest. The canonical genome of a network is the first of
    those that give it, gene by gene; genes of layers beyond the depth are 0.

    Attributes:
        definition: What spans it.
    """

    def __init__(self, definition: SpaceDefinition) -> None:
        self.definition = definition
        self._genes = StagedGenes(definition)
        self._segments = StagedSegments(self._genes)
        self._counts: dict[tuple[int, int, int], int] = {}

    @property
    def name(self) -> str:
        """Family and preset, or the name that a user gave."""
        return self.definition.name

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of choices of each gene."""
        return self._genes.cardinalities

    @property
    def gene_names(self) -> tuple[str, ...]:
        """A name for each gene."""
        return self._genes.gene_names

    def _count_from(self, stage: int, in_channels: int, width: int) -> int:
        """Number of distinct ways to go on from a stage that is fed so many channels."""
        if stage == len(self.definition.stages):
            return 1
        key = (stage, in_channels, width)
        if key not in self._counts:
            self._counts[key] = sum(
                self._genes.fillings(stage, in_channels, out).count * self._count_from(stage + 1, out, width)
                for out in dict.fromkeys(self._genes.outs(stage, width))
            )
        return self._counts[key]

    def size(self) -> int:
        """Return how many distinct architectures it holds."""
        return len(self.definition.resolutions_px) * sum(self._per_width.values())

    @cached_property
    def _per_width(self) -> dict[int, int]:
        """Width gene -> number of networks of that width at one resolution."""
        return {width: self._count_from(0, self._genes.stem_out(width), width) for width in self._genes.widths}

    def unrank(self, number: int) -> Genome:
        """Return the canonical genome of one of the architectures ``0 .. size - 1``; each has one number.

        Raises:
            SpaceError: ``SPC02``: there are not so many.
        """
        size = self.size()
        if not 0 <= number < size:
            raise self._not_a_genome(number, f"it holds {size} networks")
        resolution, number = divmod(number, size // len(self.definition.resolutions_px))
        for width, here in self._per_width.items():
            if number < here:
                return self._unrank_at(resolution, width, number)
            number -= here
        raise AssertionError("the counts of the widths add up to that of a resolution")

    def _unrank_at(self, resolution: int, width: int, number: int) -> Genome:
        genes = [0] * len(self.cardinalities)
        genes[:GLOBAL_GENES] = resolution, width
        channels = self._genes.stem_out(width)
        for stage in range(len(self.definition.stages)):
            number, channels = self._unrank_stage(stage, number, channels, width, genes)
        return tuple(genes)

    def _unrank_stage(self, stage: int, number: int, channels: int, width: int, genes: list[int]) -> tuple[int, int]:
        outs = self._genes.outs(stage, width)
        for filters, out in enumerate(outs):
            if out in outs[:filters]:  # filters that round to the same channels are one
                continue
            after = self._count_from(stage + 1, out, width)
            fillings = self._genes.fillings(stage, channels, out)
            if number < fillings.count * after:
                own, number = divmod(number, after)
                self._genes.write(stage, genes, filters, *fillings.filling(own))
                return number, out
            number -= fillings.count * after
        raise AssertionError("the counts of a stage add up to those before it")

    def canonical(self, genome: Genome) -> Genome:
        """Return the one genome that stands for the same architecture.

        Raises:
            SpaceError: ``SPC02``: wrong length or a choice out of range.
        """
        self._check(genome)
        genes = list(genome)
        genes[1] = width = self._genes.first_equal_width[genome[1]]
        channels = self._genes.stem_out(width)
        for stage, place in enumerate(self._genes.layout[1]):
            outs = self._genes.outs(stage, width)
            out = outs[0 if place.filters is None else genome[place.filters]]
            own = self._genes.fillings(stage, channels, out).canonical(genome[place.depth], place.choices(genome))
            self._genes.write(stage, genes, outs.index(out), *own)
            channels = out
        return tuple(genes)

    def _check(self, genome: Genome) -> None:
        if len(genome) != len(self.cardinalities) or any(
            not 0 <= gene < count for gene, count in zip(genome, self.cardinalities, strict=False)
        ):
            raise self._not_a_genome(genome, f"it needs {len(self.cardinalities)} genes below {self.cardinalities}")

    def _not_a_genome(self, value: object, why: str) -> SpaceError:
        return SpaceError(
            "SPC02",
            f"not a genome of {self.name}",
            value=value,
            why=why,
            fix="take genomes from this space's own sample, mutate or encode",
        )

    def decode(self, genome: Genome) -> Architecture:
        """Return the architecture of a genome.

        Raises:
            SpaceError: ``SPC02``: not a genome of this space.
        """
        self._check(genome)
        d, width = self.definition, self._genes.first_equal_width[genome[1]]
        channels, stages = self._genes.stem_out(width), []
        for stage, place in enumerate(self._genes.layout[1]):
            out = self._genes.outs(stage, width)[0 if place.filters is None else genome[place.filters]]
            fillings = self._genes.fillings(stage, channels, out)
            stages.append(Stage(fillings.blocks(genome[place.depth], place.choices(genome))))
            channels = out
        px = d.resolutions_px[genome[0]]
        return Architecture(
            input_shape_chw=(d.in_channels, px, px),
            classes=d.classes,
            stem=self._genes.stem(width),
            stages=tuple(stages),
            head=self._genes.head(width, channels),
        )

    def encode(self, architecture: Architecture) -> Genome:
        """Return the canonical genome of an architecture.

        Raises:
            SpaceError: ``SPC03``: it is not in this space.
        """
        px = architecture.input_shape_chw[1]
        if px in self.definition.resolutions_px and len(architecture.stages) == len(self.definition.stages):
            for width in self._genes.widths:
                genome = self._match(architecture, self.definition.resolutions_px.index(px), width)
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
        genes = [0] * len(self.cardinalities)
        genes[:GLOBAL_GENES] = resolution, width
        channels = self._genes.stem_out(width)
        for stage, found in enumerate(architecture.stages):
            outs = self._genes.outs(stage, width)
            if not found.blocks or found.blocks[0].out_channels not in outs:
                return None
            out = found.blocks[0].out_channels
            own = self._genes.fillings(stage, channels, out).match(found.blocks)
            if own is None:
                return None
            self._genes.write(stage, genes, outs.index(out), *own)
            channels = out
        return tuple(genes)

    def segments(self) -> Iterator[Segment]:
        """Yield every segment that some architecture of the space has, each once."""
        return self._segments.segments()

    def places(self) -> tuple[Place, ...]:
        """Return the places whose segments are those of any genome: stem, each layer up to the deepest, head."""
        return self._segments.places()

    def cheapest(self, cost: Callable[[Segment], float]) -> Genome:
        """Return the genome whose segments' costs have the least sum; exact, by dynamic programming over channels."""
        return self.canonical(self._segments.cheapest(cost))

    def extremes(self) -> tuple[Genome, Genome]:
        """Return the genomes of the smallest and of the largest architecture by MACs."""
        return self._extremes

    @cached_property
    def _extremes(self) -> tuple[Genome, Genome]:
        known = {one: total_macs(layers_of_blocks(one.blocks, one.in_shape_chw)) for one in self.segments()}
        return self.cheapest(lambda one: known[one]), self.cheapest(lambda one: -known[one])
