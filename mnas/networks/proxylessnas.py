"""ProxylessNAS. Source: Cai et al. 2019 (arXiv 1812.00332) and the network that its authors released."""

from __future__ import annotations

from mnas.architecture import Architecture, Block
from mnas.networks.assembly import Row, bottlenecks, classifier, conv
from mnas.networks.named import NamedNetwork, NetworkFacts, ReportedLatency

_STEM = 16
_MOBILE = (
    Row(repeats=1, kernel=5, stride=2, expand=3, out=32),
    Row(repeats=1, kernel=3, stride=1, expand=3, out=32),
    Row(repeats=1, kernel=7, stride=2, expand=3, out=40),
    Row(repeats=1, kernel=3, stride=1, expand=3, out=40),
    Row(repeats=2, kernel=5, stride=1, expand=3, out=40),
    Row(repeats=1, kernel=7, stride=2, expand=6, out=80),
    Row(repeats=3, kernel=5, stride=1, expand=3, out=80),
    Row(repeats=1, kernel=5, stride=1, expand=6, out=96),
    Row(repeats=3, kernel=5, stride=1, expand=3, out=96),
    Row(repeats=1, kernel=7, stride=2, expand=6, out=192),
    Row(repeats=1, kernel=7, stride=1, expand=6, out=192),
    Row(repeats=2, kernel=7, stride=1, expand=3, out=192),
    Row(repeats=1, kernel=7, stride=1, expand=6, out=320),
)


def proxylessnas_mobile(px: int = 224, classes: int = 1000) -> Architecture:
    """ProxylessNAS-Mobile; its stem ends in a depthwise separable convolution."""
    stem = (
        conv(32, "relu6", kernel=3, stride=2),
        Block(op="sepconv", kernel_size=3, out_channels=_STEM, activation="relu6"),
    )
    return classifier(px, classes, stem, bottlenecks(_STEM, _MOBILE, "relu6"), conv(1280, "relu6"))


NETWORKS = (
    NamedNetwork(
        "proxylessnas-mobile",
        proxylessnas_mobile,
        NetworkFacts(
            paper="Cai et al. 2019",
            arxiv_id="1812.00332",
            top1=0.746,
            top1_place="table 2; the same in the README of the authors' released code",
            latency=ReportedLatency(78, "Pixel 1", "batch 1", "README of the authors' released code, first version"),
            note="MobileNetV3's authors time it at 72 ms on a Pixel 1, one big core (arXiv 1905.02244, table 3).",
        ),
    ),
)
