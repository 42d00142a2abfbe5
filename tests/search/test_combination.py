"""Several devices as one latency: between the devices' own, and the reward that the paper would give each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.errors import ConfigError
from search.combination import Combination
from search.reward import mnasnet_reward

MILLISECONDS = st.floats(0.01, 1000)
ROWS = st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(MILLISECONDS, min_size=n, max_size=n), min_size=1))
KINDS = st.sampled_from(["worst", "weighted"])


@given(ROWS, KINDS)
def test_it_lies_between_those_of_the_devices_and_grows_with_each(rows, kind):
    values = np.asarray(rows)
    combination = Combination.of(kind, (), values.shape[1])
    found = combination.of_devices(values)
    assert (values.min(axis=1) <= found).all() and (found <= values.max(axis=1)).all()
    assert [combination.of_one(row) for row in rows] == pytest.approx(found.tolist(), rel=1e-12)
    for device in range(values.shape[1]):
        slower = values.copy()
        slower[:, device] *= 2
        assert (combination.of_devices(slower) >= found).all()


@given(MILLISECONDS, KINDS)
def test_one_device_is_left_as_it_is(ms, kind):
    assert Combination.of(kind, (), 1).of_one([ms]) == ms


@given(st.lists(st.tuples(MILLISECONDS, st.floats(0.1, 10)), min_size=2, max_size=4), st.floats(-1, 0), MILLISECONDS)
def test_weighted_rewards_are_products_over_the_devices(devices, exponent, target):
    ms, weights = zip(*devices, strict=True)
    combined = Combination.of("weighted", weights, len(ms)).of_one(ms)
    factors = [(one / target) ** (exponent * weight / sum(weights)) for one, weight in zip(ms, weights, strict=True)]
    assert mnasnet_reward(0.7, combined, target, exponent, exponent) == pytest.approx(0.7 * np.prod(factors), rel=1e-9)


def test_the_worst_phone_decides_and_a_weight_moves_the_mean():
    assert Combination.of("worst", (), 3).of_one([3.0, 9.0, 1.0]) == 9.0
    even, first = (Combination.of("weighted", weights, 2).of_one([1.0, 16.0]) for weights in ((1, 1), (3, 1)))
    assert (even, first) == (pytest.approx(4.0), pytest.approx(2.0))


@given(ROWS, KINDS, st.floats(0.001, 0.3), MILLISECONDS)
def test_certainty_grows_with_the_target_and_is_half_at_the_latency_itself(rows, kind, share, target):
    values = np.asarray(rows)
    combination = Combination.of(kind, (), values.shape[1])
    sd = share * values
    low, high = (combination.probability_within(values, sd, one) for one in (target, 1.1 * target))
    assert ((low >= 0) & (high <= 1) & (low <= high + 1e-12)).all()
    at_itself = combination.probability_within(values[:1], sd[:1], float(combination.of_devices(values[:1])[0]))[0]
    if kind == "weighted" or values.shape[1] == 1:
        assert at_itself == pytest.approx(0.5, abs=1e-6)
    else:
        assert at_itself <= 0.5 + 1e-9, "the other devices can only take certainty away"
    exact = combination.probability_within(values, np.zeros_like(values), target)
    assert exact.tolist() == [float(combination.of_one(row) <= target) for row in rows]


@pytest.mark.parametrize(
    ("kind", "weights", "devices"),
    [("worst", (1, 2), 2), ("weighted", (1,), 2), ("weighted", (1, 0), 2), ("weighted", (1, float("nan")), 2)],
)
def test_weights_that_are_none_are_refused(kind, weights, devices):
    with pytest.raises(ConfigError, match="CFG43"):
        Combination.of(kind, weights, devices)
