"""The networks of the papers have the papers' sizes."""

import pytest

from mnas.counts import total_macs, total_params
from mnas.errors import ArchitectureError
from mnas.layers import layers_of
from mnas.named_networks import NAMED_NETWORKS, named_network


@pytest.mark.parametrize(
    ("name", "params"),
    # Source: the parameter counts in the documentation of torchvision's weights for these three networks
    # (mobilenet_v2 3504872, mobilenet_v3_large 5483032, mobilenet_v3_small 2542856); the papers round to
    # 3.4 M (arXiv 1801.04381, table 4), 5.4 M and 2.5 M (arXiv 1905.02244, tables 3 and 4).
    [("mobilenetv2", 3_504_872), ("mobilenetv3-large", 5_483_032), ("mobilenetv3-small", 2_542_856)],
)
def test_params(name, params):
    assert total_params(layers_of(named_network(name))) == params


@pytest.mark.parametrize(
    ("name", "low", "high"),
    # Source: 300 M (arXiv 1801.04381, table 4); 219 M and 56 M (arXiv 1905.02244, tables 3 and 4), which are rounded
    # and do not say which operations count; ours are those of convolutions and linear layers.
    [
        ("mobilenetv2", 300e6, 301e6),
        ("mobilenetv3-large", 216.5e6, 219e6),
        ("mobilenetv3-small", 56e6, 57e6),
    ],
)
def test_macs(name, low, high):
    assert low <= total_macs(layers_of(named_network(name))) <= high


@pytest.mark.parametrize("name", NAMED_NETWORKS)
def test_resolution_and_classes_are_free(name):
    layers = layers_of(named_network(name, 97, 7))
    assert layers[0].in_shapes_chw == ((3, 97, 97),)
    assert layers[-1].out_shape_chw == (7, 1, 1)


def test_an_unknown_name_is_refused():
    with pytest.raises(ArchitectureError, match=r"ARC03.*mobilenetv9.*mobilenetv2"):
        named_network("mobilenetv9")
