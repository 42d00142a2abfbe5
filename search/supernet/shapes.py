"""The largest form of every weight in a space: what a supernet holds, and every network takes its share of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from mnas.architecture import Architecture, Block
from mnas.errors import SpaceError
from mnas.layers import LayerSpec, Shape, layers_of, layers_of_blocks
from mnas.segments import Segment
from mnas.spaces.staged import StagedSpace

ELASTIC_OPS = ("conv", "sepconv", "mbconv", "maxpool", "pool", "flatten", "linear")
"""Blocks whose weights have an elastic form, or that have none."""
_CACHED_WALKS = 512


@dataclass(frozen=True, slots=True)
class Walk:
    """A network's layers, with the name of the weights that each takes its share of.

    Attributes:
        layers: As `mnas.layers.layers_of` gives them.
        keys: Index of a layer with weights -> name of the shared ones.
    """

    layers: tuple[LayerSpec, ...]
    keys: dict[int, str]


@dataclass(slots=True)
class LargestWeights:
    """The weights that all networks share at one place.

    Attributes:
        op: ``conv`` or ``linear``.
        out_channels: The most.
        in_channels: The most that one filter sees: 1 where the convolution is depthwise.
        kernels: Every kernel size that occurs, pixels.
        has_norm: Whether a batch norm follows.
        has_bias: Whether there is a bias beside it.
    """

    op: str
    out_channels: int = 0
    in_channels: int = 0
    kernels: set[int] = field(default_factory=set)
    has_norm: bool = False
    has_bias: bool = False

    def take(self, layer: LayerSpec) -> None:
        """Grow so far that the layer's weights are a part."""
        self.out_channels = max(self.out_channels, layer.out_shape_chw[0])
        self.in_channels = max(self.in_channels, layer.in_shapes_chw[0][0] // layer.groups)
        self.kernels.add(layer.kernel_size)
        self.has_norm |= layer.norm == "batch"
        self.has_bias |= layer.has_bias


def walk_of(architecture: Architecture) -> Walk:
    """Return a network's layers and the names of the weights they share; the last few are kept.

    Raises:
        ArchitectureError: A block does not fit the one before it.
    """
    return _walk(architecture)


@lru_cache(maxsize=_CACHED_WALKS)
def _walk(architecture: Architecture) -> Walk:
    layers, stages = layers_of(architecture), architecture.stages
    groups = {-1: architecture.stem, len(stages): architecture.head}
    groups |= {number: stage.blocks for number, stage in enumerate(stages)}
    keys = {}
    for layer in layers:
        if layer.op in ("conv", "linear"):
            stage, position = layer.block
            keys[layer.index] = _key(layer.name, groups[stage][position])
    return Walk(layers, keys)


def _key(name: str, block: Block) -> str:
    """Return a name that no other kind of block in the same place shares, e.g. ``stage0_block1_mbconv_expand``."""
    place, _, part = name.rpartition(".")
    return f"{place}.{block.op}.{part}".replace(".", "_")


def largest_weights(space: StagedSpace) -> dict[str, LargestWeights]:
    """Return name -> the largest form of every weight that some network of the space has.

    Raises:
        SpaceError: ``SPC12``: the space holds a kind of block that has no elastic form.
    """
    found: dict[str, LargestWeights] = {}
    for place, segment in _segments(space):
        for layer in layers_of_blocks(segment.blocks, segment.in_shape_chw):
            if layer.op not in ("conv", "linear"):
                continue
            block = segment.blocks[layer.block[1]]
            _require_elastic(space, block, layer)
            key = _key(place + layer.name.removeprefix("block0" if segment.role == "block" else ""), block)
            found.setdefault(key, LargestWeights(layer.op)).take(layer)
    return found


def _segments(space: StagedSpace) -> Iterator[tuple[str, Segment]]:
    """Yield the beginning of the layers' names and a segment, for all that can stand in each place."""
    depths = [max(stage.depths) for stage in space.definition.stages]
    names = [f"stage{stage}.block{layer}" for stage, depth in enumerate(depths) for layer in range(depth)]
    for name, place in zip(("stem.", *names, "head."), space.places(), strict=True):
        seen: set[tuple[tuple[Block, ...], int]] = set()
        for segment in place.segments:
            if segment is None:
                continue
            seen_as = (segment.blocks, _channels(segment.in_shape_chw))
            if seen_as not in seen:  # another resolution has the same weights
                seen.add(seen_as)
                yield name, segment


def _channels(shape_chw: Shape) -> int:
    return shape_chw[0]


def _require_elastic(space: StagedSpace, block: Block, layer: LayerSpec) -> None:
    is_plain = layer.groups in (1, layer.in_shapes_chw[0][0])
    if block.op in ELASTIC_OPS and block.shortcut != "conv" and is_plain:
        return
    raise SpaceError(
        "SPC12",
        f"a block of the space {space.name} has no elastic form",
        value=block.label(),
        why="channels that are shuffled, halved or grouped change their meaning with the width, so networks cannot "
        "share them",
        fix=f"use a space of {', '.join(ELASTIC_OPS[:3])}, or another estimator",
    )
