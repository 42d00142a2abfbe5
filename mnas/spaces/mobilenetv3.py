"""The MobileNetV3 space in the manner of once-for-all, with width and resolution among its axes.

Per layer: kernel, expansion and squeeze-and-excitation; per stage: depth; per network: width multiplier and
resolution. Source: Cai et al. 2020 (arXiv 1908.09791) for the choices, Howard et al. 2019 (arXiv 1905.02244) for
channels, activations and the head.
"""

from __future__ import annotations

from typing import Any

from mnas.spaces.definition import SpaceDefinition


def mobilenetv3(
    preset: str,
    stages: tuple[tuple[int, int, str], ...],
    *,
    layer: dict[str, Any],
    stem_channels: int = 16,
    stem_stride: int = 2,
    stem_block: bool = False,
    head_conv: int,
    head_linear: int = 0,
    **whole: Any,
) -> SpaceDefinition:
    """Return a space of the family; all channels at width 1.

    Args:
        preset: Its name.
        stages: Channels, stride and activation of each.
        layer: Choices of every stage: ``kernels``, ``expands``, ``se_ratios`` and ``depths``.
        stem_channels: Of the stem's convolution.
        stem_stride: Of the stem's convolution.
        stem_block: Whether a depthwise-separable block follows it.
        head_conv: Channels of the 1 x 1 convolution before the pool.
        head_linear: Width of the hidden linear layer; 0 for none. Not scaled by the width multiplier.
        whole: ``in_channels``, ``classes``, ``resolutions_px`` and ``widths``.
    """
    stem: list[dict[str, Any]] = [
        {"op": "conv", "kernel_size": 3, "stride": stem_stride, "channels": stem_channels, "activation": "hswish"}
    ]
    if stem_block:
        stem.append({"op": "sepconv", "kernel_size": 3, "activation": "relu", "skip": True})
    head: list[dict[str, Any]] = [{"op": "conv", "channels": head_conv, "activation": "hswish"}, {"op": "pool"}]
    if head_linear:
        head.append({"op": "linear", "channels": head_linear, "activation": "hswish"})
    return SpaceDefinition.model_validate(
        {
            "name": f"mobilenetv3/{preset}",
            "stem": stem,
            "stages": [
                {"channels": channels, "stride": stride, "activations": (activation,), **layer}
                for channels, stride, activation in stages
            ],
            "head": [*head, {"op": "linear"}],
            **whole,
        }
    )


IMAGENET = mobilenetv3(
    "imagenet",
    ((24, 2, "relu"), (40, 2, "relu"), (80, 2, "hswish"), (112, 1, "hswish"), (160, 2, "hswish")),
    layer={"kernels": (3, 5, 7), "expands": (3, 4, 6), "se_ratios": (0.0, 0.25), "depths": (2, 3, 4)},
    stem_block=True,
    head_conv=960,
    head_linear=1280,
    resolutions_px=(160, 176, 192, 208, 224),
    widths=(0.75, 1.0, 1.2),
)
_SMALL: dict[str, Any] = {"kernels": (3, 5), "expands": (3, 6), "se_ratios": (0.0, 0.25), "depths": (1, 2)}
FASHION = mobilenetv3(
    "fashion",
    ((16, 2, "relu"), (24, 2, "hswish"), (40, 1, "hswish")),
    layer=_SMALL,
    head_conv=96,
    in_channels=1,
    classes=10,
    resolutions_px=(8, 12, 16, 28),
    widths=(0.5, 1.5),
)
FASHION_WIDE = mobilenetv3(
    "fashion-wide",
    ((16, 2, "relu"), (24, 2, "hswish"), (40, 1, "hswish")),
    layer=_SMALL,
    head_conv=96,
    in_channels=1,
    classes=10,
    resolutions_px=(14, 20, 28),
    widths=(0.25, 0.5, 1.0, 1.5),
)
"""Its networks differ by more than seeds do: estimators of accuracy are judged on it."""
DIGITS = mobilenetv3(
    "digits",
    ((16, 2, "relu"), (24, 2, "hswish")),
    layer=_SMALL,
    stem_stride=1,
    head_conv=64,
    in_channels=1,
    classes=10,
    resolutions_px=(8, 12, 16),
    widths=(0.5, 1.0),
)
CIFAR10 = mobilenetv3(
    "cifar10",
    ((16, 1, "relu"), (24, 2, "relu"), (40, 2, "hswish")),
    layer=_SMALL,
    stem_stride=1,
    head_conv=128,
    in_channels=3,
    classes=10,
    resolutions_px=(16, 20, 24, 32),
    widths=(0.5, 1.0),
)
PRESETS = {
    "fashion": FASHION,
    "fashion-wide": FASHION_WIDE,
    "digits": DIGITS,
    "cifar10": CIFAR10,
    "imagenet": IMAGENET,
}
