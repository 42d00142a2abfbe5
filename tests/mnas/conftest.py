from __future__ import annotations

import pytest

from mnas.layers import LayerBuilder


@pytest.fixture
def every_operator():
    """A graph with every operator: slice, concat, shuffle, add, scale, grouped and dilated convolutions."""
    builder = LayerBuilder((12, 15, 18))
    grouped = builder.conv("grouped", -1, 24, kernel_size=3, groups=4, activation="swish", norm="none")
    dilated = builder.conv("dilated", grouped, 24, kernel_size=3, dilation=2, groups=24, activation="hsigmoid")
    left, right = builder.slice("left", grouped, 0, 10), builder.slice("right", dilated, 7, 21)
    mixed = builder.shuffle("shuffle", builder.concat("concat", (left, right, left)), 2)
    narrow = builder.conv("narrow", mixed, 24, norm="none")
    total = builder.add("add", narrow, grouped, "relu6")
    gate = builder.conv("gate", builder.pool("gate_pool", total), 24, norm="none", activation="sigmoid")
    wide = builder.conv("wide", builder.scale("scale", total, gate), 48, kernel_size=5, stride=2, groups=24)
    first = builder.linear("first", builder.pool("pool", wide), 9, "hswish")
    second = builder.slice("part", builder.concat("pair", (first, builder.add("twice", first, first))), 3, 16)
    builder.linear("last", second, 7)
    return tuple(builder.layers)
