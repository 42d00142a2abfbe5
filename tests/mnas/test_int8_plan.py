"""Scales, zero points, rounded weights, ranges: the arithmetic of 8-bit integers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnas.architecture import Block
from mnas.errors import ExportError
from mnas.export.activation_ranges import calibrate, linear_name, random_ranges
from mnas.export.int8_plan import HIGHEST, LOWEST, TensorParameters, parameters_of, plan_int8, rounded_weight
from mnas.export.parity import parity_inputs
from mnas.export.range_choice import BINS, RANGE_CHOICES, choose_limits
from mnas.layers import LayerBuilder, layers_of_blocks
from mnas.modules import LayerModule, folded_weights
from mnas.weights import LayerWeights, random_weights

SIZES = st.floats(-1e6, 1e6, allow_subnormal=False)
SHAPE = (8, 9, 9)


def ranges_of(layers, images=None, choice="minmax", seed=0):
    weights = random_weights(layers, np.random.default_rng(seed))
    shape = layers[0].in_shapes_chw[0]
    return weights, calibrate(layers, weights, parity_inputs(shape, 8, 1) if images is None else images, choice=choice)


@given(SIZES, SIZES)
def test_zero_is_exact_and_the_range_is_spanned(one, other):
    low, high = min(one, other), max(one, other)
    found = parameters_of((low, high))
    assert LOWEST <= found.zero_point <= HIGHEST
    ends = [found.scale * (end - found.zero_point) for end in (LOWEST, HIGHEST)]
    assert ends[0] <= min(low, 0) + 0.51 * found.scale
    assert ends[1] >= max(high, 0) - 0.51 * found.scale
    assert found.scale * 255 <= max(max(high, 0) - min(low, 0), 1e-6) * 1.0001


@given(
    seed=st.integers(0, 1000),
    size=st.floats(1e-12, 1e6),
    bias=st.floats(-1e6, 1e6),
    scale=st.floats(1e-6, 10),
    is_per_channel=st.booleans(),
)
def test_rounding_errs_by_half_a_step_and_biases_fit(seed, size, bias, scale, is_per_channel):
    rng = np.random.default_rng(seed)
    weight = (rng.standard_normal((4, 3, 3, 3)) * size).astype(np.float32)
    weight[1] = 0
    found = LayerWeights(weight, np.array([bias, bias, 0, -bias], np.float32))
    rounded = rounded_weight(found, TensorParameters(scale, 3), is_per_channel=is_per_channel)
    scales = np.broadcast_to(rounded.scales.astype(np.float64), 4)
    assert rounded.scales.shape == ((4,) if is_per_channel else (1,))
    assert (rounded.scales > 0).all()
    assert np.abs(rounded.weight).max() <= HIGHEST
    back = rounded.weight * scales[:, None, None, None]
    assert (np.abs(back - weight) <= 0.5001 * scales[:, None, None, None]).all()
    biases = rounded.bias * np.broadcast_to(rounded.bias_scales.astype(np.float64), 4)
    np.testing.assert_allclose(biases, found.bias, rtol=1e-6, atol=0.51 * float(rounded.bias_scales.max()))


def test_tensors_that_only_move_share_their_parameters():
    builder = LayerBuilder(SHAPE)
    first = builder.conv("first", -1, 8, activation="relu")
    second = builder.conv("second", -1, 8, kernel_size=3)
    both = builder.concat("both", (first, second))
    mixed = builder.shuffle("mixed", both, 2)
    pooled = builder.window_pool("pooled", mixed, "maxpool", 3, 2)
    part = builder.slice("part", pooled, 3, 11)
    builder.conv("last", part, 4)
    layers = tuple(builder.layers)
    weights, ranges = ranges_of(layers)
    tensors = plan_int8(layers, weights, ranges).tensors
    assert len({tensors[name] for name in ("first", "second", "both", "mixed", "pooled", "part", "mixed/split")}) == 1
    assert tensors["first"] != tensors["last"]
    assert tensors["pooled/pad"] == tensors["mixed"]
    # The ReLU must act before its output is put among numbers below zero.
    assert tensors["first/linear"].zero_point == LOWEST != tensors["first"].zero_point


def test_what_makes_no_difference_is_left_out_of_a_range():
    layers = layers_of_blocks((Block("conv", 8, activation="hswish", norm="none"),), SHAPE)
    weights, ranges = ranges_of(layers, parity_inputs(SHAPE, 8, 1) * 20)
    low, _ = ranges.limits[linear_name(layers[0])]
    assert low < -10
    found = plan_int8(layers, weights, ranges).tensors[linear_name(layers[0])]
    assert found.scale * (LOWEST - found.zero_point) == pytest.approx(-3, abs=found.scale)


def test_a_gate_that_is_concatenated_keeps_its_operator():
    builder = LayerBuilder(SHAPE)
    gate = builder.conv("gate", -1, 8, activation="hsigmoid")
    builder.concat("both", (gate, builder.conv("other", -1, 8)))
    layers = tuple(builder.layers)
    weights, ranges = ranges_of(layers)
    assert [layer.activation for layer in plan_int8(layers, weights, ranges).layers] == ["hsigmoid", "none", "none"]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_bias_correction_takes_the_mean_error_back(groups):
    layers = layers_of_blocks((Block("conv", 8, 1, groups=groups, norm="none"),), SHAPE)
    images = parity_inputs(SHAPE, 16, 1) + np.arange(8, dtype=np.float32)[:, None, None]
    weights, ranges = ranges_of(layers, images)
    errors = {}
    for corrects in (True, False):
        plan = plan_int8(layers, weights, ranges, corrects_bias=corrects)
        rounded = rounded_weight(plan.weights[0], plan.tensors["input"], is_per_channel=True)
        weight = rounded.weight * rounded.scales[:, None, None, None]
        before, after = (
            torch.nn.functional.conv2d(
                torch.from_numpy(images), torch.from_numpy(w), torch.from_numpy(b), groups=groups
            )
            for w, b in ((weights[0].weight, weights[0].bias), (weight, plan.weights[0].bias))
        )
        errors[corrects] = np.abs((after - before).mean((0, 2, 3)).numpy()).max()
    assert errors[True] < 1e-5 < errors[False]


def test_ranges_hold_what_the_tensors_hold():
    layers = layers_of_blocks((Block("mbconv", 8, 3, mid_channels=16, activation="hswish", skip=True),), SHAPE)
    torch.manual_seed(0)
    module = LayerModule(layers).eval()
    images = parity_inputs(SHAPE, 40, 1)
    with torch.no_grad():
        output = module(torch.from_numpy(images)).numpy()
    ranges = calibrate(layers, folded_weights(module), images, choice="minmax")
    np.testing.assert_allclose(ranges.limits[layers[-1].name], (output.min(), output.max()), rtol=1e-4)
    assert ranges.limits["input"] == (images.min(), images.max())
    np.testing.assert_allclose(ranges.input_means[0], images.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    assert set(ranges.limits) == {"input"} | {one.name for one in layers} | {
        linear_name(one) for one in layers if one.activation != "none"
    }


@pytest.mark.parametrize("images", [np.zeros((0, *SHAPE)), np.zeros((4, 3, 9, 9)), np.zeros(SHAPE)])
def test_images_that_do_not_fit_are_refused(images):
    layers = layers_of_blocks((Block("conv", 4),), SHAPE)
    with pytest.raises(ExportError, match="EXP11"):
        ranges_of(layers, images.astype(np.float32))


def test_a_network_that_gives_nan_and_an_unknown_choice_are_refused():
    layers = layers_of_blocks((Block("conv", 4),), SHAPE)
    with pytest.raises(ExportError, match=r"EXP11.*finite"):
        ranges_of(layers, np.full((4, *SHAPE), np.nan, np.float32))
    with pytest.raises(ExportError, match=r"EXP11.*minmax, percentile, mse"):
        ranges_of(layers, choice="best")


@given(seed=st.integers(0, 200), outlier=st.floats(5, 1000))
def test_the_range_of_least_error_errs_least(seed, outlier):
    rng = np.random.default_rng(seed)
    values = np.append(rng.normal(size=5000), outlier)
    span = (float(values.min()), float(values.max()))
    counts = np.histogram(values, BINS, span)[0].astype(np.float64)
    errors = {}
    for choice in RANGE_CHOICES:
        found = parameters_of(choose_limits(span, counts, choice))
        numbers = np.clip(np.round(values / found.scale) + found.zero_point, LOWEST, HIGHEST)
        errors[choice] = float(((found.scale * (numbers - found.zero_point) - values) ** 2).mean())
    assert errors["mse"] <= 1.1 * min(errors.values())


def test_a_tensor_that_holds_one_number_has_a_range():
    for choice in RANGE_CHOICES:
        assert choose_limits((2.0, 2.0), np.zeros(BINS), choice) == (2.0, 2.0)
    assert parameters_of((0.0, 0.0)).scale > 0


@given(st.floats(-1000, 1000, width=32), st.integers(0, 5))
def test_noise_gives_ranges_that_depend_on_the_seed_alone(bias, seed):
    layers = layers_of_blocks((Block("conv", 4, norm="none"),), SHAPE)
    weights = random_weights(layers, np.random.default_rng(0))
    weights[0].bias[:] = bias
    found = random_ranges(layers, weights, seed=seed)
    assert found.limits == random_ranges(layers, weights, seed=seed).limits
    assert found.limits != random_ranges(layers, weights, seed=seed + 1).limits
    low, high = found.limits[layers[0].name]
    assert low < bias < high
