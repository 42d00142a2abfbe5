"""EfficientNet. Source: Tan and Le 2019 (arXiv 1905.11946), table 1."""

from __future__ import annotations

from mnas.architecture import Architecture
from mnas.networks.assembly import Row, bottlenecks, classifier, conv
from mnas.networks.named import NamedNetwork, NetworkFacts

_STEM = 32
_B0 = (
    Row(repeats=1, kernel=3, stride=1, expand=1, out=16, se=0.25),
    Row(repeats=2, kernel=3, stride=2, expand=6, out=24, se=0.25),
    Row(repeats=2, kernel=5, stride=2, expand=6, out=40, se=0.25),
    Row(repeats=3, kernel=3, stride=2, expand=6, out=80, se=0.25),
    Row(repeats=3, kernel=5, stride=1, expand=6, out=112, se=0.25),
    Row(repeats=4, kernel=5, stride=2, expand=6, out=192, se=0.25),
    Row(repeats=1, kernel=3, stride=1, expand=6, out=320, se=0.25),
)


def efficientnet_b0(px: int = 224, classes: int = 1000) -> Architecture:
    """EfficientNet-B0."""
    blocks = bottlenecks(_STEM, _B0, "swish", se_activation="swish")
    return classifier(px, classes, (conv(_STEM, "swish", kernel=3, stride=2),), blocks, conv(1280, "swish"))


NETWORKS = (
    NamedNetwork(
        "efficientnet-b0",
        efficientnet_b0,
        NetworkFacts(
            paper="Tan and Le 2019",
            arxiv_id="1905.11946",
            top1=0.771,
            top1_place="table 2, version 5",
            note="Version 1 of the paper prints 76.3 %, without AutoAugment. It times a server's CPU and no phone.",
        ),
    ),
)
