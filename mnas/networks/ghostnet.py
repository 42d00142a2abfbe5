"""GhostNet. Source: Han et al. 2020 (arXiv 1911.11907), table 1, and the authors' released code."""

from __future__ import annotations

from mnas.architecture import Architecture, Block
from mnas.networks.assembly import conv, in_stages
from mnas.networks.named import NamedNetwork, NetworkFacts
from mnas.rounding import make_divisible

_STEM = 16
_ROWS = (
    (3, 16, 16, False, 1),
    (3, 48, 24, False, 2),
    (3, 72, 24, False, 1),
    (5, 72, 40, True, 2),
    (5, 120, 40, True, 1),
    (3, 240, 80, False, 2),
    (3, 200, 80, False, 1),
    (3, 184, 80, False, 1),
    (3, 184, 80, False, 1),
    (3, 480, 112, True, 1),
    (3, 672, 112, True, 1),
    (5, 672, 160, True, 2),
    (5, 960, 160, False, 1),
    (5, 960, 160, True, 1),
    (5, 960, 160, False, 1),
    (5, 960, 160, True, 1),
)
"""Kernel of the strided depthwise convolution, width inside, output, squeeze-and-excitation, stride."""


def _blocks() -> tuple[Block, ...]:
    channels, blocks = _STEM, []
    for kernel, mid, out, use_se, stride in _ROWS:
        has_same_shape = stride == 1 and out == channels
        block = Block(
            op="ghost",
            kernel_size=kernel,
            stride=stride,
            mid_channels=mid,
            out_channels=out,
            se_channels=make_divisible(mid / 4, 4) if use_se else 0,
            se_gate="hsigmoid" if use_se else "none",
            se_activation="relu" if use_se else "none",
            activation="relu",
            skip=True,
            shortcut="identity" if has_same_shape else "conv",
        )
        blocks.append(block)
        channels = out
    return tuple(blocks)


def ghostnet(px: int = 224, classes: int = 1000) -> Architecture:
    """GhostNet 1.0x."""
    return Architecture(
        input_shape_chw=(3, px, px),
        classes=classes,
        stem=(conv(_STEM, "relu", kernel=3, stride=2),),
        stages=in_stages(_STEM, _blocks()),
        head=(
            conv(960, "relu"),
            Block(op="pool", out_channels=960),
            Block(op="linear", out_channels=1280, activation="relu"),
            Block(op="linear", out_channels=classes),
        ),
    )


NETWORKS = (
    NamedNetwork(
        "ghostnet",
        ghostnet,
        NetworkFacts(
            paper="Han et al. 2020",
            arxiv_id="1911.11907",
            top1=0.739,
            top1_place="comparison on ImageNet, 1.0x; 73.98 % of the authors' released weights",
            note="The paper draws its latencies and prints none. The 1 x 1 convolution behind the pool is a linear "
            "layer here.",
        ),
    ),
)
