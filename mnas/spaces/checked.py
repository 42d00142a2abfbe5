"""Whether a definition spans a space that can be held and built: every choice of it, before anything is measured."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import log10, prod

from mnas.architecture import Block
from mnas.errors import ArchitectureError, SpaceError
from mnas.layers import Shape, layers_of_blocks
from mnas.limits import MOST_BLOCKS, require_holdable
from mnas.spaces.definition import AXES, SpaceDefinition, StageDefinition
from mnas.spaces.layer_options import free_axes, make_block
from mnas.spaces.staged import StagedSpace
from mnas.spaces.staged_genes import StagedGenes

MOST_CELLS = 2_000_000
"""Segments in the places of a space, equal ones counted at each combination of genes; a latency table's look-up holds
as many numbers. The presets have 45,000 at most."""
MOST_CHOICES = 50_000
"""Blocks that are made in order to check a space, some ten seconds of work."""
MOST_DIGITS = 300
"""Of the number of networks; more would be no number to whoever reports it."""


def checked_space(definition: SpaceDefinition) -> StagedSpace:
    """Return the space of a definition.

    Raises:
        SpaceError: ``SPC10``: a choice cannot be built; ``SPC11``: the space is too large to be held. The message names
            the stage, and the choice or the number.
    """
    _require_size(definition)
    _Check(definition).all()
    space = StagedSpace(definition)
    digits = int(space.size().bit_length() * log10(2)) + 1
    if digits > MOST_DIGITS:
        raise _too_large(
            definition, "stages: it holds too many networks", digits, MOST_DIGITS, "digits of their number"
        )
    return space


def _too_large(definition: SpaceDefinition, what: str, seen: int, most: int, unit: str) -> SpaceError:
    return SpaceError(
        "SPC11",
        f"the space {definition.name} is too large, {what}",
        value=f"{seen:,} {unit}",
        why=f"at most {most:,} can be held",
        fix="give the stages fewer layers or choices",
    )


def cells_of(definition: SpaceDefinition) -> tuple[int, ...]:
    """Return how many segments the places of each stage hold, counted without making any."""
    scales = len(definition.resolutions_px) * len(definition.widths)
    found, before = [], 1
    for stage in definition.stages:
        filters = len(stage.filters)
        each = scales * filters * len(stage.depths) * _choices(stage)
        found.append(each * (before + max(stage.depths) - 1))
        before = filters
    return tuple(found)


def _choices(stage: StageDefinition) -> int:
    return prod(len(getattr(stage, axis)) for axis in AXES)


def _require_size(definition: SpaceDefinition) -> None:
    cells = cells_of(definition)
    if sum(cells) > MOST_CELLS:
        largest = max(range(len(cells)), key=cells.__getitem__)
        what = f"stages[{largest}] most of all: what can stand in its layers"
        raise _too_large(definition, what, sum(cells), MOST_CELLS, "segments in all places")
    blocks = len(definition.stem) + sum(max(stage.depths) for stage in definition.stages) + len(definition.head)
    if blocks > MOST_BLOCKS:
        raise _too_large(definition, "stages: its deepest network", blocks, MOST_BLOCKS, "blocks")
    filters = [1, *(len(stage.filters) for stage in definition.stages)]
    made = sum(
        len(definition.widths) * filters[number + 1] * (filters[number] + 1) * _choices(stage)
        for number, stage in enumerate(definition.stages)
    )
    if made > MOST_CHOICES:
        raise _too_large(definition, "stages: the choices of a layer", made, MOST_CHOICES, "combinations")


class _Check:
    """Walks everything that a space can hold once."""

    def __init__(self, definition: SpaceDefinition) -> None:
        self._definition = definition
        self._genes = StagedGenes(definition)
        self._seen: set[tuple[Block, Shape]] = set()

    def all(self) -> None:
        """Check stem, stages and head, the former and the latter at every resolution."""
        for width in range(len(self._definition.widths)):
            sides = [self._stem(px, width) for px in self._definition.resolutions_px]
            sources: tuple[int, ...] = (self._genes.stem_out(width),)
            for number, stage in enumerate(self._definition.stages):
                outs = self._outs(number, width)
                for source, out in product(sources, outs):
                    self._stage(number, (source, min(sides), min(sides)), out)
                sources, sides = outs, [-(-side // stage.stride) for side in sides]
            for side, source in product(dict.fromkeys(sides), sources):
                self._head((source, side, side), width)

    def _outs(self, stage: int, width: int) -> tuple[int, ...]:
        return tuple(dict.fromkeys(self._genes.outs(stage, width)))

    def _stem(self, px: int, width: int) -> int:
        """Return the side behind the stem."""
        shape = (self._definition.in_channels, px, px)
        try:
            blocks = self._genes.stem(width)
        except ArchitectureError as error:
            raise self._unbuildable("stem", "", error) from error
        return self._fixed("stem", blocks, shape)[1]

    def _head(self, shape: Shape, width: int) -> None:
        try:
            blocks = self._genes.head(width, shape[0])
        except ArchitectureError as error:
            raise self._unbuildable("head", "", error) from error
        classes = self._fixed("head", blocks, shape)[0]
        if classes != self._definition.classes:
            why = f"it gives {classes} outputs, and there are {self._definition.classes} classes"
            raise self._unbuildable(f"head[{len(blocks) - 1}]", _fed(shape), ArchitectureError("ARC01", why))

    def _fixed(self, part: str, blocks: tuple[Block, ...], shape: Shape) -> Shape:
        """Check stem or head block by block and return what it gives."""
        for number, block in enumerate(blocks):
            shape = self._walk(f"{part}[{number}]", block, shape, _fed(shape))
        return shape

    def _stage(self, number: int, shape: Shape, out: int) -> None:
        stage = self._definition.stages[number]
        side = -(-shape[1] // stage.stride)
        # Later layers are made even where there are none, so that they must be blocks.
        for layer, fed, stride in (("first", shape, stage.stride), ("later", (out, side, side), 1)):
            for picked in _picks(stage):
                words = f"{_words(stage, picked)} in the {layer} layer, {_fed(fed)}, {out} channels out"
                try:
                    block = make_block(self._definition, picked, fed[0], out, stride)
                except ArchitectureError as error:
                    raise self._unbuildable(f"stages[{number}]", words, error) from error
                is_reached = layer == "first" or max(stage.depths) > 1
                if is_reached and (block, fed) not in self._seen:
                    self._seen.add((block, fed))
                    self._walk(f"stages[{number}]", block, fed, words)

    def _walk(self, place: str, block: Block, shape: Shape, words: str) -> Shape:
        try:
            layers = layers_of_blocks((block,), shape)
            require_holdable(layers)
        except ArchitectureError as error:
            raise self._unbuildable(place, words, error) from error
        return layers[-1].out_shape_chw

    def _unbuildable(self, place: str, words: str, error: ArchitectureError) -> SpaceError:
        return SpaceError(
            "SPC10",
            f"the space {self._definition.name} holds what cannot be built, {place}",
            value=words or None,
            why="; ".join(part for part in (error.what, error.why) if part),
            fix="take that choice out, or change what it must fit",
        )


def _fed(shape: Shape) -> str:
    return f"fed {'x'.join(map(str, shape))}"


def _picks(stage: StageDefinition) -> Iterator[dict[str, object]]:
    """Yield every combination of a layer's choices."""
    for values in product(*(getattr(stage, axis) for axis in AXES)):
        yield dict(zip(AXES, values, strict=True))


def _words(stage: StageDefinition, picked: dict[str, object]) -> str:
    """Say a combination by the axes that have choices, and the op."""
    shown = dict.fromkeys(("ops", *free_axes(stage)))
    return ", ".join(f"{axis} {picked[axis]}" for axis in shown)
