"""Expected improvement of the hypervolume: closed forms, simulation, and the hypervolume itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import lognorm

from search.algorithms.improvement import Staircase, expected_excess
from search.pareto import front_indices, hypervolume

POINT = (1.0, 10.0)
OBJECTIVES = st.lists(st.tuples(st.floats(0.01, 1.2), st.floats(0.5, 12)), min_size=0, max_size=12).map(
    lambda rows: np.asarray(rows, dtype=float).reshape(-1, 2)
)
NETWORK = st.tuples(st.floats(0.01, 1.2), st.floats(0.5, 12))


@settings(deadline=None, max_examples=25)
@given(st.floats(0.05, 2), st.floats(-3, 1), st.floats(0.05, 1.5))
def test_the_excess_of_a_step_is_the_integral_over_the_density(height, mean, sd):
    found = expected_excess(np.asarray(height), np.asarray(mean), np.asarray(sd))
    density = lognorm(s=sd, scale=np.exp(mean)).pdf
    points = [x for x in np.exp(mean + sd * np.arange(-6.0, 7.0)) if x < height]
    expected = quad(lambda error: (height - error) * density(error), 0, height, points=points or None, limit=200)[0]
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-9)


@given(st.floats(0, 2), st.floats(-3, 1))
def test_without_uncertainty_the_excess_is_what_lies_above(height, mean):
    found = expected_excess(np.asarray([height]), np.asarray([mean]), np.zeros(1))
    assert found == pytest.approx([max(height - np.exp(mean), 0)], abs=1e-7)


@given(OBJECTIVES, NETWORK)
def test_improvement_is_the_gain_of_hypervolume(objectives, network):
    gain = hypervolume(np.vstack([objectives, network]), POINT) - hypervolume(objectives, POINT)
    found = Staircase(objectives, POINT).improvement(np.asarray([network]))
    assert found == pytest.approx([gain], abs=1e-9)


@given(OBJECTIVES, st.lists(NETWORK, min_size=1, max_size=3))
def test_networks_one_by_one_give_the_staircase_of_all(objectives, networks):
    stairs = Staircase(objectives, POINT)
    for network in networks:
        stairs = stairs.with_network(*network)
    whole = Staircase(np.vstack([objectives, networks]), POINT)
    assert np.array_equal(stairs.heights, whole.heights) and np.array_equal(stairs.edges, whole.edges)


@given(OBJECTIVES, st.permutations(range(12)))
def test_the_steps_are_the_front_below_the_reference_point_in_any_order(objectives, order):
    stairs = Staircase(objectives, POINT)
    inside = objectives[(objectives < POINT).all(axis=1)]
    front = {tuple(row) for row in inside[front_indices(inside)]}
    assert set(zip(stairs.heights[1:], stairs.edges[:-1], strict=True)) == front
    assert (np.diff(stairs.heights) < 0).all() and (np.diff(stairs.edges) > 0).all()
    odd = np.vstack([objectives, [[np.nan, 1.0], [np.inf, 1.0], [-np.inf, 1.0]]])
    assert np.array_equal(Staircase(odd, POINT).heights, stairs.heights)
    shuffled = Staircase(objectives[[i for i in order if i < len(objectives)]], POINT)
    assert np.array_equal(shuffled.heights, stairs.heights)


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_expected_improvement_equals_monte_carlo(shift):
    rng = np.random.default_rng(0)
    stairs = Staircase(np.asarray([[0.6, 1.0], [0.4, 2.0], [0.3, 5.0], [0.5, 4.0], [0.05, 11.0]]), POINT)
    mean, sd = np.log([0.7, 0.5, 0.35, 0.2, 0.1, 0.1]), np.asarray([0.1, 0.5, 0.3, 0.05, 1.0, 0.5])
    latency = np.asarray([0.5, 1.5, 3.0, 6.0, 2.0, 10.5])
    found = stairs.expected_improvement(mean, sd, latency, shift)
    assert found[-1] == 0
    for i in range(5):
        drawn = np.exp(rng.normal(mean[i], sd[i], 40_000)) - shift
        gains = stairs.improvement(np.stack([drawn, np.full_like(drawn, latency[i])], axis=1))
        assert found[i] == pytest.approx(gains.mean(), abs=5 * gains.std() / 200)


@given(OBJECTIVES, NETWORK)
def test_a_certain_error_promises_just_its_improvement(objectives, network):
    stairs = Staircase(objectives, POINT)
    latency = np.asarray([network[1]])
    found = stairs.expected_improvement(np.log([network[0]]), np.zeros(1), latency)
    assert found == pytest.approx(stairs.improvement(np.asarray([network])), abs=1e-6)


@given(OBJECTIVES, st.floats(-3, 0), st.floats(0.01, 1), st.floats(0.5, 9))
def test_a_faster_or_a_better_network_promises_no_less(objectives, mean, sd, latency):
    stairs = Staircase(objectives, POINT)
    means, latencies = np.asarray([mean, mean, mean - 0.3]), np.asarray([latency, 0.9 * latency, latency])
    promise, faster, better = stairs.expected_improvement(means, np.full(3, sd), latencies)
    assert faster >= promise - 1e-12 and better >= promise - 1e-12


@given(OBJECTIVES, st.floats(0.5, 12))
def test_the_height_at_a_latency_is_the_least_error_of_what_is_no_slower(objectives, latency):
    inside = objectives[(objectives < POINT).all(axis=1) & (objectives[:, 1] <= latency)]
    found = Staircase(objectives, POINT).heights_at(np.asarray([latency]))
    assert found == inside[:, 0].min(initial=POINT[0])


def test_an_empty_front_is_one_step_and_an_error_of_zero_leaves_nothing():
    empty = Staircase(np.zeros((0, 2)), POINT)
    assert (empty.heights.tolist(), empty.edges.tolist()) == ([1.0], [10.0])
    assert empty.improvement(np.asarray([[0.5, 4.0]])) == pytest.approx([3.0])
    perfect = Staircase(np.asarray([[0.0, 1.0]]), POINT)
    assert perfect.expected_improvement(np.log([0.1]), np.ones(1), np.asarray([2.0])) == 0
