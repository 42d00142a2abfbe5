"""Operators carry the sizes of the layers that they come from, and features add up over them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.operator_features import FEATURE_NAMES, FEATURES, feature_matrix, features_of
from latency.operators import OPERATOR_KINDS, Operator, operators_in, operators_of, total_operator_macs
from mnas.architecture import Block
from mnas.counts import total_macs
from mnas.errors import LutError
from mnas.layers import layers_of, layers_of_blocks
from mnas.named_networks import named_network
from mnas.spaces.presets import open_space

sizes = st.integers(1, 64)


@st.composite
def operators(draw):
    kind = draw(st.sampled_from(OPERATOR_KINDS))
    channels = draw(sizes)
    kernel_size = draw(st.sampled_from([1, 3, 5, 7]))
    groups = channels if kind == "depthwise" else 1
    return Operator(kind, draw(sizes), draw(sizes), channels, channels, kernel_size, draw(st.integers(1, 2)), groups)


def by_name(operators):
    return dict(zip(FEATURE_NAMES, features_of(operators), strict=True))


@pytest.mark.parametrize("name", ["mobilenetv2", "mobilenetv3-large", "mobilenetv3-small"])
@pytest.mark.parametrize("px", [96, 224])
def test_macs_of_operators_are_those_of_the_layers(name, px):
    network = named_network(name, px)
    assert total_operator_macs(operators_in(network)) == total_macs(layers_of(network))
    assert operators_in(network) == operators_of(layers_of(network))
    assert operators_in(operators_in(network)) == operators_in(network)


def test_operators_of_a_mobile_block_worked_by_hand():
    block = Block(
        op="mbconv", kernel_size=5, stride=2, mid_channels=24, se_channels=8, se_gate="hsigmoid", se_activation="relu",
        out_channels=12, activation="hswish",
    )  # fmt: skip
    found = operators_of(layers_of_blocks((block,), (8, 15, 10)))
    # Padded by 2 on each side, 15 x 10 becomes 8 x 5.
    assert found == (
        Operator("pointwise", 150, 150, 8, 24),
        Operator("activation", 150, 150, 24, 24),
        Operator("depthwise", 19 * 14, 40, 24, 24, 5, 2, 24),
        Operator("activation", 40, 40, 24, 24),
        Operator("squeeze", 40, 1, 24, 24),
        Operator("pointwise", 1, 1, 24, 8),
        Operator("pointwise", 1, 1, 8, 24),
        Operator("activation", 1, 1, 24, 24),
        Operator("scale", 40, 40, 24, 24),
        Operator("pointwise", 40, 40, 24, 12),
    )


def test_the_average_before_the_classifier_is_no_squeeze():
    kinds = [one.kind for one in operators_in(named_network("mobilenetv3-small"))]
    assert kinds.count("squeeze") == kinds.count("scale") == 9
    assert kinds.count("global_pool") == 1
    assert kinds[-1] == "linear"


def test_grouped_and_depthwise_convolutions_are_told_apart():
    def kind_of(groups):
        block = Block(op="conv", kernel_size=3, groups=groups, out_channels=8)
        return operators_of(layers_of_blocks((block,), (8, 6, 6)))[0]

    assert [kind_of(groups).kind for groups in (1, 2, 8)] == ["conv", "grouped", "depthwise"]
    assert [kind_of(groups).weights for groups in (1, 2, 8)] == [576, 288, 72]


@pytest.mark.parametrize(("field", "value"), [("in_pixels", 0), ("out_channels", -3), ("stride", 0), ("kind", "gemm")])
def test_what_is_no_operator_is_refused(field, value):
    fields = {"kind": "conv", "in_pixels": 4, "out_pixels": 4, "in_channels": 2, "out_channels": 2}
    with pytest.raises(LutError, match=r"LUT40.*not an operator"):
        Operator(**{**fields, field: value})


def test_features_worked_by_hand():
    found = by_name([Operator("depthwise", 100, 36, 10, 10, 5, 1, 10), Operator("conv", 36, 36, 3, 8, 3)])
    wanted = {
        "operators": 2,
        "depthwise_in": 1e-6 * 1000,
        "depthwise_over3_macs": 1e-6 * 36 * 25 * 10,
        "depthwise_out": 1e-6 * 360,
        "conv_macs": 1e-6 * 36 * 27 * 8,
        "conv_weights": 1e-6 * 27 * 8,
        "conv_patches": 1e-6 * 36 * 27,
        "conv_out": 1e-6 * 36 * 8,
    }
    assert {name: value for name, value in found.items() if value} == pytest.approx(wanted)


def test_a_kernel_of_7_is_over_5_and_over_3():
    names = ("depthwise_over3_macs", "depthwise_over5_macs")
    for kernel_size, over in ((3, (False, False)), (5, (True, False)), (7, (True, True))):
        found = by_name([Operator("depthwise", 100, 36, 10, 10, kernel_size, 1, 10)])
        assert tuple(found[name] > 0 for name in names) == over


def test_weights_on_an_image_and_on_a_vector_are_apart():
    image, vector = (by_name([Operator("pointwise", pixels, pixels, 4, 8)]) for pixels in (9, 1))
    assert image["pointwise_weights"] and not image["pointwise_vector_weights"]
    assert vector["pointwise_vector_weights"] and not vector["pointwise_weights"] and not vector["pointwise_out"]


@given(st.lists(operators(), max_size=6), st.lists(operators(), max_size=6))
def test_features_add_up(first, second):
    np.testing.assert_allclose(features_of(first + second), features_of(first) + features_of(second))
    assert np.all(features_of(first) >= 0)


@given(operators())
def test_every_operator_has_a_size(operator):
    assert features_of([operator]).sum() > 0


def test_every_feature_is_of_some_operator():
    samples = [Operator(kind, 9, pixels, 4, 4, 7) for kind in OPERATOR_KINDS for pixels in (9, 1)]
    assert np.all(feature_matrix([samples]) > 0)
    assert len(set(FEATURE_NAMES)) == len(FEATURES)


def test_no_network_no_rows():
    assert feature_matrix([]).shape == (0, len(FEATURE_NAMES))
    assert np.all(feature_matrix([[]]) == 0)


def test_a_space_has_no_layer_without_an_operator():
    space = open_space("mobilenetv3", "imagenet", (160,))
    network = space.decode(space.sample(np.random.default_rng(0)))
    kinds = {operator.kind for operator in operators_in(network)}
    assert {"conv", "depthwise", "pointwise", "linear", "global_pool", "add", "activation"} <= kinds
    assert len(operators_in(network)) >= len(layers_of(network))
