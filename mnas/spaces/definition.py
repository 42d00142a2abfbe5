"""What spans a space: stem, stages with their choices, head. One pydantic model, which a TOML file fills too."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mnas.architecture import ACTIVATIONS

SCHEMA = "mnas.space/1"
_OP = re.compile(r"(conv|sepconv|mbconv|fire|ghost|shufflev1|shufflev2)([1-9][0-9]?)?$")
_EXPANDING = ("mbconv", "ghost")
AXES = ("ops", "kernels", "expands", "se_ratios", "skips", "activations", "dilations", "groups")
"""Choices of a layer, in the order of their genes."""


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd: the padding of an even kernel is not symmetric")
    return value


Positive = Annotated[int, Field(ge=1, le=65_536)]
Odd = Annotated[int, Field(ge=1, le=31), AfterValidator(_odd)]
Factor = Annotated[float, Field(gt=0, le=64, allow_inf_nan=False)]
Activation = Literal["none", "relu", "relu6", "hswish", "hsigmoid", "sigmoid", "swish"]
assert Activation.__args__ == ACTIVATIONS  # type: ignore[attr-defined]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SqueezeDefinition(_Model):
    """How squeeze-and-excitation is sized: by the block's input or by the features it scales."""

    of: Literal["input", "expanded"] = "expanded"
    divisor: Positive = 8
    gate: Literal["hsigmoid", "sigmoid"] = "hsigmoid"
    activation: Activation = "relu"


class BlockTemplate(_Model):
    """A block of the stem or the head.

    Attributes:
        channels: At width 1; ``None`` keeps the input's, and is the number of classes for a last ``linear``.
        is_scaled: The width multiplier applies to its channels.
    """

    op: Literal["conv", "sepconv", "mbconv", "maxpool", "pool", "flatten", "linear"]
    channels: Positive | None = None
    is_scaled: bool = True
    kernel_size: Odd = 1
    stride: Positive = 1
    expand: Positive = 1
    activation: Activation = "none"
    out_activation: Activation = "none"
    norm: Literal["batch", "none"] = "batch"
    padding: Literal["half", "none"] = "half"
    skip: bool = False


class StageDefinition(_Model):
    """A stage: what is fixed about it, and the choices of its layers.

    Attributes:
        channels: Output channels at width 1.
        stride: Of its first layer.
        depths: Choices of the number of layers. Equal numbers may stand twice; they are one network.
        filters: Choices of a factor on ``channels``.
        same_layers: All layers of the stage are alike, as in MnasNet; else each has choices of its own.
        ops: ``conv``, ``sepconv``, ``mbconv``, ``fire``, ``ghost``, ``shufflev1``, ``shufflev2``; ``mbconv`` and
            ``ghost`` may carry their expansion (``mbconv6``), else it is one of ``expands``.
        kernels: Pixels, odd.
        expands: Expansions of ``mbconv`` and ``ghost`` without one of their own.
        se_ratios: Squeeze channels as a share; 0 is none.
        skips: ``identity``, ``pool`` (the input is averaged over 3 x 3, also where it has the stage's stride) or
            ``none``; where the number of channels changes there is never one.
        activations: Of the non-linear layers.
        dilations: Of the k x k convolutions; a kernel of 1 has none.
        groups: Of the 1 x 1 convolutions of ``shufflev1``.
    """

    channels: Positive
    stride: Positive = 1
    depths: tuple[Positive, ...] = (1,)
    filters: tuple[Factor, ...] = (1.0,)
    same_layers: bool = False
    ops: tuple[str, ...] = ("mbconv",)
    kernels: tuple[Odd, ...] = (3,)
    expands: tuple[Positive, ...] = (6,)
    se_ratios: tuple[Annotated[float, Field(ge=0, le=4, allow_inf_nan=False)], ...] = (0.0,)
    skips: tuple[Literal["identity", "pool", "none"], ...] = ("identity",)
    activations: tuple[Activation, ...] = ("relu",)
    dilations: tuple[Positive, ...] = (1,)
    groups: tuple[Positive, ...] = (1,)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in ("depths", "filters", *AXES):
            choices = getattr(self, name)
            if not choices:
                raise ValueError(f"{name} is empty: it needs a choice")
            if name != "depths" and len(set(choices)) != len(choices):
                raise ValueError(f"{name} holds a choice twice: {list(choices)}")
        for op in self.ops:
            found = _OP.match(op)
            if not found or (found[2] and found[1] not in _EXPANDING):
                raise ValueError(f"ops holds {op!r}; known are conv, sepconv, mbconv[N], fire, ghost[N], shufflev1, "
                                 "shufflev2")  # fmt: skip
        return self


class SpaceDefinition(_Model):
    """A whole space; all channels at width 1.

    Attributes:
        name: Family and preset, or a user's own name.
        in_channels: Of the image.
        classes: Outputs.
        resolutions_px: Choices of the square input's side.
        widths: Choices of the width multiplier.
        divisor: Channels are rounded to multiples of it.
        se: Squeeze-and-excitation.
        stem: Blocks before the stages.
        stages: The stages.
        head: Blocks after the stages; the last one gives the classes.
    """

    name: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[a-z0-9][a-z0-9._/-]*$")]
    in_channels: Positive = 3
    classes: Positive = 1000
    resolutions_px: tuple[Positive, ...] = (224,)
    widths: tuple[Factor, ...] = (1.0,)
    divisor: Positive = 8
    se: SqueezeDefinition = SqueezeDefinition()
    stem: tuple[BlockTemplate, ...]
    stages: tuple[StageDefinition, ...]
    head: tuple[BlockTemplate, ...]

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in ("resolutions_px", "widths", "stem", "stages", "head"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty")
        if len(set(self.resolutions_px)) != len(self.resolutions_px) or len(set(self.widths)) != len(self.widths):
            raise ValueError("resolutions_px and widths must hold each choice once")
        if len(self.widths) > 1 and any(len(stage.filters) > 1 for stage in self.stages):
            raise ValueError(
                "either widths or the stages' filters may be chosen, not both: they scale the same channels"
            )
        if self.head[-1].op not in ("linear", "flatten"):
            raise ValueError(f"head must end in linear or flatten, not {self.head[-1].op}")
        if self.head[-1].channels not in (None, self.classes):
            raise ValueError(f"head must end in the {self.classes} classes, not in {self.head[-1].channels} channels")
        return self


def split_op(op: str) -> tuple[str, int]:
    """Return kind and expansion of an entry of ``ops``; 0 where it has none of its own."""
    found = _OP.match(op)
    assert found, op
    return found[1], int(found[2] or 0)
