"""Single-Path NAS. Source: Stamoulis et al. 2019 (arXiv 1904.02877); the table as timm and pytorchcv have it."""

from __future__ import annotations

from mnas.architecture import Architecture, Block
from mnas.networks.assembly import Row, bottlenecks, classifier, conv
from mnas.networks.named import NamedNetwork, NetworkFacts, ReportedLatency

_STEM, _FIRST = 32, 16
_ROWS = (
    Row(repeats=3, kernel=3, stride=2, expand=3, out=24),
    Row(repeats=1, kernel=5, stride=2, expand=6, out=40),
    Row(repeats=3, kernel=3, stride=1, expand=3, out=40),
    Row(repeats=1, kernel=5, stride=2, expand=6, out=80),
    Row(repeats=3, kernel=3, stride=1, expand=3, out=80),
    Row(repeats=1, kernel=5, stride=1, expand=6, out=96),
    Row(repeats=3, kernel=5, stride=1, expand=3, out=96),
    Row(repeats=4, kernel=5, stride=2, expand=6, out=192),
    Row(repeats=1, kernel=3, stride=1, expand=6, out=320),
)


def spnasnet(px: int = 224, classes: int = 1000) -> Architecture:
    """The network that Single-Path NAS found for a Pixel 1."""
    separable = Block(op="sepconv", kernel_size=3, out_channels=_FIRST, activation="relu")
    blocks = (separable, *bottlenecks(_FIRST, _ROWS, "relu"))
    return classifier(px, classes, (conv(_STEM, "relu", kernel=3, stride=2),), blocks, conv(1280, "relu"))


NETWORKS = (
    NamedNetwork(
        "spnasnet",
        spnasnet,
        NetworkFacts(
            paper="Stamoulis et al. 2019",
            arxiv_id="1904.02877",
            top1=0.7496,
            top1_place="abstract",
            latency=ReportedLatency(79, "Pixel 1", "the abstract does not say with what", "abstract"),
        ),
    ),
)
