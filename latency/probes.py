"""The small networks that are measured in order to know one segment.

``accurate`` measures a segment embedded between two fixed 1 x 1 convolutions and takes off what those cost: half of
a network that holds only the prefix and its mirror image, and half of one for the suffix. Layout conversions at the
network's edges and the runtime's overhead cancel, and the sum over a whole network keeps the overhead exactly once
(half of it stays with the stem, half with the head). ``fast`` measures each segment alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mnas.architecture import Block
from mnas.export.artifact import ModelArtifact
from mnas.export.network import Dtype, write_layers, write_network
from mnas.layers import LayerSpec, Shape, layers_of_blocks
from mnas.segments import Segment

__all__ = ["EDGE_CHANNELS", "Mode", "Probe", "SegmentProbes", "probes_of", "write_network", "write_probe"]

Mode = Literal["accurate", "fast"]
EDGE_CHANNELS = 16
"""Channels outside the edges; a multiple of every CPU kernel's channel block."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A network to be measured.

    Attributes:
        blocks: Its blocks in a chain.
        in_shape_chw: What it is fed.
    """

    blocks: tuple[Block, ...]
    in_shape_chw: Shape

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return its layers."""
        return layers_of_blocks(self.blocks, self.in_shape_chw)


@dataclass(frozen=True, slots=True)
class SegmentProbes:
    """What must be measured for one segment: its latency is ``main - sum(edges) / 2``."""

    main: Probe
    edges: tuple[Probe, ...]


def _edge_conv(out_channels: int) -> Block:
    return Block(op="conv", out_channels=out_channels, norm="none")


def _edge(shape: Shape) -> Probe:
    """Return the network that holds an edge and its mirror image around features of ``shape``."""
    channels, height, width = shape
    return Probe((_edge_conv(channels), _edge_conv(EDGE_CHANNELS)), (EDGE_CHANNELS, height, width))


def probes_of(segment: Segment, mode: Mode) -> SegmentProbes:
    """Return the networks to measure for a segment."""
    if mode == "fast":
        return SegmentProbes(Probe(segment.blocks, segment.in_shape_chw), ())
    blocks, shape, edges = segment.blocks, segment.in_shape_chw, []
    if segment.role != "head":
        out_shape = layers_of_blocks(segment.blocks, segment.in_shape_chw)[-1].out_shape_chw
        blocks = (*blocks, _edge_conv(EDGE_CHANNELS))
        edges.append(_edge(out_shape))
    if segment.role != "stem":
        blocks = (_edge_conv(shape[0]), *blocks)
        edges.append(_edge(segment.in_shape_chw))
        shape = (EDGE_CHANNELS, *shape[1:])
    return SegmentProbes(Probe(blocks, shape), tuple(edges))


def write_probe(probe: Probe, folder: Path, model_format: str, dtype: Dtype = "float32") -> ModelArtifact:
    """Write a probe with random weights; the same probe gives the same bytes everywhere."""
    return write_layers(probe.layers(), probe.in_shape_chw, folder, model_format, dtype=dtype)
