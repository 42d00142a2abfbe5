"""The supernet's weights: what it holds, and that every network extracted from it is equal bit for bit."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reduced_spaces import PRESETS, REDUCED, brute
from torch import nn

from mnas.errors import SpaceError
from mnas.modules import build_module
from mnas.spaces.staged import StagedSpace
from search.supernet.elastic import ElasticConv
from search.supernet.network import CALIBRATION_BATCH, Supernet
from search.supernet.shapes import LargestWeights, largest_weights, walk_of
from search.supernet.sorting import put_in_order, sorting_of
from search.training.trainer import estimate_batch_norms, reproducible

ELASTIC = sorted(name for name in REDUCED if not name.startswith("light"))
SPACES = {name: StagedSpace(REDUCED[name]) for name in ELASTIC}
SPACES |= {name: PRESETS[name] for name in ("mobilenetv3/fashion-wide", "mnasnet/digits", "proxylessnas/digits")}
seeds = st.integers(0, 2**32)


@cache
def moved(name):
    """A supernet all of whose weights, transforms of kernels too, are away from where they begin."""
    supernet, generator = Supernet(SPACES[name], 5), torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return supernet


def images_of(network, seed, count=6):
    shape = (count, *network.input_shape_chw)
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return drawn.contiguous(memory_format=torch.channels_last)


@given(st.sampled_from(sorted(SPACES)), seeds, st.booleans())
@settings(deadline=None)
def test_an_extracted_network_is_equal_bit_for_bit(name, seed, is_calibrated):
    supernet, space = moved(name), SPACES[name]
    network = space.decode(space.draw(np.random.default_rng(seed)))
    images = images_of(network, seed)
    with reproducible(), torch.no_grad():
        if is_calibrated:
            supernet.calibrate(network, images_of(network, seed + 1, 9))
        module = supernet.extract(network)
        for is_training in (False, True):
            expected = supernet.train(is_training)(images, network)
            found = module.train(is_training)(images)
            assert torch.equal(found, expected)
            assert expected.std() > 0


@given(st.sampled_from(sorted(SPACES)), seeds)
@settings(deadline=None)
def test_calibration_is_that_of_the_network_alone(name, seed):
    supernet, space = moved(name), SPACES[name]
    network = space.decode(space.draw(np.random.default_rng(seed)))
    images = images_of(network, seed, 12)
    with reproducible():
        alone = supernet.extract(network)
        estimate_batch_norms(alone, images)
        supernet.calibrate(network, images)
    calibrated = supernet.extract(network)
    for (key, one), other in zip(alone.state_dict().items(), calibrated.state_dict().values(), strict=True):
        assert "num_batches" in key or torch.equal(one, other)


def test_batches_of_calibration_count_alike():
    supernet, space = moved("mnasnet/digits"), SPACES["mnasnet/digits"]
    network = space.decode(space.extremes()[0])
    images = images_of(network, 0, CALIBRATION_BATCH + 7)
    with reproducible():
        alone = supernet.extract(network)
        estimate_batch_norms(alone, images)
        supernet.calibrate(network, images)
        assert torch.equal(alone.eval()(images[:9]), supernet.eval()(images[:9], network))


@given(st.sampled_from(sorted(SPACES)), seeds)
@settings(deadline=None, max_examples=20)
def test_gradients_are_those_of_the_network(name, seed):
    supernet, space = moved(name), SPACES[name]
    network = space.decode(space.draw(np.random.default_rng(seed)))
    images = images_of(network, seed)
    module = supernet.extract(network).train()
    supernet.train().zero_grad()
    with reproducible():
        module(images).square().sum().backward()
        supernet(images, network).square().sum().backward()
    (layer, key), *_ = (
        (one, walk_of(network).keys[one.index]) for one in walk_of(network).layers if one.op == "linear"
    )
    shared = supernet.parts[key].weight.grad
    own = next(part for part in module.parts.values() if isinstance(part, nn.Linear)).weight.grad
    out, channels = layer.out_shape_chw[0], layer.in_shapes_chw[0][0]
    assert own.abs().max() > 0
    torch.testing.assert_close(shared[:out, :channels], own)
    assert not shared[out:].any() and not shared[:, channels:].any()


@given(st.sampled_from(sorted(SPACES)), seeds)
@settings(deadline=None, max_examples=20)
def test_extracted_weights_fit_the_network_built_anew(name, seed):
    space = SPACES[name]
    network = space.decode(space.draw(np.random.default_rng(seed)))
    module = moved(name).extract(network)
    build_module(network).load_state_dict(module.state_dict())
    assert all(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize("name", [name for name in ELASTIC if StagedSpace(REDUCED[name]).size() < 20_000])
def test_it_holds_the_largest_weights_of_any_network_and_no_larger(name):
    expected: dict[str, LargestWeights] = {}
    for network in brute(name)[1]:
        walk = walk_of(network)
        for layer in walk.layers:
            if layer.index in walk.keys:
                expected.setdefault(walk.keys[layer.index], LargestWeights(layer.op)).take(layer)
    assert largest_weights(SPACES[name]) == expected


def test_a_fresh_smaller_kernel_is_the_centre_of_the_larger():
    space = SPACES["v3: one layer a stage"]
    supernet = Supernet(space, 1)
    part = supernet.parts["stage0_block0_mbconv_depthwise"]
    assert isinstance(part, ElasticConv) and part.kernels == (5, 3)
    by_kernel = {}
    for genome in (space.extremes()[0], space.extremes()[1]):
        walk = walk_of(space.decode(genome))
        layer = next(one for one in walk.layers if walk.keys.get(one.index) == "stage0_block0_mbconv_depthwise")
        by_kernel[layer.kernel_size] = part.weight_of(layer)
    small = by_kernel[3]
    assert torch.equal(small, by_kernel[5][: len(small), :, 1:4, 1:4])
    with torch.no_grad():
        part.transforms["5to3"].mul_(2)
    assert not torch.equal(small, part.weight_of(layer)) or layer.kernel_size == 5


@pytest.mark.parametrize("name", ["light: every kind of block", "light: dilated, each layer its own"])
def test_blocks_without_an_elastic_form_are_refused(name):
    with pytest.raises(SpaceError, match="SPC12"):
        Supernet(StagedSpace(REDUCED[name]))


def test_networks_of_another_space_are_refused():
    foreign = PRESETS["mobilenetv3/imagenet"]
    supernet = moved("mobilenetv3/fashion-wide")
    for genome in foreign.extremes():
        network = foreign.decode(genome)
        with pytest.raises(SpaceError, match="SPC03"):
            supernet.extract(network)


@pytest.mark.parametrize("name", ["mobilenetv3/fashion-wide", "proxylessnas/digits", "v3: gap in the depths"])
def test_sorted_channels_fall_in_importance_and_leave_the_largest_network_as_it_was(name):
    space = SPACES[name]
    supernet = Supernet(space, 2)
    supernet.load_state_dict(moved(name).state_dict())
    network = space.decode(space.extremes()[1])
    images = images_of(network, 3)
    parts = [key for key in supernet.parts if key.endswith("mbconv_project") and key.startswith("stage")]

    def importances():
        return [supernet.parts[key].weight.detach().abs().sum((0, 2, 3)) for key in parts]

    with torch.no_grad():
        before, unsorted = supernet.train()(images, network), importances()
        sorting = sorting_of(supernet)
        put_in_order({key: parameter.data for key, parameter in supernet.named_parameters()}, sorting)
        after = supernet(images, network)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)
    for one, other in zip(importances(), unsorted, strict=True):
        torch.testing.assert_close(one, other.sort(descending=True).values)
    assert not torch.equal(torch.cat(importances()), torch.cat(unsorted))


def test_blocks_that_some_choice_does_not_expand_are_not_sorted():
    assert sorting_of(moved("expansions that round alike")) == {}
