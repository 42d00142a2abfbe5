"""MnasNet. Source: Tan et al. 2019 (arXiv 1807.11626) and the tables of the authors' released code."""

from __future__ import annotations

from mnas.architecture import Architecture, Block
from mnas.networks.assembly import Row, bottlenecks, classifier, conv
from mnas.networks.named import NamedNetwork, NetworkFacts, ReportedLatency

_A1 = (
    Row(repeats=2, kernel=3, stride=2, expand=6, out=24),
    Row(repeats=3, kernel=5, stride=2, expand=3, out=40, se=0.25),
    Row(repeats=4, kernel=3, stride=2, expand=6, out=80),
    Row(repeats=2, kernel=3, stride=1, expand=6, out=112, se=0.25),
    Row(repeats=3, kernel=5, stride=2, expand=6, out=160, se=0.25),
    Row(repeats=1, kernel=3, stride=1, expand=6, out=320),
)
_B1 = (
    Row(repeats=3, kernel=3, stride=2, expand=3, out=24),
    Row(repeats=3, kernel=5, stride=2, expand=3, out=40),
    Row(repeats=3, kernel=5, stride=2, expand=6, out=80),
    Row(repeats=2, kernel=3, stride=1, expand=6, out=96),
    Row(repeats=4, kernel=5, stride=2, expand=6, out=192),
    Row(repeats=1, kernel=3, stride=1, expand=6, out=320),
)
_SMALL = (
    Row(repeats=1, kernel=3, stride=2, expand=3, out=16),
    Row(repeats=2, kernel=3, stride=2, expand=6, out=16),
    Row(repeats=4, kernel=5, stride=2, expand=6, out=32, se=0.25),
    Row(repeats=3, kernel=3, stride=1, expand=6, out=32, se=0.25),
    Row(repeats=3, kernel=5, stride=2, expand=6, out=88, se=0.25),
    Row(repeats=1, kernel=3, stride=1, expand=6, out=144),
)


def _mnasnet(rows: tuple[Row, ...], stem: int, first: int, px: int, classes: int) -> Architecture:
    """A stem, one depthwise separable convolution that adds no input, the rows, a head of 1280 channels."""
    separable = Block(op="sepconv", kernel_size=3, out_channels=first, activation="relu")
    blocks = (separable, *bottlenecks(first, rows, "relu"))
    return classifier(px, classes, (conv(stem, "relu", kernel=3, stride=2),), blocks, conv(1280, "relu"))


def mnasnet_a1(px: int = 224, classes: int = 1000) -> Architecture:
    """MnasNet-A1: with squeeze-and-excitation."""
    return _mnasnet(_A1, 32, 16, px, classes)


def mnasnet_b1(px: int = 224, classes: int = 1000) -> Architecture:
    """MnasNet-B1: without squeeze-and-excitation."""
    return _mnasnet(_B1, 32, 16, px, classes)


def mnasnet_small(px: int = 224, classes: int = 1000) -> Architecture:
    """MnasNet-Small, which the released code alone describes."""
    return _mnasnet(_SMALL, 8, 8, px, classes)


_PAPER = "Tan et al. 2019"
_ID = "1807.11626"
_RELEASED = "README of the authors' released code (tensorflow/tpu, models/official/mnasnet)"
NETWORKS = (
    NamedNetwork(
        "mnasnet-a1",
        mnasnet_a1,
        NetworkFacts(
            paper=_PAPER,
            arxiv_id=_ID,
            top1=0.752,
            top1_place="table 1",
            latency=ReportedLatency(78, "Pixel 1", "one big core, batch 1", "table 1"),
        ),
    ),
    NamedNetwork(
        "mnasnet-b1",
        mnasnet_b1,
        NetworkFacts(
            paper=_PAPER,
            arxiv_id=_ID,
            top1=0.745,
            top1_place="table 2",
            latency=ReportedLatency(77, "Pixel 1", "one big core, batch 1", "table 2"),
            note="Table 2 compares with and without squeeze-and-excitation; the released code's README has no figure.",
        ),
    ),
    NamedNetwork(
        "mnasnet-small",
        mnasnet_small,
        NetworkFacts(
            paper=_PAPER,
            arxiv_id=_ID,
            top1=0.66,
            top1_place=f"{_RELEASED}, rounded there",
            note="The first separable convolution keeps its 8 channels and adds no input, as the released code builds "
            "it; timm's port adds it. That README gives no latency.",
        ),
    ),
)
