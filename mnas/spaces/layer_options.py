"""From the choices of a layer to its block, and which choices come to the same block."""

from __future__ import annotations

from itertools import product

from mnas.architecture import Block
from mnas.rounding import make_divisible
from mnas.spaces.definition import AXES, SpaceDefinition, SqueezeDefinition, StageDefinition, split_op

Choice = tuple[int, ...]
"""One index for each axis that has several choices."""

_FIRE_SQUEEZE = 8
"""Output channels over squeezed ones. Source: Iandola et al. 2016 (arXiv 1602.07360), SR = 0.125."""
_SHUFFLEV1_BOTTLENECK = 4
"""Source: Zhang et al. 2017 (arXiv 1707.01083), section 3.3."""


def free_axes(stage: StageDefinition) -> tuple[str, ...]:
    """Return the axes with several choices, in the order of their genes."""
    return tuple(axis for axis in AXES if len(getattr(stage, axis)) > 1)


class LayerOptions:
    """Every block that can stand in a layer of given channels and stride.

    Args:
        definition: Of the space.
        stage: Of the layer.
        in_channels: What it is fed.
        out_channels: What it gives.
        stride: Its stride.

    Attributes:
        blocks: Block of each choice, in the order of the choices.
        choices: Distinct block -> the first choice that gives it.
        numbered: These first choices.
    """

    def __init__(
        self, definition: SpaceDefinition, stage: StageDefinition, in_channels: int, out_channels: int, stride: int
    ) -> None:
        axes = free_axes(stage)
        self.blocks: dict[Choice, Block] = {}
        for choice in product(*(range(len(getattr(stage, axis))) for axis in axes)):
            picked = {axis: getattr(stage, axis)[0] for axis in AXES}
            picked |= {axis: getattr(stage, axis)[at] for axis, at in zip(axes, choice, strict=True)}
            self.blocks[choice] = make_block(definition, picked, in_channels, out_channels, stride)
        self.choices: dict[Block, Choice] = {}
        for choice, block in self.blocks.items():
            self.choices.setdefault(block, choice)
        self.numbered = tuple(self.choices.values())

    def canonical(self, choice: Choice) -> Choice:
        """Return the first choice that gives the same block."""
        return self.choices[self.blocks[choice]]


def make_block(
    definition: SpaceDefinition, picked: dict[str, object], in_channels: int, out_channels: int, stride: int
) -> Block:
    """Return the block that one choice of every axis comes to.

    Args:
        definition: Of the space.
        picked: Axis -> choice.
        in_channels: What it is fed.
        out_channels: What it gives.
        stride: Its stride.

    Raises:
        ArchitectureError: It is not a block.
    """
    kind, own_expand = split_op(str(picked["ops"]))
    expand = own_expand or int(str(picked["expands"]))
    activation = str(picked["activations"])
    mid = {
        "mbconv": make_divisible(in_channels * expand, definition.divisor),
        "ghost": make_divisible(in_channels * expand, definition.divisor),
        "fire": make_divisible(out_channels / _FIRE_SQUEEZE, definition.divisor),
        "shufflev1": make_divisible(out_channels / _SHUFFLEV1_BOTTLENECK, definition.divisor),
        "shufflev2": out_channels - out_channels // 2,
    }.get(kind, 0)
    skip = _skip(kind, str(picked["skips"]), stride, in_channels == out_channels)
    # The one k x k convolution of a ghost block is the strided one, beside that of its shortcut.
    has_kernel = kind != "ghost" or stride > 1 or skip["shortcut"] == "conv"
    kernel_size = picked["kernels"] if has_kernel else 1
    fields: dict[str, object] = {
        "op": kind,
        "kernel_size": kernel_size,
        "stride": stride,
        "dilation": picked["dilations"] if kernel_size != 1 else 1,
        "mid_channels": mid,
        "out_channels": out_channels,
        "activation": activation,
        **skip,
    }
    if kind == "shufflev1":
        fields |= {"groups": picked["groups"], "out_activation": activation}
    features = {"mbconv": mid, "ghost": mid, "sepconv": in_channels, "conv": out_channels}.get(kind, 0)
    ratio = float(str(picked["se_ratios"]))
    if features and ratio:
        fields |= _squeeze(definition.se, ratio, in_channels, features)
    return Block(**fields)  # type: ignore[arg-type]


def _skip(kind: str, skip: str, stride: int, is_same_width: bool) -> dict[str, object]:
    """What is added to the output. A ghost block always has a sum; shuffles keep their input by other means, too."""
    keeps_pixels = stride == 1
    if kind == "ghost":
        return {"skip": True, "shortcut": "identity" if keeps_pixels and is_same_width else "conv"}
    if kind == "shufflev1":
        return {"skip": keeps_pixels and is_same_width}
    if kind == "shufflev2" or not is_same_width:
        return {}
    if skip == "pool":
        return {"skip": True, "shortcut": "pool"}
    return {"skip": skip == "identity" and keeps_pixels}


def _squeeze(se: SqueezeDefinition, ratio: float, in_channels: int, features: int) -> dict[str, object]:
    base = (in_channels if se.of == "input" else features) * ratio
    channels = make_divisible(base, se.divisor) if se.divisor > 1 else max(1, int(base))
    return {"se_channels": channels, "se_gate": se.gate, "se_activation": se.activation}
