"""Every layer and every kind of block, at random sizes: what both writers write computes what torch computes."""

import numpy as np
import pytest
import torch
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from mnas.architecture import ACTIVATIONS, OPS, Block
from mnas.errors import ArchitectureError
from mnas.export.gate import check_file
from mnas.export.lint import implied_operators
from mnas.export.onnx import write_onnx
from mnas.export.parity import check_parity, run_onnx, run_tflite, run_torch, settle_batch_norm
from mnas.export.partitions import partitions_of
from mnas.export.tflite import prolongation, write_tflite
from mnas.layers import LayerBuilder, layers_of_blocks
from mnas.modules import LayerModule, folded_weights
from mnas.weights import random_weights

FORMATS = {"onnx": (write_onnx, run_onnx), "tflite": (write_tflite, run_tflite)}
SIZES = st.integers(1, 13)
POOLS = st.sampled_from(("maxpool", "avgpool"))


def assert_alike(layers, shape, *, shift=0.0, inputs=3):
    """Assert parity in both formats, on inputs moved by ``shift`` standard deviations, and clean files."""
    torch.manual_seed(1)
    module = LayerModule(layers)
    settle_batch_norm(module, shape, 0, images=8)
    reference = run_torch(module)
    spans = []
    for model_format, (write, run) in FORMATS.items():
        data = write(layers, folded_weights(module))
        written = run(data)
        report = check_parity(
            lambda image: reference(image + np.float32(shift)),
            lambda image, written=written: written(image + np.float32(shift)),
            shape,
            inputs=inputs,
            seed=2,
        )
        assert report.relative_difference <= 1e-4, (model_format, report)
        found = check_file(data, layers, model_format, {})
        assert [fault for fault in found.faults if fault.code != "EXP04"] == []
        spans.append(report.output_range)
    assert spans[0] == spans[1]
    return spans[0]


@settings(max_examples=120)
@given(
    op=POOLS,
    kernel=st.sampled_from((1, 3, 5, 7)),
    stride=st.integers(1, 3),
    height=SIZES,
    width=SIZES,
    padded=st.booleans(),
    shift=st.sampled_from((-5.0, 0.0, 5.0)),
)
def test_pools_over_windows(op, kernel, stride, height, width, padded, shift):
    assume(padded or kernel <= min(height, width))
    builder = LayerBuilder((4, height, width))
    builder.window_pool("pool", -1, op, kernel, stride, is_padded=padded)
    assert assert_alike(tuple(builder.layers), (4, height, width), shift=shift) > 0


@settings(max_examples=60)
@given(
    op=POOLS,
    kernel=st.sampled_from((3, 5)),
    stride=st.integers(1, 3),
    height=SIZES,
    width=SIZES,
    activation=st.sampled_from(ACTIVATIONS),
)
def test_pools_behind_layers(op, kernel, stride, height, width, activation):
    builder = LayerBuilder((3, height, width))
    first = builder.conv("conv", -1, 8, kernel_size=3, activation=activation)
    gate = builder.conv("gate", builder.pool("mean", first), 8, norm="none", activation="hsigmoid")
    end = builder.window_pool("pool", builder.scale("scale", first, gate), op, kernel, stride)
    builder.conv("last", end, 8, norm="none")
    assert assert_alike(tuple(builder.layers), (3, height, width)) > 0


@pytest.mark.parametrize("shift", [-5.0, 0.0])
@pytest.mark.parametrize("px", range(1, 17))
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_xnnpack_takes_every_maximum_over_3_x_3(px, stride, shift):
    builder = LayerBuilder((4, px, px + 1))
    builder.window_pool("pool", builder.conv("conv", -1, 4), "maxpool", 3, stride)
    layers = tuple(builder.layers)
    assert prolongation(layers[1]) is not None
    found = partitions_of(write_tflite(layers, random_weights(layers, np.random.default_rng(0))))
    assert (found.count, found.outside) == (1, ())
    assert assert_alike(layers, (4, px, px + 1), shift=shift) > 0


def test_what_xnnpack_leaves_is_told():
    builder = LayerBuilder((4, 12, 12))
    builder.window_pool("pool", builder.conv("conv", -1, 4), "maxpool", 5, 2)
    layers = tuple(builder.layers)
    assert prolongation(layers[1]) is None
    report = check_file(write_tflite(layers, random_weights(layers, np.random.default_rng(0))), layers, "tflite", {})
    assert report.faults == ()
    assert ["PADV2 -> pool/pad" in warning for warning in report.warnings] == [True]


@settings(max_examples=60)
@given(
    op=st.sampled_from(("add", "concat", "scale", "pool", "flatten", "linear")),
    activation=st.sampled_from(ACTIVATIONS),
    height=SIZES,
    width=SIZES,
)
def test_activations_behind_joins(op, activation, height, width):
    builder = LayerBuilder((6, height, width))
    first = builder.conv("first", -1, 6, kernel_size=3, activation="hswish")
    match op:
        case "add":
            builder.add("join", first, -1, activation)
        case "concat":
            builder.concat("join", (first, -1, first), activation)
        case "scale":
            builder.scale("join", first, builder.conv("gate", builder.pool("mean", -1), 6, activation=activation))
        case "pool":
            builder.conv("join", builder.pool("mean", first), 9, activation=activation)
        case "flatten":
            flat = builder.flatten("flat", builder.pool("mean", first))
            builder.linear("join", builder.concat("both", (flat, flat), activation), 9)
        case "linear":
            builder.linear("join", builder.linear("one", builder.pool("mean", first), 9, activation), 5)
    assert assert_alike(tuple(builder.layers), (6, height, width)) > 0


@settings(max_examples=60)
@given(
    groups=st.sampled_from((1, 2, 3, 4, 6, 12)),
    multiplier=st.integers(1, 3),
    kernel=st.sampled_from((1, 3, 5)),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    height=SIZES,
    width=SIZES,
)
def test_grouped_and_dilated_convolutions(groups, multiplier, kernel, stride, dilation, height, width):
    builder = LayerBuilder((12, height, width))
    builder.conv(
        "conv",
        -1,
        12 * multiplier,
        kernel_size=kernel,
        stride=stride,
        dilation=dilation,
        groups=groups,
        activation="relu6",
    )
    assert assert_alike(tuple(builder.layers), (12, height, width)) > 0


@settings(max_examples=60)
@given(data=st.data(), groups=st.integers(1, 4), each=st.integers(1, 4), height=SIZES, width=SIZES)
def test_slices_and_shuffles(data, groups, each, height, width):
    channels = groups * each
    start = data.draw(st.integers(0, channels - 1))
    stop = data.draw(st.integers(start + 1, channels))
    builder = LayerBuilder((channels, height, width))
    mixed = builder.shuffle("shuffle", -1, groups)
    part = builder.slice("part", mixed, start, stop)
    builder.concat("concat", (part, builder.slice("all", -1, 0, channels), mixed))
    assert assert_alike(tuple(builder.layers), (channels, height, width)) > 0


@st.composite
def blocks(draw, op):
    """A block of a kind with all that it may have, and its input's shape."""
    channels = 4 * draw(st.integers(1, 4))
    shape = (channels, draw(st.integers(1, 14)), draw(st.integers(1, 14)))
    keeps = op in ("maxpool", "pool", "flatten")
    skip = not keeps and op != "linear" and draw(st.booleans())
    stride = draw(st.integers(1, 3)) if op not in ("pool", "flatten", "linear") else 1
    shortcut = draw(st.sampled_from(("identity", "pool", "conv"))) if skip else "identity"
    out = channels if keeps or (skip and shortcut != "conv") else 4 * draw(st.integers(1, 8))
    use_se = op in ("conv", "sepconv", "mbconv", "ghost") and draw(st.booleans())
    has_last = skip or op in ("sepconv", "mbconv", "ghost", "shufflev1")
    block = Block(
        op=op,
        out_channels=out,
        kernel_size=draw(st.sampled_from((1, 3, 5))),
        stride=1 if shortcut == "identity" and skip else stride,
        dilation=1 if op == "maxpool" else draw(st.integers(1, 2)),
        groups=draw(st.sampled_from((1, 2, 4))) if op in ("conv", "shufflev1") else 1,
        mid_channels=4 * draw(st.integers(1, 6)) if op in ("mbconv", "fire", "ghost", "shufflev1", "shufflev2") else 0,
        se_channels=draw(st.integers(1, 5)) if use_se else 0,
        se_gate=draw(st.sampled_from(("hsigmoid", "sigmoid"))) if use_se else "none",
        se_activation=draw(st.sampled_from(ACTIVATIONS)) if use_se else "none",
        activation=draw(st.sampled_from(ACTIVATIONS)),
        norm=draw(st.sampled_from(("none", "batch", "batch"))),
        skip=skip,
        shortcut=shortcut,
        padding=draw(st.sampled_from(("half", "half", "none"))) if op in ("conv", "maxpool") and not skip else "half",
        out_activation=draw(st.sampled_from(ACTIVATIONS)) if has_last else "none",
        always_expands=op == "mbconv" and draw(st.booleans()),
    )
    return block, (channels, 1, 1) if op in ("flatten", "linear") else shape


@pytest.mark.parametrize("op", OPS)
@settings(max_examples=30)
@given(data=st.data())
def test_every_kind_of_block(op, data):
    block, shape = data.draw(blocks(op))
    try:
        layers = layers_of_blocks((block,), shape)
    except ArchitectureError:
        assume(False)
    event(f"{op} skip={block.skip} shortcut={block.shortcut} stride={block.stride}")
    assert assert_alike(layers, shape) > 0


def test_a_shuffle_alone_implies_a_transpose():
    builder = LayerBuilder((8, 6, 6))
    for op in ("maxpool", "avgpool"):
        builder.window_pool(op, -1, op, 3, 2)
    builder.shuffle("shuffle", builder.conv("conv", -1, 8), 2)
    for model_format, name in (("onnx", "Transpose"), ("tflite", "TRANSPOSE")):
        having = [layer.name for layer in builder.layers if name in implied_operators(layer, model_format)]
        assert having == ["shuffle"]
