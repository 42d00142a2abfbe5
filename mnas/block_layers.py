"""What each kind of block consists of: one function a kind, each of which appends its layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mnas.architecture import Block
from mnas.errors import ArchitectureError

if TYPE_CHECKING:
    from mnas.layers import LayerBuilder

_GHOST_KERNEL_SIZE = 3
_POOL_KERNEL_SIZE = 3


def append_block(builder: LayerBuilder, block: Block) -> None:
    """Append one block behind the last layer: its layers, then the sum with its input where it has a skip.

    Raises:
        ArchitectureError: ``ARC02``: it does not fit its input.
    """
    source = builder.last
    end = _KINDS[block.op](builder, block, source, "none" if block.skip else block.out_activation)
    if block.skip:
        builder.add("add", end, _shortcut(builder, block, source), activation=block.out_activation)


def _shortcut(builder: LayerBuilder, block: Block, source: int) -> int:
    """What is added to a block's output: its input, averaged, or brought to the same shape by convolutions."""
    if block.shortcut == "pool":
        return builder.window_pool("shortcut_pool", source, "avgpool", _POOL_KERNEL_SIZE, block.stride)
    if block.shortcut == "conv":
        inner = _depthwise(builder, block, source, "shortcut_depthwise", activation="none")
        return builder.conv("shortcut_project", inner, block.out_channels, norm=block.norm)
    return source


def _conv(builder: LayerBuilder, block: Block, source: int, out_activation: str) -> int:
    end = builder.conv(
        "conv",
        source,
        block.out_channels,
        kernel_size=block.kernel_size,
        stride=block.stride,
        dilation=block.dilation,
        groups=block.groups,
        norm=block.norm,
        activation=block.activation,
        is_padded=block.padding == "half",
    )
    return _squeeze(builder, block, end)


def _sepconv(builder: LayerBuilder, block: Block, source: int, out_activation: str) -> int:
    inner = _squeeze(builder, block, _depthwise(builder, block, source))
    return builder.conv("project", inner, block.out_channels, norm=block.norm, activation=out_activation)


def _mbconv(builder: LayerBuilder, block: Block, source: int, out_activation: str) -> int:
    inner = source
    if block.always_expands or block.mid_channels != builder.shape(source)[0]:
        inner = builder.conv("expand", source, block.mid_channels, norm=block.norm, activation=block.activation)
    inner = _squeeze(builder, block, _depthwise(builder, block, inner))
    return builder.conv("project", inner, block.out_channels, norm=block.norm, activation=out_activation)


def _fire(builder: LayerBuilder, block: Block, source: int, out_activation: str) -> int:
    """A squeeze, then 1 x 1 and k x k side by side. A stride is that of a max pool in front, as in the paper."""
    if block.stride > 1:
        source = builder.window_pool("maxpool", source, "maxpool", _POOL_KERNEL_SIZE, block.stride)
    norm, activation = block.norm, block.activation
    squeeze = builder.conv("squeeze", source, block.mid_channels, norm=norm, activation=activation)
    half = block.out_channels // 2
    small = builder.conv("expand1", squeeze, half, norm=norm, activation=activation)
    large = builder.conv(
        "expand3",
        squeeze,
        block.out_channels - half,
        kernel_size=block.kernel_size,
        dilation=block.dilation,
        norm=norm,
        activation=activation,
    )
    return builder.concat("concat", (small, large))


def _ghost(builder: LayerBuilder, block: Block, source: int, out_activation: str) -> int:
    """Two ghost modules with a strided depthwise convolution between them."""
    inner = _ghost_module(builder, block, source, "ghost1", block.mid_channels, block.activation)
    if block.stride > 1:
        inner = _depthwise(builder, block, inner, activation="none")
    inner = _squeeze(builder, block, inner)
    return _ghost_module(builder, block, inner, "ghost2", block.out_channels, out_activation)


def _ghost_module(builder: LayerBuilder, block: Block, source: int, name: str, channels: int, activation: str) -> int:
    """Half of the channels by a 1 x 1 convolution, the other half from these by a cheap depthwise one."""
    primary = builder.conv(f"{name}_primary", source, -(-channels // 2), norm=block.norm, activation=activation)
    inner = builder.shape(primary)[0]
    cheap = builder.conv(
        f"{name}_cheap",
        primary,
        inner,
        kernel_size=_GHOST_KERNEL_SIZE,
        groups=inner,
        norm=block.norm,
        activation=activation,
    )
    both = builder.concat(f"{name}_concat", (primary, cheap))
    return both if 2 * inner == channels else builder.slice(f"{name}_slice", both, 0, channels)


def _shufflev1(builder: LayerBuilder, block: Block, source: int, out_activation: str) -> int:
    """Grouped 1 x 1, channel shuffle, depthwise, grouped 1 x 1.

    Its input is added by the block's own skip; without one it is averaged and comes first in a concatenation, so the
    branch computes only the channels that are lacking.
    """
    groups, is_concat = block.groups, not block.skip
    lacking = block.out_channels - builder.shape(source)[0] if is_concat else block.out_channels
    if lacking < 1:
        raise ArchitectureError(
            "ARC02",
            f"{builder.prefix}shufflev1 without a skip has no more channels than its input",
            value=(builder.shape(source)[0], block.out_channels),
            why="its input is kept and new channels are put behind it",
            fix="give it more out_channels, or a skip",
        )
    inner = builder.conv(
        "reduce", source, block.mid_channels, groups=groups, norm=block.norm, activation=block.activation
    )
    if groups > 1:
        inner = builder.shuffle("shuffle", inner, groups)
    inner = _depthwise(builder, block, inner, activation="none")
    end = builder.conv("project", inner, lacking, groups=groups, norm=block.norm)
    if not is_concat:
        return end
    kept = builder.window_pool("kept_pool", source, "avgpool", _POOL_KERNEL_SIZE, block.stride)
    return builder.concat("concat", (kept, end), activation=out_activation)


def _shufflev2(builder: LayerBuilder, block: Block, source: int, out_activation: str) -> int:
    """One half passes by, the other is computed, and a shuffle mixes them; with a new shape both are computed."""
    channels = builder.shape(source)[0]
    if block.stride == 1 and channels == block.out_channels:
        kept = builder.slice("kept", source, 0, channels // 2)
        inner = builder.slice("taken", source, channels // 2, channels)
    else:
        kept = _depthwise(builder, block, source, "kept_depthwise", activation="none")
        kept = builder.conv("kept_project", kept, block.out_channels // 2, norm=block.norm, activation=block.activation)
        inner = source
    inner = builder.conv("expand", inner, block.mid_channels, norm=block.norm, activation=block.activation)
    inner = _depthwise(builder, block, inner, activation="none")
    lacking = block.out_channels - builder.shape(kept)[0]
    end = builder.conv("project", inner, lacking, norm=block.norm, activation=block.activation)
    both = builder.concat("concat", (kept, end))
    return builder.shuffle("shuffle", both, 2)


def _maxpool(builder: LayerBuilder, block: Block, source: int, out_activation: str) -> int:
    _same_channels(builder, block, source)
    return builder.window_pool(
        "maxpool", source, "maxpool", block.kernel_size, block.stride, is_padded=block.padding == "half"
    )


def _pool(builder: LayerBuilder, block: Block, source: int, out_activation: str) -> int:
    _same_channels(builder, block, source)
    return builder.pool("pool", source)


def _flatten(builder: LayerBuilder, block: Block, source: int, out_activation: str) -> int:
    _same_channels(builder, block, source)
    return builder.flatten("flatten", source)


def _linear(builder: LayerBuilder, block: Block, source: int, out_activation: str) -> int:
    return builder.linear("linear", source, block.out_channels, block.activation)


def _depthwise(
    builder: LayerBuilder, block: Block, source: int, name: str = "depthwise", activation: str | None = None
) -> int:
    channels = builder.shape(source)[0]
    return builder.conv(
        name,
        source,
        channels,
        kernel_size=block.kernel_size,
        stride=block.stride,
        dilation=block.dilation,
        groups=channels,
        norm=block.norm,
        activation=block.activation if activation is None else activation,
        is_padded=block.padding == "half",
    )


def _squeeze(builder: LayerBuilder, block: Block, features: int) -> int:
    """Append squeeze-and-excitation, where the block has it."""
    if not block.se_channels:
        return features
    pooled = builder.pool("se_pool", features)
    squeeze = builder.conv("se_reduce", pooled, block.se_channels, norm="none", activation=block.se_activation)
    channels = builder.shape(features)[0]
    gate = builder.conv("se_expand", squeeze, channels, norm="none", activation=block.se_gate)
    return builder.scale("se_scale", features, gate)


def _same_channels(builder: LayerBuilder, block: Block, source: int) -> None:
    channels = builder.shape(source)[0]
    if block.out_channels != channels:
        raise ArchitectureError(
            "ARC02",
            f"layer {builder.prefix}{block.op} does not fit its input",
            value=block.out_channels,
            why=f"it keeps its channels, of which there are {channels}",
            fix="change it",
        )


_KINDS: dict[str, Callable[[LayerBuilder, Block, int, str], int]] = {
    "conv": _conv,
    "sepconv": _sepconv,
    "mbconv": _mbconv,
    "fire": _fire,
    "ghost": _ghost,
    "shufflev1": _shufflev1,
    "shufflev2": _shufflev2,
    "maxpool": _maxpool,
    "pool": _pool,
    "flatten": _flatten,
    "linear": _linear,
}
