"""The one walk of a network: an architecture becomes a tuple of `LayerSpec`, a DAG in topological order.

Counting, LUT keys, the torch module and both writers read that tuple; none walks the architecture again.
"""

from __future__ import annotations

from dataclasses import dataclass

from mnas.architecture import Architecture, Block
from mnas.block_layers import append_block
from mnas.errors import ArchitectureError

Shape = tuple[int, int, int]
NETWORK_INPUT = -1
STEM = -1
"""Stage index that marks the stem's blocks; the head's is the number of stages."""

LAYER_OPS = (
    "conv",
    "linear",
    "pool",
    "maxpool",
    "avgpool",
    "add",
    "scale",
    "concat",
    "slice",
    "shuffle",
    "flatten",
)


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One layer, with everything that a reader of it needs.

    Attributes:
        index: Position in the tuple.
        name: Unique within the network, e.g. ``stage1.block0.expand``.
        op: ``conv``, ``linear`` (flattens its input), ``pool`` (global average, keeps 1 x 1), ``maxpool``, ``avgpool``
            (over windows; the padding's zeros count in an average and are never a maximum), ``add``, ``scale``
            (features times a 1 x 1 gate), ``concat``, ``slice``, ``shuffle`` (channels, by ``groups``) or ``flatten``.
        inputs: Indices of the producing layers, -1 for the network's input.
        in_shapes_chw: Shape of each input.
        out_shape_chw: Shape of the output.
        kernel_size: Pixels.
        stride: Pixels.
        dilation: Pixels.
        padding_tlbr: Explicit zero padding as torch has it: top, left, bottom, right.
        groups: Convolution groups; equal to the input channels for a depthwise one.
        has_bias: A bias beside the weights (a batch norm's shift is not one).
        norm: ``batch`` or ``none``; the torch module builds it, the writers fold it.
        activation: Applied last.
        channel_range: Start and stop of a ``slice``.
        block: Stage (-1 for the stem, the number of stages for the head) and position within it.
        macs: Multiply-accumulates of convolutions and fully connected layers, batch 1.
        params: Weights, biases and the batch norm's scale and shift.
    """

    index: int
    name: str
    op: str
    inputs: tuple[int, ...]
    in_shapes_chw: tuple[Shape, ...]
    out_shape_chw: Shape
    kernel_size: int = 1
    stride: int = 1
    dilation: int = 1
    padding_tlbr: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    has_bias: bool = False
    norm: str = "none"
    activation: str = "none"
    channel_range: tuple[int, int] = (0, 0)
    block: tuple[int, int] = (0, 0)
    macs: int = 0
    params: int = 0


class LayerBuilder:
    """Appends layers one by one and works out shapes, counts and padding."""

    def __init__(self, input_shape_chw: Shape) -> None:
        self.input_shape_chw = input_shape_chw
        self.layers: list[LayerSpec] = []
        self.block = (0, 0)
        self.prefix = ""

    @property
    def last(self) -> int:
        """Index of the layer appended last, -1 before the first."""
        return len(self.layers) - 1

    def shape(self, index: int) -> Shape:
        """Return the output shape of a layer, or of the network's input for -1."""
        return self.input_shape_chw if index == NETWORK_INPUT else self.layers[index].out_shape_chw

    def _bad_shape(self, name: str, value: object, why: str) -> ArchitectureError:
        what = f"layer {self.prefix}{name} does not fit its input"
        return ArchitectureError("ARC02", what, value=value, why=why, fix="change it")

    def conv(
        self,
        name: str,
        source: int,
        out_channels: int,
        *,
        kernel_size: int = 1,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        norm: str = "batch",
        activation: str = "none",
        is_padded: bool = True,
    ) -> int:
        """Append a convolution padded as torch's ``dilation * (kernel - 1) // 2`` on every side, or not at all."""
        channels = self.shape(source)[0]
        if channels % groups or out_channels % groups:
            raise self._bad_shape(name, (channels, out_channels, groups), "channels must be divisible by groups")
        pad = dilation * (kernel_size - 1) // 2 if is_padded else 0
        out_h, out_w = self._pixels_behind(source, dilation * (kernel_size - 1) + 1, stride, pad)
        weights = out_channels * (channels // groups) * kernel_size**2
        return self._append(
            name,
            "conv",
            (source,),
            (out_channels, out_h, out_w),
            kernel_size=kernel_size,
            stride=stride,
            dilation=dilation,
            padding_tlbr=(pad, pad, pad, pad),
            groups=groups,
            has_bias=norm == "none",
            norm=norm,
            activation=activation,
            macs=weights * out_h * out_w,
            params=weights + (2 * out_channels if norm == "batch" else out_channels),
        )

    def linear(self, name: str, source: int, out_channels: int, activation: str = "none") -> int:
        """Append a fully connected layer over the flattened input (channels first)."""
        channels, height, width = self.shape(source)
        if height * width != 1:
            raise self._bad_shape(name, self.shape(source), "a linear layer needs an input of 1 x 1 pixels")
        weights = channels * out_channels
        return self._append(
            name,
            "linear",
            (source,),
            (out_channels, 1, 1),
            has_bias=True,
            activation=activation,
            macs=weights,
            params=weights + out_channels,
        )

    def pool(self, name: str, source: int) -> int:
        """Append a global average pool."""
        return self._append(name, "pool", (source,), (self.shape(source)[0], 1, 1))

    def window_pool(
        self, name: str, source: int, op: str, kernel_size: int, stride: int, *, is_padded: bool = True
    ) -> int:
        """Append a ``maxpool`` or ``avgpool`` over windows, padded like a convolution."""
        pad = (kernel_size - 1) // 2 if is_padded else 0
        pixels = self._pixels_behind(source, kernel_size, stride, pad)
        return self._append(
            name,
            op,
            (source,),
            (self.shape(source)[0], *pixels),
            kernel_size=kernel_size,
            stride=stride,
            padding_tlbr=(pad, pad, pad, pad),
        )

    def flatten(self, name: str, source: int) -> int:
        """Append a change of the shape from 1 x 1 pixels to none."""
        channels, height, width = self.shape(source)
        if height * width != 1:
            raise self._bad_shape(name, self.shape(source), "only 1 x 1 pixels are flattened")
        return self._append(name, "flatten", (source,), (channels, 1, 1))

    def _pixels_behind(self, source: int, reach: int, stride: int, pad: int) -> tuple[int, int]:
        _, height, width = self.shape(source)
        return (height + 2 * pad - reach) // stride + 1, (width + 2 * pad - reach) // stride + 1

    def add(self, name: str, first: int, second: int, activation: str = "none") -> int:
        """Append an element-wise sum of two equal shapes."""
        if self.shape(first) != self.shape(second):
            raise self._bad_shape(name, (self.shape(first), self.shape(second)), "both inputs must have one shape")
        return self._append(name, "add", (first, second), self.shape(first), activation=activation)

    def scale(self, name: str, features: int, gate: int) -> int:
        """Append features times a gate of the same channels and 1 x 1 pixels."""
        if self.shape(gate) != (self.shape(features)[0], 1, 1):
            raise self._bad_shape(name, (self.shape(features), self.shape(gate)), "the gate must be channels x 1 x 1")
        return self._append(name, "scale", (features, gate), self.shape(features))

    def concat(self, name: str, sources: tuple[int, ...], activation: str = "none") -> int:
        """Append a concatenation along the channels."""
        shapes = [self.shape(source) for source in sources]
        if len({shape[1:] for shape in shapes}) != 1:
            raise self._bad_shape(name, shapes, "all inputs must have the same pixels")
        channels = sum(shape[0] for shape in shapes)
        return self._append(name, "concat", sources, (channels, *shapes[0][1:]), activation=activation)

    def slice(self, name: str, source: int, start: int, stop: int) -> int:
        """Append a cut of the channels ``start .. stop - 1``; a split is one slice for each output."""
        channels, height, width = self.shape(source)
        if not 0 <= start < stop <= channels:
            raise self._bad_shape(name, (start, stop, channels), "the range must lie within the channels")
        return self._append(name, "slice", (source,), (stop - start, height, width), channel_range=(start, stop))

    def shuffle(self, name: str, source: int, groups: int) -> int:
        """Append ShuffleNet's channel shuffle: channel ``g * n + i`` moves to ``i * groups + g``."""
        if self.shape(source)[0] % groups:
            raise self._bad_shape(name, (self.shape(source), groups), "channels must be divisible by groups")
        return self._append(name, "shuffle", (source,), self.shape(source), groups=groups)

    def _append(
        self,
        name: str,
        op: str,
        inputs: tuple[int, ...],
        out_shape_chw: Shape,
        **fields: object,
    ) -> int:
        if min(out_shape_chw) < 1:
            raise self._bad_shape(name, out_shape_chw, "nothing would be left of the image")
        index = len(self.layers)
        self.layers.append(
            LayerSpec(
                index=index,
                name=self.prefix + name,
                op=op,
                inputs=inputs,
                in_shapes_chw=tuple(self.shape(i) for i in inputs),
                out_shape_chw=out_shape_chw,
                block=self.block,
                **fields,  # type: ignore[arg-type]
            )
        )
        return index


def layers_of_blocks(blocks: tuple[Block, ...], input_shape_chw: Shape) -> tuple[LayerSpec, ...]:
    """Walk a chain of blocks that need not be a whole network, e.g. one block of a latency table.

    Raises:
        ArchitectureError: A block does not fit the one before it.
    """
    builder = LayerBuilder(input_shape_chw)
    for position, block in enumerate(blocks):
        builder.block, builder.prefix = (0, position), f"block{position}."
        append_block(builder, block)
    return tuple(builder.layers)


def layers_of(architecture: Architecture) -> tuple[LayerSpec, ...]:
    """Walk a whole architecture.

    Raises:
        ArchitectureError: A block does not fit the one before it.
    """
    builder = LayerBuilder(architecture.input_shape_chw)
    groups = [("stem", STEM, architecture.stem)]
    groups += [(f"stage{i}", i, stage.blocks) for i, stage in enumerate(architecture.stages)]
    groups += [("head", len(architecture.stages), architecture.head)]
    for name, stage, blocks in groups:
        for position, block in enumerate(blocks):
            builder.block, builder.prefix = (stage, position), f"{name}.block{position}."
            append_block(builder, block)
    return tuple(builder.layers)
