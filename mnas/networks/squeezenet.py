"""SqueezeNet. Source: Iandola et al. 2016 (arXiv 1602.07360) and the authors' release of version 1.1."""

from __future__ import annotations

from mnas.architecture import Architecture, Block, Stage
from mnas.networks.named import NamedNetwork, NetworkFacts

_STAGES = (((16, 128), (16, 128)), ((32, 256), (32, 256)), ((48, 384), (48, 384), (64, 512), (64, 512)))
"""Fire modules behind each max pool: channels of the squeeze, and of the output (half 1 x 1, half 3 x 3)."""


def squeezenet_1_1(px: int = 224, classes: int = 1000) -> Architecture:
    """SqueezeNet 1.1.

    The max pools leave out the last row and column where a window does not fit; the release rounds up instead, which
    differs at some sizes but not at 224 px.
    """
    channels = 64
    stages = []
    for fires in _STAGES:
        blocks = [Block(op="maxpool", kernel_size=3, stride=2, out_channels=channels, norm="none", padding="none")]
        blocks += [
            Block(op="fire", kernel_size=3, mid_channels=squeeze, out_channels=out, activation="relu", norm="none")
            for squeeze, out in fires
        ]
        stages.append(Stage(tuple(blocks)))
        channels = blocks[-1].out_channels
    stem = Block(op="conv", kernel_size=3, stride=2, out_channels=64, activation="relu", norm="none", padding="none")
    return Architecture(
        input_shape_chw=(3, px, px),
        classes=classes,
        stem=(stem,),
        stages=tuple(stages),
        head=(
            Block(op="conv", out_channels=classes, activation="relu", norm="none"),
            Block(op="pool", out_channels=classes),
            Block(op="flatten", out_channels=classes),
        ),
    )


NETWORKS = (
    NamedNetwork(
        "squeezenet-1.1",
        squeezenet_1_1,
        NetworkFacts(
            paper="Iandola et al. 2016",
            arxiv_id="1602.07360",
            top1=0.58178,
            top1_place="torchvision's weights SqueezeNet1_1_Weights.IMAGENET1K_V1",
            note="The paper describes version 1.0 alone.",
        ),
    ),
)
