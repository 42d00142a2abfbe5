"""Layers: shapes, MACs and parameters equal what torch itself does and has."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mnas.architecture import ACTIVATIONS, Block
from mnas.block_layers import append_block
from mnas.counts import total_macs, total_params
from mnas.errors import ArchitectureError
from mnas.layers import LAYER_OPS, NETWORK_INPUT, LayerBuilder, layers_of, layers_of_blocks
from mnas.modules import LayerModule, build_module
from mnas.named_networks import named_network

activations = st.sampled_from(ACTIVATIONS)


@st.composite
def chains(draw):
    """An input shape and one to three blocks that fit one behind the other."""
    shape = draw(st.tuples(st.integers(1, 8), st.integers(7, 19), st.integers(7, 19)))
    channels = shape[0]
    chain = []
    for _ in range(draw(st.integers(1, 3))):
        op = draw(st.sampled_from(("conv", "sepconv", "mbconv")))
        skip = draw(st.booleans())
        groups = draw(st.sampled_from([g for g in (1, 2, 3, 4) if channels % g == 0])) if op == "conv" else 1
        out = channels if skip else groups * draw(st.integers(1, 6))
        se_channels = draw(st.integers(0, 4)) if op == "mbconv" else 0
        block = Block(
            op=op,
            out_channels=out,
            kernel_size=draw(st.sampled_from((1, 3, 5))),
            stride=1 if skip else draw(st.integers(1, 3)),
            dilation=draw(st.integers(1, 3)),
            groups=groups,
            mid_channels=draw(st.integers(1, 3)) * channels if op == "mbconv" else 0,
            se_channels=se_channels,
            se_gate=draw(st.sampled_from(("hsigmoid", "sigmoid"))) if se_channels else "none",
            se_activation=draw(activations) if se_channels else "none",
            activation=draw(activations),
            norm=draw(st.sampled_from(("none", "batch"))),
            skip=skip,
        )
        chain.append(block)
        channels = out
    if draw(st.booleans()):
        chain += [Block(op="pool", out_channels=channels), Block(op="linear", out_channels=draw(st.integers(1, 9)))]
    return tuple(chain), shape


class _Recorder(LayerModule):
    """Notes the shape of every layer's output as torch computes it."""

    def _run(self, layer, inputs):
        value = super()._run(layer, inputs)
        self.seen[layer.index] = tuple(value.shape[1:])
        return value


def _hooked_macs(module, image):
    """Count multiply-accumulates from the tensors that pass through torch's own layers."""
    total = 0

    def count(layer, inputs, output):
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.register_forward_hook(count)
    with torch.no_grad():
        module(image)
    return total


@settings(deadline=None, max_examples=60)
@given(chains())
def test_layers_agree_with_torch(chain):
    blocks, shape = chain
    layers = layers_of_blocks(blocks, shape)
    module = _Recorder(layers).eval()
    module.seen = {}
    macs = _hooked_macs(module, torch.zeros(1, *shape))
    for layer in layers:
        assert module.seen[layer.index] == layer.out_shape_chw[: len(module.seen[layer.index])]
        assert all(size == 1 for size in layer.out_shape_chw[len(module.seen[layer.index]) :])
    assert total_macs(layers) == macs
    assert total_params(layers) == sum(p.numel() for p in module.parameters())


@settings(deadline=None, max_examples=30)
@given(chains())
def test_layers_are_a_dag_in_topological_order(chain):
    layers = layers_of_blocks(*chain)
    shapes = {NETWORK_INPUT: chain[1]} | {layer.index: layer.out_shape_chw for layer in layers}
    assert len({layer.name for layer in layers}) == len(layers)
    for position, layer in enumerate(layers):
        assert layer.index == position
        assert layer.op in LAYER_OPS
        assert all(NETWORK_INPUT <= source < position for source in layer.inputs)
        assert layer.in_shapes_chw == tuple(shapes[source] for source in layer.inputs)


@pytest.mark.parametrize("name", ["mobilenetv2", "mobilenetv3-small"])
def test_a_whole_network_agrees_with_torch(name):
    architecture = named_network(name, 75, 10)
    layers = layers_of(architecture)
    module = build_module(architecture).eval()
    assert total_macs(layers) == _hooked_macs(module, torch.zeros(1, 3, 75, 75))
    assert total_params(layers) == sum(p.numel() for p in module.parameters())


def test_blocks_are_marked_by_stage_and_position():
    architecture = named_network("mobilenetv2", 64)
    layers = layers_of(architecture)
    assert layers[0].block == (-1, 0)
    assert layers[-1].block == (len(architecture.stages), 2)
    assert {layer.block for layer in layers if layer.block[0] == 2} == {(2, 0), (2, 1), (2, 2)}


def test_a_skip_needs_equal_shapes():
    block = Block(op="conv", kernel_size=3, stride=2, out_channels=4, skip=True)
    with pytest.raises(ArchitectureError, match="ARC02"):
        layers_of_blocks((block,), (4, 8, 8))


@pytest.mark.parametrize(
    "append",
    [
        lambda b: b.conv("x", -1, 5, groups=2),
        lambda b: b.conv("x", -1, 4, kernel_size=1, stride=1, groups=3),
        lambda b: b.linear("x", -1, 3),
        lambda b: b.slice("x", -1, 2, 2),
        lambda b: b.slice("x", -1, 0, 5),
        lambda b: b.shuffle("x", -1, 3),
        lambda b: b.concat("x", (-1, b.pool("p", -1))),
        lambda b: b.scale("x", -1, -1),
        lambda b: b.add("x", -1, b.pool("p", -1)),
        lambda b: append_block(b, Block(op="pool", out_channels=5)),
    ],
)
def test_what_does_not_fit_is_refused(append):
    with pytest.raises(ArchitectureError, match="ARC02"):
        append(LayerBuilder((4, 6, 6)))


def test_shuffle_moves_channels_as_documented():
    builder = LayerBuilder((6, 1, 1))
    builder.shuffle("shuffle", -1, 2)
    out = LayerModule(tuple(builder.layers))(torch.arange(6.0).reshape(1, 6, 1, 1)).flatten().numpy()
    expected = np.empty(6)
    for group in range(2):
        for i in range(3):
            expected[i * 2 + group] = group * 3 + i
    assert out.tolist() == expected.tolist()
