"""Stems and heads as sums of their blocks, for tables that hold each block apart.

A piece is a segment, too: the first of a stem reads the network's input (role ``stem``), the last of a head gives its
output (role ``head``), all others are blocks.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from mnas.architecture import Block
from mnas.layers import Shape, layers_of_blocks
from mnas.segments import Segment


def canonical(segment: Segment) -> Segment:
    """Return a segment with each block in one form: a block that does not expand is a ``sepconv`` unless it squeezes.

    An ``mbconv`` whose ``mid_channels`` are those of its input has the very layers of a ``sepconv``.
    """
    if not any(block.op == "mbconv" and not block.se_channels for block in segment.blocks):
        return segment
    blocks, shape = [], segment.in_shape_chw
    for block in segment.blocks:
        is_plain = block.op == "mbconv" and block.mid_channels == shape[0] and not block.se_channels
        is_plain &= not block.always_expands
        blocks.append(replace(block, op="sepconv", mid_channels=0) if is_plain else block)
        shape = _after(block, shape)
    return replace(segment, blocks=tuple(blocks))


def _after(block: Block, shape: Shape) -> Shape:
    return layers_of_blocks((block,), shape)[-1].out_shape_chw


def pieces_of(segment: Segment, held: Container[Segment]) -> tuple[Segment, ...]:
    """Return the canonical pieces whose latencies add up to a segment's.

    Args:
        segment: Whole.
        held: The canonical segments that there are.

    Returns:
        The segment itself where it is held; else runs of its blocks, as long as they can be from the front while the
        run is held; blocks that are in no such run stand alone, and are what is missing.
    """
    segment = canonical(segment)
    if segment in held or len(segment.blocks) == 1:
        return (segment,)
    shapes = [segment.in_shape_chw]
    for block in segment.blocks:
        shapes.append(_after(block, shapes[-1]))
    pieces, start, count = [], 0, len(segment.blocks)
    while start < count:
        stops = range(count, start, -1)
        stop = next((stop for stop in stops if _piece(segment, shapes, start, stop) in held), start + 1)
        pieces.append(_piece(segment, shapes, start, stop))
        start = stop
    return tuple(pieces)


def _piece(segment: Segment, shapes: list[Shape], start: int, stop: int) -> Segment:
    role = "block"
    if segment.role == "stem" and start == 0:
        role = "stem"
    elif segment.role == "head" and stop == len(segment.blocks):
        role = "head"
    return Segment(role, segment.blocks[start:stop], shapes[start])
