"""Tables as others write them, made up here, and networks that they can add up."""

from mnas.architecture import Architecture, Block, Stage
from mnas.rounding import make_divisible

OFA_STAGES = ((32, 2, False, "relu"), (48, 2, True, "relu"), (96, 2, False, "hswish"))
OFA_STAGES += ((136, 1, True, "hswish"), (192, 2, True, "hswish"))
"""Channels, stride, squeeze and activation of once-for-all's stages at width 1.2 (arXiv 1908.09791, its own code)."""


def entry_text(key, mean=1.5, spread=0.25, count=4, name="std"):
    return f"{key}:\n  count: {count}\n  mean: {mean}\n  {name}: {spread}\n"


def table_text(keys, **fields):
    return "".join(entry_text(key, **fields) for key in keys)


def ofa_network(choices, px=224, linear=1536):
    """Return the network of a list of (kernel, ratio) for each of the five stages."""
    stages, source = [], 24
    for (out, stride, has_se, activation), layers in zip(OFA_STAGES, choices, strict=True):
        blocks = []
        for kernel, ratio in layers:
            mid = source * ratio
            squeeze = {"se_channels": make_divisible(mid / 4), "se_gate": "hsigmoid", "se_activation": "relu"}
            own_stride = stride if not blocks else 1
            blocks.append(
                Block(
                    op="mbconv",
                    kernel_size=kernel,
                    stride=own_stride,
                    mid_channels=mid,
                    out_channels=out,
                    activation=activation,
                    skip=own_stride == 1 and source == out,
                    **(squeeze if has_se else {}),
                )
            )
            source = out
        stages.append(Stage(tuple(blocks)))
    return Architecture(
        input_shape_chw=(3, px, px),
        classes=1000,
        stem=(
            Block(op="conv", kernel_size=3, stride=2, out_channels=24, activation="hswish"),
            Block(op="sepconv", kernel_size=3, out_channels=24, activation="relu", skip=True),
        ),
        stages=tuple(stages),
        head=(
            Block(op="conv", out_channels=1152, activation="hswish"),
            Block(op="pool", out_channels=1152),
            Block(op="linear", out_channels=linear, activation="hswish"),
            Block(op="linear", out_channels=1000),
        ),
    )


OFA_CHOICES = (
    ((3, 3), (5, 4)),
    ((7, 6), (3, 3)),
    ((5, 4), (7, 6)),
    ((3, 6), (5, 3)),
    ((7, 4), (3, 6), (5, 3)),
)
OFA_KEYS = (
    "Conv-input:224x224x3-output:112x112x24",
    "expanded_conv-input:112x112x24-output:112x112x24-expand:24-kernel:3-stride:1-idskip:1-se:0-hs:0",
    "expanded_conv-input:112x112x24-output:56x56x32-expand:72-kernel:3-stride:2-idskip:0-se:0-hs:0",
    "expanded_conv-input:56x56x32-output:56x56x32-expand:128-kernel:5-stride:1-idskip:1-se:0-hs:0",
    "expanded_conv-input:56x56x32-output:28x28x48-expand:192-kernel:7-stride:2-idskip:0-se:1-hs:0",
    "expanded_conv-input:28x28x48-output:28x28x48-expand:144-kernel:3-stride:1-idskip:1-se:1-hs:0",
    "expanded_conv-input:28x28x48-output:14x14x96-expand:192-kernel:5-stride:2-idskip:0-se:0-hs:1",
    "expanded_conv-input:14x14x96-output:14x14x96-expand:576-kernel:7-stride:1-idskip:1-se:0-hs:1",
    "expanded_conv-input:14x14x96-output:14x14x136-expand:576-kernel:3-stride:1-idskip:0-se:1-hs:1",
    "expanded_conv-input:14x14x136-output:14x14x136-expand:408-kernel:5-stride:1-idskip:1-se:1-hs:1",
    "expanded_conv-input:14x14x136-output:7x7x192-expand:544-kernel:7-stride:2-idskip:0-se:1-hs:1",
    "expanded_conv-input:7x7x192-output:7x7x192-expand:1152-kernel:3-stride:1-idskip:1-se:1-hs:1",
    "expanded_conv-input:7x7x192-output:7x7x192-expand:576-kernel:5-stride:1-idskip:1-se:1-hs:1",
    "Conv_1-input:7x7x192-output:7x7x1152",
    "AvgPool2D-input:7x7x1152-output:1x1x1152",
    "Conv_2-input:1x1x1152-output:1x1x1536",
    "Logits-input:1x1x1536-output:1000",
)
"""Every key that the network of `OFA_CHOICES` is added up from, worked out by hand from the rules of the layout."""

V2_KEYS = (
    "Conv-input:224x224x3-output:112x112x32",
    "expanded_conv-input:112x112x32-output:112x112x16-expand:1-kernel:3-stride:1-idskip:0",
    "expanded_conv-input:112x112x16-output:56x56x24-expand:6-kernel:3-stride:2-idskip:0",
    "expanded_conv-input:56x56x24-output:56x56x24-expand:6-kernel:3-stride:1-idskip:1",
    "expanded_conv-input:56x56x24-output:28x28x32-expand:6-kernel:3-stride:2-idskip:0",
    "expanded_conv-input:28x28x32-output:28x28x32-expand:6-kernel:3-stride:1-idskip:1",
    "expanded_conv-input:28x28x32-output:14x14x64-expand:6-kernel:3-stride:2-idskip:0",
    "expanded_conv-input:14x14x64-output:14x14x64-expand:6-kernel:3-stride:1-idskip:1",
    "expanded_conv-input:14x14x64-output:14x14x96-expand:6-kernel:3-stride:1-idskip:0",
    "expanded_conv-input:14x14x96-output:14x14x96-expand:6-kernel:3-stride:1-idskip:1",
    "expanded_conv-input:14x14x96-output:7x7x160-expand:6-kernel:3-stride:2-idskip:0",
    "expanded_conv-input:7x7x160-output:7x7x160-expand:6-kernel:3-stride:1-idskip:1",
    "expanded_conv-input:7x7x160-output:7x7x320-expand:6-kernel:3-stride:1-idskip:0",
    "Conv_1-input:7x7x320-output:7x7x1280",
    "Logits-input:7x7x1280-output:1000",
)
"""The distinct keys of MobileNetV2 in ProxylessNAS' layout; table 2 of arXiv 1801.04381 says how often each is."""
V2_TIMES = (1, 1, 1, 1, 1, 2, 1, 3, 1, 2, 1, 2, 1, 1, 1)
