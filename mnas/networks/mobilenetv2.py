"""MobileNetV2. Source: Sandler et al. 2018 (arXiv 1801.04381), table 2."""

from __future__ import annotations

from mnas.architecture import Architecture
from mnas.networks.assembly import Row, bottlenecks, classifier, conv
from mnas.networks.named import NamedNetwork, NetworkFacts, ReportedLatency

_STEM = 32
_ROWS = (
    Row(repeats=1, kernel=3, stride=1, expand=1, out=16),
    Row(repeats=2, kernel=3, stride=2, expand=6, out=24),
    Row(repeats=3, kernel=3, stride=2, expand=6, out=32),
    Row(repeats=4, kernel=3, stride=2, expand=6, out=64),
    Row(repeats=3, kernel=3, stride=1, expand=6, out=96),
    Row(repeats=3, kernel=3, stride=2, expand=6, out=160),
    Row(repeats=1, kernel=3, stride=1, expand=6, out=320),
)


def mobilenetv2(px: int = 224, classes: int = 1000) -> Architecture:
    """MobileNetV2 1.0."""
    blocks = bottlenecks(_STEM, _ROWS, "relu6")
    return classifier(px, classes, (conv(_STEM, "relu6", kernel=3, stride=2),), blocks, conv(1280, "relu6"))


NETWORKS = (
    NamedNetwork(
        "mobilenetv2",
        mobilenetv2,
        NetworkFacts(
            paper="Sandler et al. 2018",
            arxiv_id="1801.04381",
            top1=0.720,
            top1_place="table 4",
            latency=ReportedLatency(75, "Pixel 1", "TFLite, one big core", "table 4"),
            note="The authors' released weights have 71.8 % and take 73.8 ms there.",
        ),
    ),
)
