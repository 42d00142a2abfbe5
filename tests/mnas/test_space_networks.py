"""Every network of every space can be built: layers, shapes, and torch's own module."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reduced_spaces import PRESETS, REDUCED, brute

from mnas.counts import total_params
from mnas.layers import layers_of, layers_of_blocks
from mnas.modules import LayerModule, build_module

space_and_genome = st.sampled_from(sorted(PRESETS)).flatmap(
    lambda name: st.tuples(
        st.just(PRESETS[name]), st.tuples(*(st.integers(0, count - 1) for count in PRESETS[name].cardinalities))
    )
)


def check_flow(network):
    layers = layers_of(network)
    for layer in layers:
        for source, shape in zip(layer.inputs, layer.in_shapes_chw, strict=True):
            assert shape == (network.input_shape_chw if source < 0 else layers[source].out_shape_chw)
    last = {layer.block: layer for layer in layers}
    for stage, blocks in enumerate(network.stages):
        for position, block in enumerate(blocks.blocks):
            assert last[stage, position].out_shape_chw[0] == block.out_channels
    assert layers[-1].out_shape_chw == (network.classes, 1, 1)
    return layers


@settings(max_examples=150)
@given(space_and_genome)
def test_any_genome_is_a_network_whose_shapes_flow(pair):
    space, genome = pair
    check_flow(space.decode(genome))


@pytest.mark.parametrize("name", REDUCED)
def test_shapes_flow_in_every_network_of_a_small_space(name):
    for network in list(brute(name)[1])[::3]:
        check_flow(network)


@pytest.mark.parametrize("name", PRESETS)
def test_every_segment_of_a_space_can_be_built_and_has_the_pixels_that_its_place_says(name):
    segments = list(PRESETS[name].segments())
    fed = {segment.in_shape_chw for segment in segments if segment.role != "stem"}
    given_on = set()
    for segment in segments:
        layers = layers_of_blocks(segment.blocks, segment.in_shape_chw)
        if segment.role == "head":
            assert layers[-1].out_shape_chw[1:] == (1, 1)
        else:
            given_on.add(layers[-1].out_shape_chw)
    assert fed == given_on, "what stands somewhere is fed what something gives, and all that is given is used"


@pytest.mark.parametrize("name", PRESETS)
def test_torch_agrees_on_parameters_and_shapes(name):
    space, rng = PRESETS[name], np.random.default_rng(0)
    for genome in (space.extremes()[1], *(space.draw(rng) for _ in range(2 if "imagenet" in name else 6))):
        network = space.decode(genome)
        layers = layers_of(network)
        module = LayerModule(layers).eval()
        assert total_params(layers) == sum(one.numel() for one in module.parameters())
        shapes = torchs_shapes(module, network.input_shape_chw)
        assert shapes == {one.name: one.out_shape_chw for one in layers if one.op in ("conv", "linear")}
        assert list(shapes.values())[-1] == (network.classes, 1, 1)


def torchs_shapes(module, input_shape_chw):
    """The output shape of each layer that has weights, as torch computes it; pixels of a linear one are 1 x 1."""
    seen = {}

    def record(name):
        return lambda part, inputs, output: seen.update({name: (*output.shape[1:], 1, 1)[:3]})

    for layer in module.layers:
        if layer.op in ("conv", "linear"):
            module.parts[layer.name.replace(".", "_")].register_forward_hook(record(layer.name))
    with torch.no_grad():
        module(torch.zeros(1, *input_shape_chw))
    return seen


@pytest.mark.parametrize("name", [name for name in PRESETS if name.endswith("digits")])
def test_networks_compute_something_that_depends_on_the_image(name):
    space = PRESETS[name]
    network = space.decode(space.draw(np.random.default_rng(2)))
    module, generator = build_module(network).eval(), torch.Generator().manual_seed(0)
    images = torch.rand(2, *network.input_shape_chw, generator=generator)
    with torch.no_grad():
        first, second = module(images)
    assert torch.isfinite(first).all() and (first - second).abs().max() > 0
