"""The operators that a runtime executes for a network, with the sizes that their cost depends on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from mnas.architecture import Architecture
from mnas.errors import LutError
from mnas.layers import LayerSpec, Shape, layers_of

OperatorKind = Literal[
    "conv",
    "depthwise",
    "grouped",
    "pointwise",
    "linear",
    "global_pool",
    "squeeze",
    "average_pool",
    "max_pool",
    "concat",
    "add",
    "scale",
    "rearrange",
    "activation",
]
OPERATOR_KINDS: tuple[str, ...] = get_args(OperatorKind)
_FUSED_ACTIVATIONS = ("none", "relu", "relu6")
"""What runtimes clamp while they write a layer's output; everything else is an operator of its own."""
_OTHER_OPS: dict[str, OperatorKind] = {
    "linear": "linear",
    "add": "add",
    "scale": "scale",
    "concat": "concat",
    "slice": "rearrange",
    "shuffle": "rearrange",
    "maxpool": "max_pool",
    "avgpool": "average_pool",
}


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator.

    Attributes:
        kind: ``conv`` (dense, kernel over 1), ``depthwise``, ``grouped``, ``pointwise`` (dense, kernel 1), ``linear``,
            ``global_pool`` (an average before the classifier), ``squeeze`` (that of squeeze-and-excitation),
            ``average_pool``, ``max_pool``, ``concat``, ``add``, ``scale`` (features times a gate), ``rearrange``
            (slice, shuffle) or ``activation`` (one that is not fused).
        in_pixels: Height times width that it reads, explicit padding included.
        out_pixels: Height times width of its output.
        in_channels: Channels that it reads.
        out_channels: Channels of its output.
        kernel_size: Pixels.
        stride: Pixels.
        groups: Of a convolution.

    Raises:
        LutError: ``LUT40``: no such kind, or a size below 1.
    """

    kind: OperatorKind
    in_pixels: int
    out_pixels: int
    in_channels: int
    out_channels: int
    kernel_size: int = 1
    stride: int = 1
    groups: int = 1

    def __post_init__(self) -> None:
        sizes = (self.in_pixels, self.out_pixels, self.in_channels, self.out_channels)
        if self.kind not in OPERATOR_KINDS or min(*sizes, self.kernel_size, self.stride, self.groups) < 1:
            raise LutError(
                "LUT40",
                "not an operator",
                value=(self.kind, *sizes, self.kernel_size, self.stride, self.groups),
                why=f"kinds are {', '.join(OPERATOR_KINDS)}; every size is at least 1",
                fix="correct what describes it",
            )

    @property
    def weights(self) -> int:
        """Weights without biases; 0 for what has none."""
        if self.kind not in ("conv", "depthwise", "grouped", "pointwise", "linear"):
            return 0
        return self.kernel_size**2 * (self.in_channels // self.groups) * self.out_channels

    @property
    def macs(self) -> int:
        """Multiply-accumulates; 0 for what has no weights."""
        return self.weights * self.out_pixels


Network = Architecture | Sequence[Operator]
"""What a predictor takes: an architecture, or the operators of a network that is none of ours."""


def operators_of(layers: Sequence[LayerSpec]) -> tuple[Operator, ...]:
    """Return the operators of layers, in order; the layers may be a part of a network."""
    squeezed = {layer.inputs[0] for layer in layers if layer.op == "scale"}
    found: list[Operator] = []
    for layer in layers:
        if layer.op == "flatten":  # nothing is computed or moved
            continue
        found.append(_operator(layer, is_squeeze=layer.op == "pool" and layer.inputs[0] in squeezed))
        if layer.activation not in _FUSED_ACTIVATIONS:
            channels, pixels = layer.out_shape_chw[0], _pixels(layer.out_shape_chw)
            found.append(Operator("activation", pixels, pixels, channels, channels))
    return tuple(found)


def operators_in(network: Network) -> tuple[Operator, ...]:
    """Return the operators of a network."""
    return operators_of(layers_of(network)) if isinstance(network, Architecture) else tuple(network)


def total_operator_macs(operators: Iterable[Operator]) -> int:
    """Return the multiply-accumulates of one forward pass at batch 1."""
    return sum(operator.macs for operator in operators)


def _pixels(shape: Shape) -> int:
    return shape[1] * shape[2]


def _operator(layer: LayerSpec, *, is_squeeze: bool) -> Operator:
    channels, height, width = layer.in_shapes_chw[0]
    top, left, bottom, right = layer.padding_tlbr
    kind: OperatorKind
    if layer.op == "conv":
        kind = _kind_of_conv(layer, channels)
    elif layer.op == "pool":
        kind = "squeeze" if is_squeeze else "global_pool"
    else:
        kind = _OTHER_OPS[layer.op]
    return Operator(
        kind=kind,
        in_pixels=(height + top + bottom) * (width + left + right),
        out_pixels=_pixels(layer.out_shape_chw),
        in_channels=channels,
        out_channels=layer.out_shape_chw[0],
        kernel_size=layer.kernel_size,
        stride=layer.stride,
        groups=layer.groups if layer.op == "conv" else 1,
    )


def _kind_of_conv(layer: LayerSpec, channels: int) -> OperatorKind:
    if layer.groups == 1:
        return "pointwise" if layer.kernel_size == 1 else "conv"
    return "depthwise" if layer.groups == channels else "grouped"
