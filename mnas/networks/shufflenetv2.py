"""ShuffleNet V2. Source: Ma et al. 2018 (arXiv 1807.11164), table 5 and figure 3."""

from __future__ import annotations

from mnas.architecture import Architecture, Block
from mnas.networks.assembly import conv, in_stages
from mnas.networks.named import NamedNetwork, NetworkFacts

_STEM = 24
_ROWS = ((4, 116), (8, 232), (4, 464))
"""Units and channels of each stage; the first unit has stride 2, all kernels are 3 x 3."""


def shufflenetv2(px: int = 224, classes: int = 1000) -> Architecture:
    """ShuffleNet V2 1.0x."""
    blocks = tuple(
        Block(
            op="shufflev2",
            kernel_size=3,
            stride=2 if position == 0 else 1,
            mid_channels=channels // 2,
            out_channels=channels,
            activation="relu",
        )
        for units, channels in _ROWS
        for position in range(units)
    )
    return Architecture(
        input_shape_chw=(3, px, px),
        classes=classes,
        stem=(
            conv(_STEM, "relu", kernel=3, stride=2),
            Block(op="maxpool", kernel_size=3, stride=2, out_channels=_STEM),
        ),
        stages=in_stages(_STEM, blocks),
        head=(conv(1024, "relu"), Block(op="pool", out_channels=1024), Block(op="linear", out_channels=classes)),
    )


NETWORKS = (
    NamedNetwork(
        "shufflenetv2",
        shufflenetv2,
        NetworkFacts(
            paper="Ma et al. 2018",
            arxiv_id="1807.11164",
            top1=0.694,
            top1_place="table 8 and the authors' README (megvii-model/ShuffleNet-Series), as an error of 30.6 %",
            note="The paper gives images a second on a Snapdragon 810, no latency of a phone.",
        ),
    ),
)
