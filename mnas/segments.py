"""The parts whose latencies are added up: the stem, every block in its place, the head."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from mnas.architecture import Architecture, Block
from mnas.counts import total_params
from mnas.layers import STEM, LayerSpec, Shape, layers_of, layers_of_blocks


@dataclass(frozen=True, slots=True)
class Segment:
    """Blocks in their place: what one entry of a latency table stands for.

    Attributes:
        role: ``stem`` (reads the network's input), ``block`` or ``head`` (gives the network's output).
        blocks: One block, or all of the stem's or the head's.
        in_shape_chw: What they are fed.
    """

    role: str
    blocks: tuple[Block, ...]
    in_shape_chw: Shape

    @property
    def params(self) -> int:
        """Parameters of its layers."""
        return total_params(layers_of_blocks(self.blocks, self.in_shape_chw))

    def label(self) -> str:
        """Return a short text for people."""
        channels, height, width = self.in_shape_chw
        return f"{self.role} {channels}x{height}x{width} " + " + ".join(block.label() for block in self.blocks)


def segments_of(architecture: Architecture) -> tuple[Segment, ...]:
    """Return the segments of a network in order; their input shapes come from `layers_of`.

    Raises:
        ArchitectureError: A block does not fit the one before it.
    """
    blocks = iter(architecture.blocks)
    head_stage = len(architecture.stages)
    shapes = [next(layers) for _, layers in groupby(layers_of(architecture), key=lambda layer: layer.block)]
    parts: dict[str, list[tuple[Block, Shape]]] = {"stem": [], "head": []}
    middle: list[Segment] = []
    for first in shapes:
        block, shape = next(blocks), _input_shape(first)
        if first.block[0] == STEM:
            parts["stem"].append((block, shape))
        elif first.block[0] == head_stage:
            parts["head"].append((block, shape))
        else:
            middle.append(Segment("block", (block,), shape))
    stem, head = (_joined(role, parts[role]) for role in ("stem", "head"))
    return (*stem, *middle, *head)


def _joined(role: str, parts: list[tuple[Block, Shape]]) -> tuple[Segment, ...]:
    if not parts:
        return ()
    return (Segment(role, tuple(block for block, _ in parts), parts[0][1]),)


def _input_shape(layer: LayerSpec) -> Shape:
    return layer.in_shapes_chw[0]
