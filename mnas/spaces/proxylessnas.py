"""The space of ProxylessNAS. Source: Cai et al. 2019 (arXiv 1812.00332) and the authors' released networks.

Each layer is an inverted bottleneck with kernel 3, 5 or 7 and expansion 3 or 6, or left out; the first of a stage is
always there. Leaving out any of a stage's later layers gives the network that leaves out the last ones, so the space
has a depth of 1 to 4 for each stage instead. The channels are those of ProxylessNAS-mobile.
"""

from __future__ import annotations

from typing import Any

from mnas.spaces.definition import SpaceDefinition

_LAYER: dict[str, Any] = {"kernels": (3, 5, 7), "expands": (3, 6), "activations": ("relu6",)}


def proxylessnas(
    preset: str,
    rows: tuple[tuple[int, int, int], ...],
    *,
    stem: tuple[int, int],
    head_conv: int,
    layer: dict[str, Any] | None = None,
    **whole: Any,
) -> SpaceDefinition:
    """Return a space of the family.

    Args:
        preset: Its name.
        rows: Channels, deepest depth and stride of each stage.
        stem: Channels of the stem's convolution and of the depthwise-separable block behind it.
        head_conv: Channels of the 1 x 1 convolution before the pool.
        layer: Choices of a layer that differ from the paper's.
        whole: ``in_channels``, ``classes``, ``resolutions_px`` and ``widths``.
    """
    first, second = stem
    return SpaceDefinition.model_validate(
        {
            "name": f"proxylessnas/{preset}",
            "stem": [
                {"op": "conv", "kernel_size": 3, "stride": 2, "channels": first, "activation": "relu6"},
                {"op": "sepconv", "kernel_size": 3, "channels": second, "activation": "relu6"},
            ],
            "stages": [
                {
                    "channels": channels,
                    "stride": stride,
                    "depths": tuple(range(1, deepest + 1)),
                    **_LAYER,
                    **(layer or {}),
                }
                for channels, deepest, stride in rows
            ],
            "head": [{"op": "conv", "channels": head_conv, "activation": "relu6"}, {"op": "pool"}, {"op": "linear"}],
            **whole,
        }
    )


IMAGENET = proxylessnas(
    "imagenet",
    ((32, 4, 2), (40, 4, 2), (80, 4, 2), (96, 4, 1), (192, 4, 2), (320, 1, 1)),
    stem=(32, 16),
    head_conv=1280,
)
FASHION = proxylessnas(
    "fashion",
    ((16, 2, 2), (24, 2, 1), (40, 2, 2), (64, 1, 1)),
    stem=(16, 8),
    head_conv=128,
    layer={"kernels": (3, 5)},
    in_channels=1,
    classes=10,
    resolutions_px=(16, 28),
    widths=(0.5, 1.0, 1.5),
)
DIGITS = proxylessnas(
    "digits",
    ((16, 2, 2), (24, 2, 1)),
    stem=(16, 8),
    head_conv=64,
    layer={"kernels": (3, 5)},
    in_channels=1,
    classes=10,
    resolutions_px=(8, 16),
    widths=(0.5, 1.0),
)
PRESETS = {"fashion": FASHION, "digits": DIGITS, "imagenet": IMAGENET}
