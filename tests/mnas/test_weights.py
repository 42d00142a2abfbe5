"""Weights: shapes, variance, and the folding of batch norms."""

import numpy as np
import pytest
import torch

from mnas.architecture import Block
from mnas.export.parity import settle_batch_norm
from mnas.layers import layers_of, layers_of_blocks
from mnas.modules import LayerModule, build_module, folded_weights
from mnas.named_networks import NAMED_NETWORKS, named_network
from mnas.weights import random_weights, weight_shape


@pytest.mark.parametrize("name", NAMED_NETWORKS)
def test_shapes_are_those_of_the_module(name):
    architecture = named_network(name, 64, 10)
    layers = layers_of(architecture)
    drawn = random_weights(layers, np.random.default_rng(0))
    folded = folded_weights(build_module(architecture))
    assert drawn.keys() == folded.keys() == {layer.index for layer in layers if layer.op in ("conv", "linear")}
    for index in drawn:
        for weights in (drawn[index], folded[index]):
            assert weights.weight.shape == weight_shape(layers[index])
            assert weights.bias.shape == weight_shape(layers[index])[:1]
            assert weights.weight.dtype == weights.bias.dtype == np.float32


def test_random_weights_have_hes_variance():
    layers = layers_of_blocks((Block(op="conv", kernel_size=3, out_channels=128),), (64, 4, 4))
    weight = random_weights(layers, np.random.default_rng(0))[0].weight
    assert weight.var() == pytest.approx(2 / (64 * 9), rel=0.02)
    assert weight.mean() == pytest.approx(0, abs=1e-3)


def test_random_weights_depend_on_the_generator_alone():
    layers = layers_of(named_network("mobilenetv3-small", 64, 10))
    first, second, other = (random_weights(layers, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all((first[i].weight == second[i].weight).all() for i in first)
    assert not (first[0].weight == other[0].weight).all()


def test_folding_keeps_the_function():
    layers = layers_of_blocks((Block(op="conv", kernel_size=3, stride=2, out_channels=8),), (4, 9, 9))
    module = LayerModule(layers)
    norm = next(part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d))
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2.0)
        norm.bias.uniform_(-1.0, 1.0)
    settle_batch_norm(module, (4, 9, 9), 0)
    folded = folded_weights(module)[0]
    image = torch.randn(1, 4, 9, 9)
    with torch.no_grad():
        expected = module.eval()(image)
        seen = torch.nn.functional.conv2d(
            image, torch.from_numpy(folded.weight), torch.from_numpy(folded.bias), stride=2, padding=1
        )
    torch.testing.assert_close(seen, expected, rtol=1e-5, atol=1e-5)


def test_folded_weights_do_not_share_the_modules_memory():
    module = build_module(named_network("mobilenetv3-small", 64, 10))
    folded = folded_weights(module)
    before = {index: weights.weight.copy() for index, weights in folded.items()}
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)
    assert all((folded[index].weight == before[index]).all() for index in folded)
