"""The networks of the papers have the papers' sizes, and are what torch makes of them."""

import dataclasses
import re

import pytest
import torch
from torch import nn

from mnas.counts import total_macs, total_params
from mnas.errors import ArchitectureError
from mnas.layers import layers_of
from mnas.modules import LayerModule, build_module
from mnas.named_networks import NAMED_NETWORKS, NETWORK_FACTS, named_network
from mnas.spaces.presets import FAMILIES, open_space

# Source: torchvision's documentation of its weights for mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small,
# efficientnet_b0, squeezenet1_1 and shufflenet_v2_x1_0; pytorchcv's own checks (`weight_count` in
# gluon/gluoncv2/models of osmr/imgclsmob) for the others but ghostnet. The papers round: 4.2 M (MobileNetV1), 3.4 M
# (V2), 5.4 M and 2.5 M (V3), 3.9 M (MnasNet-A1), 2.0 M (MnasNet-Small's README), 5.5 M (FBNet-C), 5.3 M
# (EfficientNet-B0), 5.2 M (GhostNet).
# GhostNet: pytorchcv has 5,180,840 with squeezes of 18 and 30 channels where the authors round to 20 and 32 (772 less),
# shortcuts of 3 x 3 for 5 x 5 (2,176 less), and a batch norm in the head for a bias (1,280 more).
PARAMS = {
    "mobilenetv1": 4_231_976,
    "mobilenetv2": 3_504_872,
    "mobilenetv3-large": 5_483_032,
    "mobilenetv3-small": 2_542_856,
    "mnasnet-a1": 3_887_038,
    "mnasnet-b1": 4_383_312,
    "mnasnet-small": 2_030_264,
    "proxylessnas-mobile": 4_080_512,
    "fbnet-c": 5_572_200,
    "spnasnet": 4_421_616,
    "efficientnet-b0": 5_288_548,
    "shufflenetv2": 2_278_604,
    "squeezenet-1.1": 1_235_496,
    "ghostnet": 5_180_840 + 772 + 2_176 - 1_280,
}

# Multiply-accumulates in millions. Sources, most of which round and do not say which operations count (ours are those
# of convolutions and linear layers): 569 (arXiv 1704.04861, table 8); 300 (1801.04381, table 4); 219 and 56
# (1905.02244, table 3; 217 in torchvision's documentation, where nothing but convolutions and linear layers counts);
# 312 (1807.11626, table 1); 315 and 320 (the project's facts for MnasNet-B1, ProxylessNAS-Mobile); 68 (README of
# MnasNet's release); 0.39 G (1905.11946, table 2) and 0.386 G (torchvision); 0.145 G and 0.349 G (torchvision, for
# shufflenet_v2_x1_0 and squeezenet1_1); 141 (1911.11907); 385 and 333.5 are the sums of the list of layers that
# test_phone_networks.py compares with, since FBNet-C's paper (375) has another head and Single-Path NAS's prints none.
MACS_M = {
    "mobilenetv1": 569,
    "mobilenetv2": 300,
    "mobilenetv3-large": 217,
    "mobilenetv3-small": 56,
    "mnasnet-a1": 312,
    "mnasnet-b1": 315,
    "mnasnet-small": 68,
    "proxylessnas-mobile": 320,
    "fbnet-c": 385,
    "spnasnet": 333.5,
    "efficientnet-b0": 386,
    "shufflenetv2": 145,
    "squeezenet-1.1": 349,
    "ghostnet": 141,
}

# The ids that measurements were stored under before these networks moved to files of their own.
ARCH_IDS = {
    "mobilenetv2": "5fb7db6520145e64ded49117203880d3d7f22b4b6a36e095c7bc01f24684f31f",
    "mobilenetv3-large": "077419e2aaba33590ec6ea48c3db9ed7557e8e2cbc4ddebadb320f01eccd7b83",
    "mobilenetv3-small": "a90e3d64d1debeef4b321a16b3fe423b57adcd8e191c369b60672c2bd91bfbbd",
}


class Recorder(LayerModule):
    """Notes the shape of every layer's output as torch computes it."""

    def _run(self, layer, inputs):
        value = super()._run(layer, inputs)
        self.seen[layer.index] = tuple(value.shape[1:])
        return value


def test_every_network_has_its_figures():
    assert set(NAMED_NETWORKS) == set(NETWORK_FACTS) == set(PARAMS) == set(MACS_M)


@pytest.mark.parametrize("name", PARAMS)
def test_params(name):
    assert total_params(layers_of(named_network(name))) == PARAMS[name]


@pytest.mark.parametrize("name", MACS_M)
def test_macs(name):
    assert total_macs(layers_of(named_network(name))) == pytest.approx(MACS_M[name] * 1e6, rel=0.01)


@pytest.mark.parametrize("name", ARCH_IDS)
def test_ids_stay(name):
    assert named_network(name).arch_id == ARCH_IDS[name]


@pytest.mark.parametrize("name", NAMED_NETWORKS)
def test_resolution_and_classes_are_free(name):
    layers = layers_of(named_network(name, 97, 7))
    assert layers[0].in_shapes_chw == ((3, 97, 97),)
    assert layers[-1].out_shape_chw == (7, 1, 1)


@pytest.mark.parametrize("name", NAMED_NETWORKS)
def test_layers_are_what_torch_computes(name):
    architecture = named_network(name, 75, 10)
    layers = layers_of(architecture)
    module = Recorder(layers).eval()
    module.seen, macs = {}, []
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.register_forward_hook(lambda one, _, out: macs.append(out.numel() * one.weight[0].numel()))
    with torch.no_grad():
        assert module(torch.zeros(1, *architecture.input_shape_chw)).shape == (1, 10)
    for layer in layers:
        shape = module.seen[layer.index]
        assert (*shape, 1, 1)[:3] == layer.out_shape_chw
    assert total_macs(layers) == sum(macs)


@pytest.mark.parametrize("name", NAMED_NETWORKS)
def test_params_are_those_of_the_module(name):
    module = build_module(named_network(name))
    assert sum(parameter.numel() for parameter in module.parameters()) == PARAMS[name]


def test_membership_in_spaces():
    """ProxylessNAS-Mobile alone is in a space of the project, the one that it was found in.

    MnasNet-A1 and -B1 are not in ``mnasnet/imagenet``: the paper's filters are 0.75, 1 and 1.25 times MobileNetV2's,
    while A1 has 112 channels for 96 and B1 has 192 for 160; MnasNet-Small starts from other channels altogether.
    The MobileNetV3s are not in ``mobilenetv3/imagenet``, whose layers expand by 3, 4 or 6: theirs were narrowed one by
    one (200 and 184 of 80). FBNet-C and SPNASNet have other channels than ProxylessNAS. The hand-made light networks
    are not in ``lightweight/imagenet``, which varies their blocks over channels of its own.
    """
    found = {
        (name, family)
        for family in FAMILIES
        for name in NAMED_NETWORKS
        if open_space(family, "imagenet").contains(named_network(name))
    }
    assert found == {("proxylessnas-mobile", "proxylessnas")}


def test_the_member_comes_back_from_its_genome():
    space, network = open_space("proxylessnas", "imagenet"), named_network("proxylessnas-mobile")
    assert space.decode(space.encode(network)) == network


@pytest.mark.parametrize("name", NETWORK_FACTS)
def test_facts_are_complete(name):
    facts = NETWORK_FACTS[name]
    assert re.fullmatch(r"\d{4}\.\d{5}", facts.arxiv_id)
    assert (facts.top1 is None) == (facts.top1_place == "")
    assert facts.top1 is None or 0.5 < facts.top1 < 0.8
    assert facts.note or None not in (facts.top1, facts.latency), "a figure that is missing needs a note that says why"
    if facts.latency is not None:
        assert 10 < facts.latency.ms < 150
        assert all((facts.latency.phone, facts.latency.measured_with, facts.latency.place))
    told = "\n".join(facts.lines())
    assert facts.arxiv_id in told
    assert all(str(value) in told for value in dataclasses.astuple(facts.latency)[1:]) if facts.latency else True


def test_an_unknown_name_is_refused():
    with pytest.raises(ArchitectureError, match=r"ARC03.*mobilenetv9.*mobilenetv2"):
        named_network("mobilenetv9")
