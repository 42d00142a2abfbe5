"""What the tables of several families are put together with: inverted bottlenecks, stages, the usual head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mnas.architecture import Architecture, Block, Stage


class Row(NamedTuple):
    """Inverted bottlenecks of one kind, the first of which takes the stride and the change of channels.

    Attributes:
        repeats: How many.
        kernel: Pixels.
        stride: Of the first.
        expand: Channels inside, as a multiple of each block's input.
        out: Channels of the output.
        se: Channels of the squeeze, as a share of each block's input rounded down; 0 means none.
    """

    repeats: int
    kernel: int
    stride: int
    expand: int
    out: int
    se: float = 0.0


def conv(out: int, activation: str, *, kernel: int = 1, stride: int = 1) -> Block:
    """Return a convolution with batch norm."""
    return Block(op="conv", kernel_size=kernel, stride=stride, out_channels=out, activation=activation)


def bottleneck(
    channels: int,
    kernel: int,
    mid: int,
    out: int,
    stride: int,
    activation: str,
    *,
    se_channels: int = 0,
    se_gate: str = "sigmoid",
    se_activation: str = "relu",
    always_expands: bool = False,
) -> Block:
    """Return an inverted bottleneck that adds its input wherever the shapes allow it."""
    return Block(
        op="mbconv",
        kernel_size=kernel,
        stride=stride,
        mid_channels=mid,
        out_channels=out,
        activation=activation,
        se_channels=se_channels,
        se_gate=se_gate if se_channels else "none",
        se_activation=se_activation if se_channels else "none",
        skip=stride == 1 and channels == out,
        always_expands=always_expands,
    )


def bottlenecks(
    channels: int,
    rows: Iterable[Row],
    activation: str,
    *,
    se_activation: str = "relu",
    always_expands: bool = False,
) -> tuple[Block, ...]:
    """Return the blocks of a table, fed with so many channels."""
    blocks = []
    for row in rows:
        for position in range(row.repeats):
            block = bottleneck(
                channels,
                row.kernel,
                channels * row.expand,
                row.out,
                row.stride if position == 0 else 1,
                activation,
                se_channels=int(channels * row.se),
                se_activation=se_activation,
                always_expands=always_expands,
            )
            blocks.append(block)
            channels = row.out
    return tuple(blocks)


def in_stages(channels: int, blocks: Iterable[Block]) -> tuple[Stage, ...]:
    """Group blocks: a stage begins where the channels or the resolution change."""
    stages: list[list[Block]] = []
    for block in blocks:
        if not stages or block.stride > 1 or block.out_channels != channels:
            stages.append([])
        stages[-1].append(block)
        channels = block.out_channels
    return tuple(Stage(tuple(stage)) for stage in stages)


def classifier(
    px: int, classes: int, stem: tuple[Block, ...], blocks: Sequence[Block], head_conv: Block
) -> Architecture:
    """Return a network of RGB images: stem, stages, a convolution, global pooling, one linear layer."""
    return Architecture(
        input_shape_chw=(3, px, px),
        classes=classes,
        stem=stem,
        stages=in_stages(stem[-1].out_channels, blocks),
        head=(
            head_conv,
            Block(op="pool", out_channels=head_conv.out_channels),
            Block(op="linear", out_channels=classes),
        ),
    )
