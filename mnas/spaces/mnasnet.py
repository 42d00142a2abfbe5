"""The factorised hierarchical space of MnasNet. Source: Tan et al. 2019 (arXiv 1807.11626), section 4.1.

Seven blocks of MobileNetV2's channels and strides, each with one ConvOp, kernel, SE ratio, SkipOp, filter size and
number of layers for all of its layers: 4 x 2 x 2 x 3 x 3 x 3 = 432 choices a block. Where the paper is silent:

* A block with one layer in MobileNetV2 and "-1" layers keeps its one layer: a block less would change the resolution.
  The choices -1 and 0 are then one network, and so are filters that round to the same channels (blocks of 16).
* SkipOp acts where a layer's input and output have the same channels. ``pool`` adds the input averaged over 3 x 3, with
  the layer's stride where it has one; ``identity`` needs a stride of 1. Where channels change there is no skip.
* Squeeze-and-excitation sits behind the depthwise convolution (behind the convolution of a ``conv``); its width is a
  share of the layer's input, as in the authors' released networks.
"""

from __future__ import annotations

from typing import Any

from mnas.spaces.definition import SpaceDefinition

_CHOICES: dict[str, Any] = {
    "same_layers": True,
    "ops": ("conv", "sepconv", "mbconv3", "mbconv6"),
    "kernels": (3, 5),
    "se_ratios": (0.0, 0.25),
    "skips": ("identity", "pool", "none"),
    "filters": (0.75, 1.0, 1.25),
}


def mnasnet(
    preset: str, rows: tuple[tuple[int, int, int], ...], *, stem_channels: int, head_conv: int, **whole: Any
) -> SpaceDefinition:
    """Return a space of the family.

    Args:
        preset: Its name.
        rows: Channels, layers and stride of each block in the network that the choices are relative to.
        stem_channels: Of the stem's convolution.
        head_conv: Channels of the 1 x 1 convolution before the pool.
        whole: ``in_channels``, ``classes`` and ``resolutions_px``.
    """
    return SpaceDefinition.model_validate(
        {
            "name": f"mnasnet/{preset}",
            "se": {"of": "input", "divisor": 1, "gate": "sigmoid"},
            "stem": [{"op": "conv", "kernel_size": 3, "stride": 2, "channels": stem_channels, "activation": "relu"}],
            "stages": [
                {"channels": channels, "stride": stride, "depths": (max(1, n - 1), n, n + 1), **_CHOICES}
                for channels, n, stride in rows
            ],
            "head": [{"op": "conv", "channels": head_conv, "activation": "relu"}, {"op": "pool"}, {"op": "linear"}],
            **whole,
        }
    )


IMAGENET = mnasnet(
    "imagenet",
    ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1)),
    stem_channels=32,
    head_conv=1280,
)
FASHION = mnasnet(
    "fashion",
    ((16, 1, 1), (24, 2, 2), (32, 2, 1), (48, 2, 2), (64, 1, 1)),
    stem_channels=16,
    head_conv=128,
    in_channels=1,
    classes=10,
    resolutions_px=(16, 28),
)
DIGITS = mnasnet(
    "digits",
    ((16, 1, 1), (24, 2, 2), (32, 1, 1)),
    stem_channels=8,
    head_conv=64,
    in_channels=1,
    classes=10,
    resolutions_px=(8, 16),
)
PRESETS = {"fashion": FASHION, "digits": DIGITS, "imagenet": IMAGENET}
