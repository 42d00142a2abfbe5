"""What spans a space of the MobileNetV3 family."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StageChoices:
    """What is fixed about a stage: channels at width 1, the stride of its first block, its activation."""

    out_channels: int
    stride: int
    activation: str


@dataclass(frozen=True, slots=True)
class MobileNetV3Choices:
    """Everything that spans one MobileNetV3 space; all channels at width 1.

    Attributes:
        preset: Name of the preset.
        in_channels: Channels of the image.
        classes: Outputs.
        resolutions_px: Choices of the square input's side.
        widths: Choices of the width multiplier.
        kernels: Choices of a layer's kernel, in pixels.
        expands: Choices of a layer's expansion.
        se_ratios: Choices of squeeze channels over expanded channels; 0 is none.
        depths: Choices of the number of layers of a stage.
        stem_channels: Of the stem's convolution.
        stem_stride: Of the stem's convolution.
        stem_block: Whether a depthwise-separable block follows the stem's convolution.
        stages: The stages.
        head_conv: Channels of the 1 x 1 convolution before the pool.
        head_linear: Width of the hidden linear layer; 0 for none. Not scaled by the width multiplier.
    """

    preset: str
    in_channels: int
    classes: int
    resolutions_px: tuple[int, ...]
    widths: tuple[float, ...]
    kernels: tuple[int, ...]
    expands: tuple[int, ...]
    se_ratios: tuple[float, ...]
    depths: tuple[int, ...]
    stem_channels: int
    stem_stride: int
    stem_block: bool
    stages: tuple[StageChoices, ...]
    head_conv: int
    head_linear: int
