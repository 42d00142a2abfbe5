"""Transfer between made-up devices whose true costs are known: choice, stop, cliffs, and what must be refused."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.estimator import LatencyEstimator
from latency.operator_features import FEATURE_NAMES, feature_matrix
from latency.operators import operators_in, operators_of
from latency.parts import OperatorParts, TableParts, model_of_table, parts_of
from latency.posterior import MIDDLE, SPREADS, learn, next_choice
from latency.predictor import OperatorModel
from latency.table import LutEntry
from latency.testing import LatencyEstimatorConformance, made_up_table
from latency.transfer import choose_networks, closest_prior, transfer
from latency.transferred import TransferredModel, rows_of
from latency.validation import errors_of
from mnas.errors import LutError
from mnas.layers import layers_of_blocks
from mnas.segments import segments_of
from mnas.spaces.presets import open_space

SPACE = open_space("mobilenetv3", "imagenet", (160,))


def networks(count, seed=0):
    rng = np.random.default_rng(seed)
    return [SPACE.decode(SPACE.sample(rng)) for _ in range(count)]


CANDIDATES, UNSEEN = networks(40), networks(30, 1)
FIRST_COSTS = np.random.default_rng(2).uniform(0.2, 5, len(FEATURE_NAMES))
FACTORS = 3 * np.random.default_rng(3).uniform(0.5, 2, len(FEATURE_NAMES))
FACTORS[FEATURE_NAMES.index("depthwise_over5_macs")] = 30
FIRST = OperatorModel("first", tuple(FIRST_COSTS))


def second_ms(network):
    return float(feature_matrix([operators_in(network)])[0] @ (FIRST_COSTS * FACTORS))


def operator_table():
    """A table whose entries are sums over operators, each off by its own few percent."""
    table, rng = made_up_table(SPACE), np.random.default_rng(4)
    for segment in table.entries:
        ms = FIRST.predict(operators_of(layers_of_blocks(segment.blocks, segment.in_shape_chw))) * float(
            rng.uniform(0.97, 1.03)
        )
        table.entries[segment] = LutEntry(ms, ms, ms, 10, "ok")
    return table


TABLE = operator_table()


class TestTransferredModel(LatencyEstimatorConformance):
    def estimator(self) -> LatencyEstimator:
        return transfer(TABLE, CANDIDATES, second_ms, device_key="second", budget=5).model

    def architectures(self):
        return UNSEEN[:4]


def errors(result):
    predicted = [estimate.ms for estimate in result.model.estimate(UNSEEN)]
    return errors_of(predicted, [second_ms(network) for network in UNSEEN])


@pytest.mark.parametrize("prior", [FIRST, TABLE], ids=["operator model", "table"])
def test_a_device_with_a_cliff_is_learned_with_twenty_networks(prior):
    untouched = transfer(prior, CANDIDATES, second_ms, device_key="second", budget=0)
    result = transfer(prior, CANDIDATES, second_ms, device_key="second", target_error=0.0)
    assert len(result.steps) == 20 and result.stopped_by == "budget"
    assert errors(untouched).kendall_tau < 0.85 < 0.95 < errors(result).kendall_tau
    assert errors(result).mape < 0.02


def test_it_does_not_diverge_with_few():
    mapes = [errors(transfer(FIRST, CANDIDATES, second_ms, device_key="second", budget=n)).mape for n in range(1, 9)]
    assert max(mapes) < 0.3
    assert mapes[-1] < 0.5 * mapes[0]


def test_it_stops_at_the_target_and_was_right_to():
    result = transfer(FIRST, CANDIDATES, second_ms, device_key="second", target_error=0.05)
    assert result.stopped_by == "target"
    assert 4 <= len(result.steps) < 20
    assert result.expected_error <= 0.05 < result.steps[-2].expected_error
    assert errors(result).mape < 0.05


def test_intervals_hold_most_networks():
    estimates = transfer(TABLE, CANDIDATES, second_ms, device_key="second", budget=10).model.estimate(UNSEEN)
    inside = [one.low_ms <= second_ms(network) <= one.high_ms for one, network in zip(estimates, UNSEEN, strict=True)]
    assert np.mean(inside) >= 0.8
    assert all(one.high_ms < 2 * one.ms for one in estimates)


def test_its_choice_beats_chance():
    result = transfer(FIRST, CANDIDATES, second_ms, device_key="second", budget=6, target_error=0.0)
    rows = rows_of(result.model.parts, result.model.sizes, CANDIDATES)
    centre = np.repeat([1.0, 0.0], len(FEATURE_NAMES))
    relative = rows / (rows @ centre)[:, None]
    prior = relative @ (np.diag(MIDDLE.variances(len(FEATURE_NAMES))) + np.outer(centre, centre)) @ relative.T

    def left_open(chosen):
        """Mean variance of all networks' predictions once some are measured: a Gaussian's conditional covariance."""
        between = prior[np.ix_(chosen, chosen)] + MIDDLE.noise**2 * np.eye(len(chosen))
        return np.mean(np.diag(prior - prior[:, chosen] @ np.linalg.solve(between, prior[chosen])))

    rng = np.random.default_rng(0)
    by_chance = [left_open(rng.choice(len(CANDIDATES), 6, replace=False)) for _ in range(200)]
    assert left_open([step.index for step in result.steps]) < min(by_chance)


def test_the_first_prediction_is_the_other_devices_own():
    step = transfer(FIRST, CANDIDATES, second_ms, device_key="second", budget=1).steps[0]
    assert step.predicted_ms == pytest.approx(FIRST.predict(operators_in(CANDIDATES[step.index])))
    assert step.measured_ms == second_ms(CANDIDATES[step.index])
    assert step.expected_error == float("inf")


def test_no_network_is_measured_twice_and_candidates_may_run_out():
    asked = []
    result = transfer(
        FIRST, CANDIDATES[:4], lambda one: asked.append(one) or second_ms(one), device_key="d", target_error=0
    )
    assert result.stopped_by == "candidates"
    assert sorted(step.index for step in result.steps) == [0, 1, 2, 3]
    assert len(asked) == 4


def test_networks_that_fail_are_passed_over_and_cost_no_budget():
    failing = [network.arch_id for network in CANDIDATES[::2]]
    result = transfer(
        FIRST,
        CANDIDATES,
        lambda one: None if one.arch_id in failing else second_ms(one),
        device_key="d",
        budget=8,
        target_error=0.0,
    )
    assert len(result.steps) == 8
    assert result.failed and all(index % 2 == 0 for index in result.failed)
    assert all(step.index % 2 == 1 for step in result.steps)


def test_what_is_known_already_is_not_measured_again():
    first = transfer(FIRST, CANDIDATES, second_ms, device_key="d", budget=6, target_error=0.0)
    known = {step.index: step.measured_ms for step in first.steps[:4]}
    asked = []
    second = transfer(
        FIRST,
        CANDIDATES,
        lambda one: asked.append(one) or second_ms(one),
        device_key="d",
        budget=6,
        known=known,
        target_error=0.0,
    )
    assert len(asked) == 2
    assert second.steps == first.steps


def test_networks_chosen_beforehand_are_those_that_it_measures():
    chosen = choose_networks(TABLE, CANDIDATES, 6)
    asked = transfer(TABLE, CANDIDATES, second_ms, device_key="d", budget=6, target_error=0.0)
    assert chosen == [step.index for step in asked.steps]
    known = {index: second_ms(CANDIDATES[index]) for index in chosen}
    given = transfer(TABLE, CANDIDATES, lambda _: None, device_key="d", budget=6, known=known, target_error=0.0)
    assert given.steps == asked.steps and given.stopped_by == "budget"
    assert sorted(choose_networks(TABLE, CANDIDATES[:3], 9)) == [0, 1, 2]
    assert choose_networks(TABLE, CANDIDATES, 1, like=[7]) == [7]


def test_a_target_that_the_last_network_reaches_is_reached():
    full = transfer(FIRST, CANDIDATES, second_ms, device_key="d", target_error=0.05)
    exact = transfer(FIRST, CANDIDATES, second_ms, device_key="d", target_error=0.05, budget=len(full.steps))
    assert full.stopped_by == exact.stopped_by == "target"
    assert exact.steps == full.steps


def test_only_those_like_the_ones_to_be_predicted_count():
    wide = [i for i, network in enumerate(CANDIDATES) if operators_in(network)[-1].in_channels > 1200] or [0]
    chosen = [
        transfer(FIRST, CANDIDATES, second_ms, device_key="d", budget=3, target_error=0.0, like=like).steps
        for like in (None, wide[:1])
    ]
    assert chosen[0] != chosen[1]
    assert chosen[1][0].index == wide[0]


@pytest.mark.parametrize("measured", [0.0, -1.0, float("nan"), float("inf")])
def test_a_measurement_that_is_none_is_refused(measured):
    with pytest.raises(LutError, match="LUT43"):
        transfer(FIRST, CANDIDATES, lambda _: measured, device_key="d")


@pytest.mark.parametrize("candidates", [[], CANDIDATES[:3]])
def test_nothing_to_measure_is_refused(candidates):
    with pytest.raises(LutError, match="LUT43"):
        transfer(FIRST, candidates, lambda _: None, device_key="d")


def test_the_device_most_like_the_new_one_is_found():
    rng = np.random.default_rng(5)
    others = [OperatorModel(f"other{i}", tuple(rng.uniform(0.2, 5, len(FEATURE_NAMES)))) for i in range(3)]
    near = OperatorModel("near", tuple(7 * FIRST_COSTS * FACTORS * rng.uniform(0.9, 1.1, len(FEATURE_NAMES))))
    measured = [second_ms(network) for network in CANDIDATES[:6]]
    for place in range(4):
        priors = [*others[:place], near, *others[place:]]
        assert closest_prior(priors, CANDIDATES[:6], measured) == place
    with pytest.raises(LutError, match="LUT41"):
        closest_prior(others, CANDIDATES[:1], measured[:1])


def test_parts_of_a_table_add_up_to_its_sum():
    split = TableParts(TABLE).split(UNSEEN)
    np.testing.assert_allclose(split.sum(axis=1), [TABLE.parts(network)[0] for network in UNSEEN])
    assert np.all(split >= 0)
    assert parts_of(TABLE).device_key == TABLE.device_key
    assert isinstance(parts_of(FIRST), OperatorParts)


def test_a_model_of_a_table_predicts_its_sums():
    model = model_of_table(TABLE)
    predicted = [model.predict(operators_in(network)) for network in UNSEEN]
    assert errors_of(predicted, [TABLE.parts(network)[0] for network in UNSEEN]).mape < 0.02


def test_a_network_that_the_table_lacks_is_refused():
    table = operator_table()
    del table.entries[segments_of(UNSEEN[0])[3]]
    with pytest.raises(LutError, match="LUT02"):
        TableParts(table).split(UNSEEN[:1])
    with pytest.raises(LutError, match="LUT40"):
        TableParts(TABLE).split([operators_in(UNSEEN[0])])


@pytest.mark.parametrize("prior", [FIRST, TABLE], ids=["operator model", "table"])
def test_a_transferred_model_survives_json(prior):
    model = transfer(prior, CANDIDATES, second_ms, device_key="second", budget=4).model
    value = json.loads(json.dumps(model.to_json()))
    back = TransferredModel.from_json(value, TABLE)
    assert back.estimate(UNSEEN) == model.estimate(UNSEEN)
    assert (back.device_key, back.to_json()) == ("second", model.to_json())


def test_other_files_are_refused():
    value = transfer(TABLE, CANDIDATES, second_ms, device_key="second", budget=1).model.to_json()
    ragged = [value["covariance"][0][:-1], *value["covariance"][1:]]
    changes = [
        {"schema": "other"},
        {"device_key": None},
        {"mean": [1.0]},
        {"noise": "a"},
        {"sizes": {"operators": 1.0}},
    ]
    changes += [{"covariance": [[1.0]]}, {"covariance": ragged}, {"covariance": None}]
    changes += [{"parts": None}, {"parts": {"kind": "other", "model": {}}}, {"parts": {"kind": "table"}}]
    for change in changes:
        with pytest.raises(LutError, match="LUT42"):
            TransferredModel.from_json(value | change, TABLE)
    with pytest.raises(LutError, match=r"LUT42.*needs that table"):
        TransferredModel.from_json(value)
    assert TransferredModel.from_json(value, TABLE).device_key == "second"


rows = st.integers(0, 10**6).map(lambda seed: np.random.default_rng(seed).uniform(0, 1, (12, 8)))


@given(rows, st.floats(0.01, 100))
@settings(max_examples=30)
def test_a_common_factor_is_learned_from_one_network(rows, common):
    plain = rows @ np.repeat([1.0, 0.0], 4)
    found = learn(rows[:1], common * plain[:1])
    np.testing.assert_allclose(found.predict(rows), common * plain, rtol=1e-6)


@given(rows)
@settings(max_examples=30)
def test_more_networks_leave_less_open(rows):
    plain = rows @ np.repeat([1.0, 0.0], 4)
    few, many = (learn(rows[:n], plain[:n], SPREADS[7:8]).relative_sd(rows) for n in (2, 8))
    assert np.all(many <= few + 1e-9)
    assert np.all(many >= SPREADS[7].noise)


def test_next_choice_worked_by_hand():
    # Two parts. Nothing is open of networks 0 and 1 once 0 is measured, as they are alike; 2 tells of the other part.
    rows = np.array([[1.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    assert next_choice(rows, [0], [1, 2], [0, 1, 2]) == 2
    assert next_choice(rows, [2], [0, 1], [0, 1, 2]) in (0, 1)
    assert next_choice(rows, [], [0, 1, 2], [2]) == 2
