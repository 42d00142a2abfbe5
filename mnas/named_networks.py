"""Networks from papers, as architectures at ImageNet's 224 pixels and 1000 classes unless asked otherwise."""

from __future__ import annotations

from collections.abc import Callable

from mnas.architecture import Architecture, Block, Stage
from mnas.errors import ArchitectureError
from mnas.rounding import make_divisible


def _mbconv(
    in_channels: int, kernel: int, mid: int, out: int, stride: int, activation: str, se_channels: int = 0
) -> Block:
    return Block(
        op="mbconv",
        kernel_size=kernel,
        stride=stride,
        mid_channels=mid,
        out_channels=out,
        activation=activation,
        se_channels=se_channels,
        se_gate="hsigmoid" if se_channels else "none",
        se_activation="relu" if se_channels else "none",
        skip=stride == 1 and in_channels == out,
    )


def mobilenetv2(px: int = 224, classes: int = 1000) -> Architecture:
    """MobileNetV2 1.0. Source: Sandler et al. 2018 (arXiv 1801.04381), table 2."""
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    channels, stages = 32, []
    for expand, out, repeats, stride in rows:
        blocks = []
        for i in range(repeats):
            blocks.append(_mbconv(channels, 3, channels * expand, out, stride if i == 0 else 1, "relu6"))
            channels = out
        stages.append(Stage(tuple(blocks)))
    return Architecture(
        input_shape_chw=(3, px, px),
        classes=classes,
        stem=(Block(op="conv", kernel_size=3, stride=2, out_channels=32, activation="relu6"),),
        stages=tuple(stages),
        head=(
            Block(op="conv", out_channels=1280, activation="relu6"),
            Block(op="pool", out_channels=1280),
            Block(op="linear", out_channels=classes),
        ),
    )


_Row = tuple[int, int, int, bool, str, int]
"""Kernel, expanded width, output, squeeze-and-excitation, activation, stride."""

_V3_LARGE: tuple[_Row, ...] = (
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
_V3_SMALL: tuple[_Row, ...] = (
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


def _mobilenetv3(rows: tuple[_Row, ...], last_conv: int, last_linear: int, px: int, classes: int) -> Architecture:
    channels = 16
    stages: list[list[Block]] = []
    for kernel, mid, out, use_se, activation, stride in rows:
        if not stages or out != channels or stride > 1:
            stages.append([])
        se_channels = make_divisible(mid / 4) if use_se else 0
        stages[-1].append(_mbconv(channels, kernel, mid, out, stride, activation, se_channels))
        channels = out
    return Architecture(
        input_shape_chw=(3, px, px),
        classes=classes,
        stem=(Block(op="conv", kernel_size=3, stride=2, out_channels=16, activation="hswish"),),
        stages=tuple(Stage(tuple(blocks)) for blocks in stages),
        head=(
            Block(op="conv", out_channels=last_conv, activation="hswish"),
            Block(op="pool", out_channels=last_conv),
            Block(
                op="linear",
                out_channels=last_linear,
                activation="hswish",
            ),
            Block(
                op="linear",
                out_channels=classes,
            ),
        ),
    )


def mobilenetv3_large(px: int = 224, classes: int = 1000) -> Architecture:
    """MobileNetV3-Large 1.0. Source: Howard et al. 2019 (arXiv 1905.02244), table 1."""
    return _mobilenetv3(_V3_LARGE, 960, 1280, px, classes)


def mobilenetv3_small(px: int = 224, classes: int = 1000) -> Architecture:
    """MobileNetV3-Small 1.0. Source: Howard et al. 2019 (arXiv 1905.02244), table 2."""
    return _mobilenetv3(_V3_SMALL, 576, 1024, px, classes)


NAMED_NETWORKS: dict[str, Callable[..., Architecture]] = {
    "mobilenetv2": mobilenetv2,
    "mobilenetv3-large": mobilenetv3_large,
    "mobilenetv3-small": mobilenetv3_small,
}


def named_network(name: str, px: int = 224, classes: int = 1000) -> Architecture:
    """Return a named network.

    Raises:
        ArchitectureError: ``ARC03``: no network of that name.
    """
    if name not in NAMED_NETWORKS:
        raise ArchitectureError(
            "ARC03", "no network of that name", value=name, why=f"known are {', '.join(NAMED_NETWORKS)}", fix="use one"
        )
    return NAMED_NETWORKS[name](px, classes)
