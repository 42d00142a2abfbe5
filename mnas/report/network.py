"""A network as a drawing: one box a block from left to right, with the stages named above and the blocks below.

It is a file of its own, so it brings its colours along; a page needs no style sheet for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from mnas.architecture import Architecture, Block
from mnas.counts import total_macs, total_params
from mnas.layers import STEM, Shape, layers_of
from mnas.report.marks import number
from mnas.report.text import escaped, shortened, width_px

_COLOURS = {
    "conv": "#0072b2",
    "sepconv": "#56b4e9",
    "mbconv": "#d55e00",
    "fire": "#b98300",
    "ghost": "#009e73",
    "shufflev1": "#8a63b8",
    "shufflev2": "#b0528c",
    "maxpool": "#6b7680",
    "pool": "#98a2ad",
    "flatten": "#c3cad1",
    "linear": "#2f3a45",
}
_STYLE = (
    ".net{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}"
    ".net text{fill:#1b1f24;font-size:11px}.net .title{font-size:14px;font-weight:600}.net .soft{fill:#57606a}"
    ".net .paper{fill:#fff}.net .skip{fill:none;stroke:#1b1f24;stroke-width:1.2}"
    ".net .se{fill:#fff;stroke:#1b1f24}.net .base{stroke:#98a2ad}"
    + "".join(f".net .{op}{{fill:{colour}}}" for op, colour in _COLOURS.items())
)
_SMALL = 11.0
_MARGIN, _GAP, _STAGE_GAP, _LEAST_GROUP = 18, 3, 16, 46
_WIDTHS, _HEIGHTS = (13.0, 42.0), (5.0, 150.0)
"""Of a box in px: for no channel or pixel, and what the most channels or pixels of the network add to that."""
_SQUEEZES, _ADDS = "squeeze-and-excitation", "adds its input"
_LEGEND_Y, _STAGE_Y, _BASE_Y = 46, 76, 296
_NOTE = "Pixels and channels are those of a stage's output; the boxes' heights and widths grow with their square roots."


@dataclass(frozen=True, slots=True)
class _Box:
    block: Block
    stage: int
    name: str
    in_shape: Shape
    out_shape: Shape
    macs: int
    params: int

    def tooltip(self) -> str:
        shapes = " to ".join("x".join(map(str, shape)) for shape in (self.in_shape, self.out_shape))
        return f"{self.name}: {self.block.label()}, {shapes}, {self.macs:,} MACs, {self.params:,} parameters"


@dataclass(frozen=True, slots=True)
class _Group:
    """A stage with the places of its boxes: left end, width and height of each."""

    name: str
    left: float
    width: float
    boxes: Sequence[tuple[_Box, float, float, float]]


def draw_network(architecture: Architecture, title: str) -> Markup:
    """Return a network as SVG, each block a box that is the higher and wider the larger its output.

    Raises:
        ArchitectureError: A block does not fit the one before it.
    """
    groups = _placed(_boxes(architecture))
    boxes = [box for group in groups for box, *_ in group.boxes]
    labels = max(width_px(box.block.label(), _SMALL) for box in boxes)
    legend, legend_end = _legend(boxes)
    width = math.ceil(max(groups[-1].left + groups[-1].width, legend_end, width_px(_NOTE, _SMALL)) + _MARGIN)
    height = math.ceil(_BASE_Y + 14 + labels + 28)
    params, macs = sum(box.params for box in boxes), sum(box.macs for box in boxes)
    about = f"{params:,} parameters, {macs:,} MACs"
    parts = [
        _text(_MARGIN, 24, shortened(f"{title}: {about}", width - 2 * _MARGIN, 14), "title"),
        legend,
        *(_group(group) for group in groups),
        _text(_MARGIN, height - 10, _NOTE, "soft"),
    ]
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" class="net" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escaped(title)}"><title>{escaped(title)}</title>'
        f'<desc>{escaped(about)}</desc><style>{_STYLE}</style><rect class="paper" width="{width}" height="{height}"/>'
        f"{Markup('').join(parts)}</svg>"
    )


def _boxes(architecture: Architecture) -> list[_Box]:
    found = []
    layers = groupby(layers_of(architecture), key=lambda layer: layer.block)
    for block, ((stage, _), of_block) in zip(architecture.blocks, layers, strict=True):
        inside = tuple(of_block)
        name = inside[0].name.rpartition(".")[0]
        ends = inside[0].in_shapes_chw[0], inside[-1].out_shape_chw
        found.append(_Box(block, stage, name, *ends, total_macs(inside), total_params(inside)))
    return found


def _pixels(box: _Box) -> float:
    return math.sqrt(box.out_shape[1] * box.out_shape[2])


def _placed(boxes: Sequence[_Box]) -> list[_Group]:
    """Put the boxes one behind the other, a group for each stage."""
    most_channels, most_pixels = max(box.out_shape[0] for box in boxes), max(map(_pixels, boxes))
    head = boxes[-1].stage
    groups, left = [], float(_MARGIN)
    for stage, of_stage in groupby(boxes, key=lambda box: box.stage):
        places, x = [], left
        for box in of_stage:
            wide = _WIDTHS[0] + _WIDTHS[1] * math.sqrt(box.out_shape[0] / most_channels)
            high = _HEIGHTS[0] + _HEIGHTS[1] * math.sqrt(_pixels(box) / most_pixels)
            places.append((box, x, wide, high))
            x += wide + _GAP
        name = "stem" if stage == STEM else "head" if stage == head else f"stage {stage}"
        groups.append(_Group(name, left, max(x - _GAP - left, _LEAST_GROUP), places))
        left += groups[-1].width + _STAGE_GAP
    return groups


def _group(group: _Group) -> Markup:
    channels, height, width = group.boxes[-1][0].out_shape
    pixels = f"{height} px" if height == width else f"{height} x {width} px"
    lines = ((group.name, ""), (pixels, "soft"), (f"{channels} ch", "soft"))
    heads = [_text(group.left, _STAGE_Y + 13 * n, text, name) for n, (text, name) in enumerate(lines)]
    base = f"M{number(group.left)} {_BASE_Y + 0.5}h{number(group.width)}"
    return Markup("").join([*heads, Markup(f'<path class="base" d="{base}"/>'), *(_box(*box) for box in group.boxes)])


def _box(box: _Box, x: float, wide: float, high: float) -> Markup:
    top, middle = _BASE_Y - high, x + wide / 2
    parts = [
        Markup(
            f'<rect class="{escaped(box.block.op)}" x="{number(x)}" y="{number(top)}" width="{number(wide)}" '
            f'height="{number(high)}" rx="2"><title>{escaped(box.tooltip())}</title></rect>'
        )
    ]
    if box.block.skip:
        parts.append(_skip(x, top, wide))
    if box.block.se_channels:
        parts.append(_squeeze(middle, top + min(7, high / 2)))
    turned = f' transform="rotate(90 {number(middle - 4)} {_BASE_Y + 8})"'
    parts.append(_text(middle - 4, _BASE_Y + 8, box.block.label(), "", turned))
    return Markup("").join(parts)


def _skip(x: float, y: float, wide: float) -> Markup:
    """Return an arc over a box."""
    return Markup(
        f'<path class="skip" d="M{number(x + 1)} {number(y - 2)}q{number(wide / 2 - 1)} -10 {number(wide - 2)} 0"/>'
    )


def _squeeze(x: float, y: float) -> Markup:
    return Markup(f'<circle class="se" cx="{number(x)}" cy="{number(y)}" r="3"/>')


def _swatch(op: str, x: float, y: float) -> Markup:
    return Markup(f'<rect class="{op}" x="{number(x)}" y="{number(y - 10)}" width="14" height="11" rx="2"/>')


def _legend(boxes: Sequence[_Box]) -> tuple[Markup, float]:
    """Return what the colours and marks mean, and where the line ends."""
    blocks, y = [box.block for box in boxes], _LEGEND_Y
    names = [op for op in _COLOURS if any(block.op == op for block in blocks)]
    names += [_SQUEEZES] if any(block.se_channels for block in blocks) else []
    names += [_ADDS] if any(block.skip for block in blocks) else []
    parts, x = [], float(_MARGIN)
    for name in names:
        if name == _SQUEEZES:
            sample = _squeeze(x + 7, y - 4)
        else:
            sample = _skip(x, y + 2, 14) if name == _ADDS else _swatch(name, x, y)
        parts.append(sample + _text(x + 19, y, name))
        x += 19 + width_px(name, _SMALL) + 16
    return Markup("").join(parts), x


def _text(x: float, y: float, text: str, name: str = "", extra: str = "") -> Markup:
    return Markup(f'<text x="{number(x)}" y="{number(y)}" class="{name}"{extra}>{escaped(text)}</text>')
