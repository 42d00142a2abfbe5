"""A space whose blocks offer what the hand-made light networks are built from.

Besides inverted bottlenecks: depthwise-separable convolutions (MobileNetV1), grouped 1 x 1 convolutions with a channel
shuffle (ShuffleNet V1), channel split and shuffle (ShuffleNet V2), Fire (SqueezeNet), Ghost bottlenecks; dilated
kernels; ReLU, ReLU6 or h-swish. All layers of a stage are alike. Where a stage has a stride, Fire pools before it, as
SqueezeNet does, and the first layer of a ShuffleNet stage concatenates its input. Sources: arXiv 1704.04861,
1707.01083, 1807.11164, 1602.07360, 1911.11907.
"""

from __future__ import annotations

from typing import Any

from mnas.spaces.definition import SpaceDefinition

_CHOICES: dict[str, Any] = {
    "same_layers": True,
    "ops": ("sepconv", "mbconv3", "mbconv6", "shufflev1", "shufflev2", "fire", "ghost3", "ghost6"),
    "kernels": (3, 5),
    "se_ratios": (0.0, 0.25),
    "activations": ("relu", "relu6", "hswish"),
    "dilations": (1, 2),
    "groups": (2, 4),
}


def lightweight(
    preset: str,
    rows: tuple[tuple[int, tuple[int, ...], int], ...],
    *,
    stem_channels: int,
    head_conv: int,
    **whole: Any,
) -> SpaceDefinition:
    """Return a space of the family.

    Args:
        preset: Its name.
        rows: Channels (more than those of the stage before), depths and stride of each stage.
        stem_channels: Of the stem's convolution.
        head_conv: Channels of the 1 x 1 convolution before the pool.
        whole: ``in_channels``, ``classes``, ``resolutions_px`` and ``widths``.
    """
    return SpaceDefinition.model_validate(
        {
            "name": f"lightweight/{preset}",
            "stem": [{"op": "conv", "kernel_size": 3, "stride": 2, "channels": stem_channels, "activation": "relu"}],
            "stages": [
                {"channels": channels, "stride": stride, "depths": depths, **_CHOICES}
                for channels, depths, stride in rows
            ],
            "head": [{"op": "conv", "channels": head_conv, "activation": "relu"}, {"op": "pool"}, {"op": "linear"}],
            **whole,
        }
    )


IMAGENET = lightweight(
    "imagenet",
    ((32, (1, 2, 3), 2), (64, (1, 2, 3), 2), (128, (2, 3, 4), 2), (256, (1, 2, 3), 2)),
    stem_channels=16,
    head_conv=1024,
    widths=(0.5, 1.0, 1.5),
)
FASHION = lightweight(
    "fashion",
    ((16, (1, 2), 1), (32, (1, 2), 2), (64, (1, 2), 2)),
    stem_channels=8,
    head_conv=128,
    in_channels=1,
    classes=10,
    resolutions_px=(16, 28),
    widths=(1.0, 2.0),
)
DIGITS = lightweight(
    "digits",
    ((16, (1, 2), 1), (32, (1, 2), 2)),
    stem_channels=8,
    head_conv=64,
    in_channels=1,
    classes=10,
    resolutions_px=(8, 16),
    widths=(1.0, 2.0),
)
PRESETS = {"fashion": FASHION, "digits": DIGITS, "imagenet": IMAGENET}
