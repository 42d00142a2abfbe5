"""Keys of once-for-all's and ProxylessNAS' tables, and the segment that each stands for.

    Conv-input:224x224x3-output:112x112x24                          shapes are height x width x channels
    expanded_conv-input:...-output:...-expand:72-kernel:3-stride:2-idskip:0[-se:0-hs:0]
    Conv_1-...  AvgPool2D-...  Conv_2-...  Logits-input:1x1x1536-output:1000

In once-for-all's MobileNetV3 tables ``expand`` counts channels; in ProxylessNAS' it is the ratio to the input's, there
is no ``se`` and no ``hs``, and ``Logits`` stands for everything behind ``Conv_1``, the pool included. What a key leaves
out is what those networks always have: a first convolution of 3 x 3 with stride 2, a squeeze to a quarter.

Source: how mit-han-lab/once-for-all (``latency_lookup_table.py``) and mit-han-lab/proxylessnas
(``latency_estimator.py``) build the keys that they look up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from latency.pieces import canonical
from mnas.architecture import Block
from mnas.errors import ArchitectureError, LutError
from mnas.layers import Shape, layers_of_blocks
from mnas.rounding import make_divisible
from mnas.segments import Segment

_SIZE = r"([1-9]\d{0,5})"
_SHAPE = f"{_SIZE}x{_SIZE}x{_SIZE}"
_WHOLE = re.compile(rf"(Conv|Conv_1|Conv_2|AvgPool2D|expanded_conv)-input:{_SHAPE}-output:{_SHAPE}(-.*)?", re.ASCII)
_LOGITS = re.compile(f"Logits-input:{_SHAPE}-output:{_SIZE}", re.ASCII)
_CHOICES = re.compile(f"-expand:{_SIZE}-kernel:{_SIZE}-stride:{_SIZE}-idskip:([01])(-se:([01])-hs:([01]))?", re.ASCII)
_GREATEST_RATIO = 32


@dataclass(frozen=True, slots=True)
class Layout:
    """How one of the two writes its tables.

    Attributes:
        name: ``ofa`` or ``proxylessnas``.
        has_flags: Keys of blocks end in ``se`` and ``hs``, and ``expand`` counts channels; else it is the ratio.
        activation: Of convolutions and of the hidden linear layer outside blocks.
        spread: Name of the third number of an entry, ``std`` or ``var``.
    """

    name: str
    has_flags: bool
    activation: str
    spread: str


OFA = Layout("ofa", True, "hswish", "std")
PROXYLESSNAS = Layout("proxylessnas", False, "relu6", "var")
LAYOUTS = {layout.name: layout for layout in (OFA, PROXYLESSNAS)}


def _refuse(key: str, why: str, layout: Layout) -> LutError:
    return LutError(
        "LUT32",
        f"a key that is none of the layout {layout.name}",
        value=key[:200],
        why=why,
        fix="name the right --layout (ofa or proxylessnas), or remove the entry",
    )


def detect_layout(keys: list[str]) -> Layout:
    """Return the layout that the keys of blocks show.

    Raises:
        LutError: ``LUT32``: there is no block to tell by.
    """
    for key in keys:
        if key.startswith("expanded_conv-"):
            return OFA if "-se:" in key else PROXYLESSNAS
    raise LutError(
        "LUT32",
        "keys of no layout that is known",
        value="; ".join(keys[:3])[:200] or "no key at all",
        why="tables of once-for-all and ProxylessNAS have keys that begin with expanded_conv-",
        fix="name the layout with --layout, or another file",
    )


def segment_of_key(key: str, layout: Layout) -> Segment:
    """Return what a key stands for, in canonical form.

    Raises:
        LutError: ``LUT32``: not a key of the layout, or of shapes that no such layer has.
    """
    if logits := _LOGITS.fullmatch(key):
        segment, out = _logits(logits, layout), (int(logits[4]), 1, 1)
    elif whole := _WHOLE.fullmatch(key):
        shapes = [int(size) for size in whole.groups()[1:7]]
        out = (shapes[5], shapes[3], shapes[4])
        segment = _segment(key, whole[1], (shapes[2], shapes[0], shapes[1]), out, whole[8] or "", layout)
    else:
        raise _refuse(key, "it names no layer of the layout", layout)
    try:
        found = layers_of_blocks(segment.blocks, segment.in_shape_chw)[-1].out_shape_chw
    except ArchitectureError as error:
        raise _refuse(key, str(error), layout) from error
    if found != out:
        channels, height, width = found
        raise _refuse(key, f"such a layer gives {height}x{width}x{channels}", layout)
    return canonical(segment)


def _logits(match: re.Match[str], layout: Layout) -> Segment:
    height, width, channels = (int(size) for size in match.groups()[:3])
    try:
        linear = Block(op="linear", out_channels=int(match[4]))
        blocks = (linear,) if layout.has_flags else (Block(op="pool", out_channels=channels), linear)
    except ArchitectureError as error:
        raise _refuse(match[0], str(error), layout) from error
    return Segment("head", blocks, (channels, height, width))


def _segment(key: str, kind: str, shape: Shape, out: Shape, rest: str, layout: Layout) -> Segment:
    try:
        if kind == "expanded_conv":
            return Segment("block", (_block(key, shape, out[0], rest, layout),), shape)
        if rest:
            raise _refuse(key, f"a {kind} has no further choices", layout)
        if kind in ("AvgPool2D", "Conv_2") and not layout.has_flags:
            raise _refuse(key, "Logits stands for everything behind Conv_1 there", layout)
        block = {
            "Conv": Block(op="conv", kernel_size=3, stride=2, out_channels=out[0], activation=layout.activation),
            "Conv_1": Block(op="conv", out_channels=out[0], activation=layout.activation),
            "AvgPool2D": Block(op="pool", out_channels=out[0]),
            "Conv_2": Block(op="linear", out_channels=out[0], activation=layout.activation),
        }[kind]
    except ArchitectureError as error:
        raise _refuse(key, str(error), layout) from error
    return Segment("stem" if kind == "Conv" else "block", (block,), shape)


def _block(key: str, shape: Shape, out_channels: int, rest: str, layout: Layout) -> Block:
    match = _CHOICES.fullmatch(rest)
    if match is None or (match[5] is not None) != layout.has_flags:
        order = "expand, kernel, stride, idskip" + (", se, hs" if layout.has_flags else "")
        raise _refuse(key, f"a block's choices are {order}", layout)
    expand, kernel, stride, skip = (int(match[i]) for i in (1, 2, 3, 4))
    se, hs = match[6] == "1", match[7] == "1"
    if layout.has_flags and expand < shape[0]:
        raise _refuse(key, f"{expand} inner channels are fewer than the input's: this looks like a ratio", layout)
    if not layout.has_flags and expand > _GREATEST_RATIO:
        raise _refuse(key, f"a ratio of {expand} looks like a count of channels", layout)
    mid = expand if layout.has_flags else expand * shape[0]
    if skip and (stride != 1 or out_channels != shape[0]):
        raise _refuse(key, "a block whose output differs from its input in shape has nothing to add it to", layout)
    return Block(
        op="mbconv",
        kernel_size=kernel,
        stride=stride,
        mid_channels=mid,
        se_channels=make_divisible(mid // 4) if se else 0,
        se_gate="hsigmoid" if se else "none",
        se_activation="relu" if se else "none",
        out_channels=out_channels,
        activation=("hswish" if hs else "relu") if layout.has_flags else "relu6",
        skip=skip == 1,
    )


def key_of_segment(segment: Segment, layout: Layout) -> str | None:
    """Return the key of a segment, or ``None`` where no key of the layout stands for exactly that."""
    segment = canonical(segment)
    key = _candidate(segment, layout)
    if key is None:
        return None
    try:
        return key if segment_of_key(key, layout) == segment else None
    except LutError:
        return None


def _candidate(segment: Segment, layout: Layout) -> str | None:
    channels, height, width = segment.in_shape_chw
    out_channels, out_height, out_width = layers_of_blocks(segment.blocks, segment.in_shape_chw)[-1].out_shape_chw
    ops, block = tuple(block.op for block in segment.blocks), segment.blocks[0]
    shapes = f"-input:{height}x{width}x{channels}-output:"
    if segment.role == "head":
        return f"Logits{shapes}{out_channels}" if ops in (("linear",), ("pool", "linear")) else None
    shapes += f"{out_height}x{out_width}x{out_channels}"
    if ops in (("sepconv",), ("mbconv",)):
        mid = channels if block.op == "sepconv" else block.mid_channels
        expand = mid if layout.has_flags else mid // channels
        flags = f"-se:{int(block.se_channels > 0)}-hs:{int(block.activation == 'hswish')}" if layout.has_flags else ""
        choices = f"-expand:{expand}-kernel:{block.kernel_size}-stride:{block.stride}-idskip:{int(block.skip)}"
        return f"expanded_conv{shapes}{choices}{flags}"
    kinds = {("conv",): "Conv" if segment.role == "stem" else "Conv_1", ("pool",): "AvgPool2D", ("linear",): "Conv_2"}
    return kinds[ops] + shapes if ops in kinds else None
