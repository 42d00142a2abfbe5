"""MobileNetV3. Source: Howard et al. 2019 (arXiv 1905.02244), tables 1 and 2."""

from __future__ import annotations

from mnas.architecture import Architecture, Block
from mnas.networks.assembly import bottleneck, conv, in_stages
from mnas.networks.named import NamedNetwork, NetworkFacts, ReportedLatency
from mnas.rounding import make_divisible

_STEM = 16
_Row = tuple[int, int, int, bool, str, int]
"""Kernel, expanded width, output, squeeze-and-excitation, activation, stride."""

_LARGE: tuple[_Row, ...] = (
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hswish", 2),
    (3, 200, 80, False, "hswish", 1),
    (3, 184, 80, False, "hswish", 1),
    (3, 184, 80, False, "hswish", 1),
    (3, 480, 112, True, "hswish", 1),
    (3, 672, 112, True, "hswish", 1),
    (5, 672, 160, True, "hswish", 2),
    (5, 960, 160, True, "hswish", 1),
    (5, 960, 160, True, "hswish", 1),
)
_SMALL: tuple[_Row, ...] = (
    (3, 16, 16, True, "relu", 2),
    (3, 72, 24, False, "relu", 2),
    (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hswish", 2),
    (5, 240, 40, True, "hswish", 1),
    (5, 240, 40, True, "hswish", 1),
    (5, 120, 48, True, "hswish", 1),
    (5, 144, 48, True, "hswish", 1),
    (5, 288, 96, True, "hswish", 2),
    (5, 576, 96, True, "hswish", 1),
    (5, 576, 96, True, "hswish", 1),
)


def _blocks(rows: tuple[_Row, ...]) -> tuple[Block, ...]:
    channels, blocks = _STEM, []
    for kernel, mid, out, use_se, activation, stride in rows:
        se_channels = make_divisible(mid / 4) if use_se else 0
        blocks.append(
            bottleneck(channels, kernel, mid, out, stride, activation, se_channels=se_channels, se_gate="hsigmoid")
        )
        channels = out
    return tuple(blocks)


def _mobilenetv3(rows: tuple[_Row, ...], last_conv: int, last_linear: int, px: int, classes: int) -> Architecture:
    return Architecture(
        input_shape_chw=(3, px, px),
        classes=classes,
        stem=(conv(_STEM, "hswish", kernel=3, stride=2),),
        stages=in_stages(_STEM, _blocks(rows)),
        head=(
            conv(last_conv, "hswish"),
            Block(op="pool", out_channels=last_conv),
            Block(op="linear", out_channels=last_linear, activation="hswish"),
            Block(op="linear", out_channels=classes),
        ),
    )


def mobilenetv3_large(px: int = 224, classes: int = 1000) -> Architecture:
    """MobileNetV3-Large 1.0."""
    return _mobilenetv3(_LARGE, 960, 1280, px, classes)


def mobilenetv3_small(px: int = 224, classes: int = 1000) -> Architecture:
    """MobileNetV3-Small 1.0."""
    return _mobilenetv3(_SMALL, 576, 1024, px, classes)


_TOOL = "TFLite's benchmark tool, one big core"
NETWORKS = (
    NamedNetwork(
        "mobilenetv3-large",
        mobilenetv3_large,
        NetworkFacts(
            paper="Howard et al. 2019",
            arxiv_id="1905.02244",
            top1=0.752,
            top1_place="table 3",
            latency=ReportedLatency(51, "Pixel 1", _TOOL, "table 3"),
            note="The authors' released weights have 75.2 % and take 51.2 ms there.",
        ),
    ),
    NamedNetwork(
        "mobilenetv3-small",
        mobilenetv3_small,
        NetworkFacts(
            paper="Howard et al. 2019",
            arxiv_id="1905.02244",
            top1=0.674,
            top1_place="table 3",
            latency=ReportedLatency(15.8, "Pixel 1", _TOOL, "table 3"),
            note="Table 2 gives the last linear layer 1024 channels, as here; some ports have 1280. The "
            "authors' released weights have 67.5 % and take 15.8 ms, with 2.9 M parameters.",
        ),
    ),
)
