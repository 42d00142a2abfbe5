"""FBNet. Source: Wu et al. 2019 (arXiv 1812.03443); the table as timm and pytorchcv have it."""

from __future__ import annotations

from mnas.architecture import Architecture
from mnas.networks.assembly import Row, bottlenecks, classifier, conv
from mnas.networks.named import NamedNetwork, NetworkFacts, ReportedLatency

_STEM = 16
_C = (
    Row(repeats=1, kernel=3, stride=1, expand=1, out=16),
    Row(repeats=1, kernel=3, stride=2, expand=6, out=24),
    Row(repeats=2, kernel=3, stride=1, expand=1, out=24),
    Row(repeats=1, kernel=5, stride=2, expand=6, out=32),
    Row(repeats=1, kernel=5, stride=1, expand=3, out=32),
    Row(repeats=1, kernel=5, stride=1, expand=6, out=32),
    Row(repeats=1, kernel=3, stride=1, expand=6, out=32),
    Row(repeats=1, kernel=5, stride=2, expand=6, out=64),
    Row(repeats=1, kernel=5, stride=1, expand=3, out=64),
    Row(repeats=2, kernel=5, stride=1, expand=6, out=64),
    Row(repeats=3, kernel=5, stride=1, expand=6, out=112),
    Row(repeats=1, kernel=5, stride=1, expand=3, out=112),
    Row(repeats=4, kernel=5, stride=2, expand=6, out=184),
    Row(repeats=1, kernel=3, stride=1, expand=6, out=352),
)


def fbnet_c(px: int = 224, classes: int = 1000) -> Architecture:
    """FBNet-C; its blocks have their first 1 x 1 convolution also where that widens nothing."""
    blocks = bottlenecks(_STEM, _C, "relu", always_expands=True)
    return classifier(px, classes, (conv(_STEM, "relu", kernel=3, stride=2),), blocks, conv(1984, "relu"))


NETWORKS = (
    NamedNetwork(
        "fbnet-c",
        fbnet_c,
        NetworkFacts(
            paper="Wu et al. 2019",
            arxiv_id="1812.03443",
            top1=0.749,
            top1_place="table 3",
            latency=ReportedLatency(28.1, "Galaxy S8", "Caffe2, int8", "table 3"),
            note="The accuracy is that of float32; the authors' README (facebookresearch/mobile-vision) gives 73.2 % "
            "and 21.0 ms in int8, on the same phone with a later Caffe2. The paper prints 375 M multiply-adds and "
            "5.5 M parameters; the head of 1984 channels, taken by timm and pytorchcv too, gives 385 M and 5.57 M; the "
            "README prints 383 M.",
        ),
    ),
)
