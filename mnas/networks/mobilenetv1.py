"""MobileNetV1. Source: Howard et al. 2017 (arXiv 1704.04861), table 1."""

from __future__ import annotations

from mnas.architecture import Architecture, Block
from mnas.networks.assembly import conv, in_stages
from mnas.networks.named import NamedNetwork, NetworkFacts, ReportedLatency

_STEM = 32
_ROWS = ((1, 1, 64), (2, 2, 128), (2, 2, 256), (6, 2, 512), (2, 2, 1024))
"""Depthwise separable convolutions: how many, stride of the first, channels. All 3 x 3."""


def mobilenetv1(px: int = 224, classes: int = 1000) -> Architecture:
    """MobileNetV1 1.0, with a ReLU behind each of the two convolutions of a block as the paper has it."""
    blocks = tuple(
        Block(
            op="sepconv",
            kernel_size=3,
            stride=stride if position == 0 else 1,
            out_channels=channels,
            activation="relu",
            out_activation="relu",
        )
        for repeats, stride, channels in _ROWS
        for position in range(repeats)
    )
    last = blocks[-1].out_channels
    return Architecture(
        input_shape_chw=(3, px, px),
        classes=classes,
        stem=(conv(_STEM, "relu", kernel=3, stride=2),),
        stages=in_stages(_STEM, blocks),
        head=(Block(op="pool", out_channels=last), Block(op="linear", out_channels=classes)),
    )


NETWORKS = (
    NamedNetwork(
        "mobilenetv1",
        mobilenetv1,
        NetworkFacts(
            paper="Howard et al. 2017",
            arxiv_id="1704.04861",
            top1=0.706,
            top1_place="table 8",
            latency=ReportedLatency(113, "Pixel 1", "TFLite, one big core", "arXiv 1801.04381, table 4"),
            note="The authors' released weights have 70.9 %. "
            "The paper says ReLU; the authors' released code has ReLU6.",
        ),
    ),
)
