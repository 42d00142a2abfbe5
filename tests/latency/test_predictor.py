"""Operator models: known costs come back, outliers and missing knowledge do little harm, files are strict."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.estimator import LatencyEstimator
from latency.nonnegative import fit_ridge
from latency.operator_features import FEATURE_NAMES, feature_matrix
from latency.operators import operators_in
from latency.predictor import FitSettings, OperatorModel
from latency.testing import LatencyEstimatorConformance
from latency.tuning import GRID, fit_cross_validated
from mnas.errors import LutError
from mnas.named_networks import named_network
from mnas.spaces.presets import open_space

LIGHT = FitSettings(ridge=1e-9, secondary=1.0)


def networks(count=40, seed=0):
    space, rng = open_space("mobilenetv3", "imagenet", (160, 192, 224)), np.random.default_rng(seed)
    return [space.decode(space.sample(rng)) for _ in range(count)]


NETWORKS = networks()
OPERATORS = [operators_in(network) for network in NETWORKS]


def costs_of(seed):
    return np.random.default_rng(seed).uniform(0.2, 5, len(FEATURE_NAMES))


def latencies(costs, operators=OPERATORS):
    return feature_matrix(operators) @ costs


class TestOperatorModel(LatencyEstimatorConformance):
    def estimator(self) -> LatencyEstimator:
        return OperatorModel.fit(OPERATORS, latencies(costs_of(0)), device_key="some device")

    def architectures(self):
        return NETWORKS[:4]


@given(st.integers(0, 1000))
def test_a_device_that_is_a_sum_over_operators_is_learned(seed):
    costs = costs_of(seed)
    model = OperatorModel.fit(OPERATORS[:30], latencies(costs, OPERATORS[:30]), device_key="d", settings=LIGHT)
    predicted = [model.predict(operators) for operators in OPERATORS[30:]]
    np.testing.assert_allclose(predicted, latencies(costs, OPERATORS[30:]), rtol=0.01)
    assert min(model.costs) >= 0


def test_it_tells_networks_outside_the_space():
    costs = costs_of(1)
    model = OperatorModel.fit(OPERATORS, latencies(costs), device_key="d", settings=LIGHT)
    for name in ("mobilenetv2", "mobilenetv3-small"):
        outside = operators_in(named_network(name))
        assert model.predict(outside) == pytest.approx(latencies(costs, [outside])[0], rel=0.1)


def test_parts_of_a_network_add_up_to_it():
    model = OperatorModel.fit(OPERATORS, latencies(costs_of(2)), device_key="d")
    whole = OPERATORS[0]
    cut = len(whole) // 3
    assert model.predict(whole[:cut]) + model.predict(whole[cut:]) == pytest.approx(model.predict(whole))
    assert 0 < model.predict(whole[:cut]) < model.predict(whole)


def test_networks_that_are_off_hardly_move_it():
    costs = costs_of(3)
    measured = latencies(costs)
    measured[::10] *= 1.8
    robust = OperatorModel.fit(OPERATORS, measured, device_key="d", settings=replace(LIGHT, huber=0.02))
    squares = OperatorModel.fit(OPERATORS, measured, device_key="d", settings=replace(LIGHT, huber=100.0))
    errors = [
        np.mean(np.abs([model.predict(one) for one in OPERATORS] / latencies(costs) - 1)) for model in (robust, squares)
    ]
    assert errors[0] < 0.01
    assert 10 * errors[0] < errors[1]


def test_a_network_without_weight_does_not_count():
    costs, weights = costs_of(4), np.ones(len(OPERATORS))
    measured, weights[:5] = latencies(costs), 0
    measured[:5] *= 10
    told = OperatorModel.fit(OPERATORS, measured, device_key="d", weights=weights)
    without = OperatorModel.fit(OPERATORS[5:], measured[5:], device_key="d")
    np.testing.assert_allclose(told.costs, without.costs, rtol=1e-6, atol=1e-9)


def test_a_prior_speaks_where_measurements_do_not():
    costs = costs_of(5)
    other = OperatorModel("other", tuple(costs))
    measured = 3 * latencies(costs)
    few = OPERATORS[:4]
    held = FitSettings(ridge=0.1, secondary=1.0)
    told = OperatorModel.fit(few, measured[:4], device_key="d", settings=held, prior=other)
    alone = OperatorModel.fit(few, measured[:4], device_key="d", settings=held)
    np.testing.assert_allclose(told.costs, 3 * costs, rtol=1e-6)
    errors = [max(abs(m.predict(o) / ms - 1) for o, ms in zip(OPERATORS, measured, strict=True)) for m in (told, alone)]
    assert errors[0] < 1e-6 < 0.05 < errors[1]


def test_costs_do_not_hang_on_the_unit_of_time():
    measured = latencies(costs_of(6)) * np.random.default_rng(0).uniform(0.9, 1.1, len(OPERATORS))
    ms, us = (OperatorModel.fit(OPERATORS, scale * measured, device_key="d") for scale in (1, 1000))
    np.testing.assert_allclose(1000 * np.array(ms.costs), us.costs, rtol=1e-6, atol=1e-6)


@given(st.floats(0.2, 5), st.floats(0.2, 5))
def test_nonnegative_least_squares_worked_by_hand(first, second):
    columns, none = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 2.0]]), np.zeros(2)
    found = fit_ridge(columns, columns @ [first, second], np.ones(3), none, 1.0, none)
    np.testing.assert_allclose(found, [first, second])
    # The second column could help with a negative cost alone, so it gets none: (1 - x)^2 + (1 - 2 x)^2 is least.
    falling = fit_ridge(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([1.0, 0.5]), np.ones(2), none, 100.0, none)
    np.testing.assert_allclose(falling, [3 / 5, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("measured", "why"),
    [([1.0], "2 networks"), ([1.0, 2.0], "lengths"), ([1.0, -2.0, 3.0], "none"), ([1.0, float("nan"), 3.0], "none")],
)
def test_latencies_that_are_none_are_refused(measured, why):
    with pytest.raises(LutError, match="LUT41") as caught:
        OperatorModel.fit(OPERATORS[: 1 if why == "2 networks" else 3], measured, device_key="d")
    assert why in str(caught.value)


def test_a_network_of_unknown_operators_alone_has_no_latency():
    model = OperatorModel("d", (0.0,) * len(FEATURE_NAMES))
    with pytest.raises(LutError, match="LUT08"):
        model.estimate([NETWORKS[0]])


def test_a_model_survives_json():
    model = fit_cross_validated(OPERATORS, latencies(costs_of(7)), [i % 4 for i in range(40)], device_key="d")
    back = OperatorModel.from_json(json.loads(json.dumps(model.to_json())))
    assert back == model
    assert back.estimate(NETWORKS[:2]) == model.estimate(NETWORKS[:2])


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "mnas.operator_model/2"},
        {"schema": None},
        {"costs": {"operators": 1.0}},
        {"costs": [1.0]},
        {"relative_sd": float("nan")},
        {"relative_sd": "0.1"},
        {"networks": -1},
        {"device_key": 7},
    ],
)
def test_other_files_are_refused(change):
    value = OperatorModel("d", tuple(costs_of(8))).to_json()
    with pytest.raises(LutError, match="LUT42"):
        OperatorModel.from_json(value | change)


@pytest.mark.parametrize("cost", [-1.0, float("inf"), None, True, "1"])
def test_costs_that_are_none_are_refused(cost):
    value = OperatorModel("d", tuple(costs_of(8))).to_json()
    value["costs"]["conv_macs"] = cost
    with pytest.raises(LutError, match="LUT42"):
        OperatorModel.from_json(value)


def test_a_file_without_a_key_is_refused():
    value = OperatorModel("d", tuple(costs_of(8))).to_json()
    del value["device_key"]
    with pytest.raises(LutError, match=r"LUT42.*device_key"):
        OperatorModel.from_json(value)


def test_cross_validation_chooses_the_ridge_that_predicts():
    costs = costs_of(9)
    groups = [i % 5 for i in range(40)]
    grid = [FitSettings(ridge=1e-6, secondary=1.0), FitSettings(ridge=1e4, secondary=1.0)]
    chosen = fit_cross_validated(OPERATORS, latencies(costs), groups, device_key="d", grid=grid)
    light = OperatorModel.fit(OPERATORS, latencies(costs), device_key="d", settings=grid[0])
    np.testing.assert_allclose(chosen.costs, light.costs)
    assert chosen.relative_sd < 0.01
    assert chosen.networks == 40


def test_its_error_is_that_on_groups_left_out():
    # One group is slower by half, which none of the others tells.
    groups = [i % 4 for i in range(40)]
    measured = latencies(costs_of(10)) * np.where(np.array(groups) == 0, 1.5, 1.0)
    torn = fit_cross_validated(OPERATORS, measured, groups, device_key="d")
    whole = fit_cross_validated(OPERATORS, latencies(costs_of(10)), groups, device_key="d")
    assert torn.relative_sd > 0.15 > 0.05 > whole.relative_sd


def test_networks_out_of_focus_count_less():
    costs, focus = costs_of(11), np.arange(40) < 20
    measured = latencies(costs) * np.where(focus, 1.0, 1.3)
    grid = [FitSettings(others=0.05)]
    told = fit_cross_validated(OPERATORS, measured, [i % 5 for i in range(40)], device_key="d", focus=focus, grid=grid)
    plain = fit_cross_validated(OPERATORS, measured, [i % 5 for i in range(40)], device_key="d", grid=grid)
    errors = [np.mean(np.abs([m.predict(o) for o in OPERATORS[:20]] / measured[:20] - 1)) for m in (told, plain)]
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("groups", [["one"] * 40, [1, 2]])
def test_groups_that_cannot_be_left_out_are_refused(groups):
    with pytest.raises(LutError, match="LUT41"):
        fit_cross_validated(OPERATORS, latencies(costs_of(12)), groups, device_key="d", grid=GRID[:1])
