"""MnasNet's reward: the paper's numbers, its sign and its shape."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.errors import ConfigError
from search.reward import HARD, SOFT, MnasnetReward, mnasnet_reward

ACCURACIES = st.floats(0.01, 1)
MILLISECONDS = st.floats(0.01, 1000)
NETWORKS = st.lists(st.tuples(ACCURACIES, MILLISECONDS), min_size=2, max_size=12)


@pytest.mark.parametrize(
    ("accuracy", "latency", "alpha", "beta", "expected"),
    [
        (0.75, 75, -0.07, -0.07, 0.75),
        (0.75, 150, -0.07, -0.07, 0.75 * 0.952638),
        (0.75, 37.5, -0.07, -0.07, 0.75 * 1.049717),
        (0.75, 150, 0.0, -1.0, 0.375),
        (0.75, 37.5, 0.0, -1.0, 0.75),
        (0.6, 300, -0.07, -0.15, 0.6 * 0.812252),
        (0.0, 10, -0.07, -0.07, 0.0),
    ],
)
def test_hand_worked_rewards_at_75_ms(accuracy, latency, alpha, beta, expected):
    """Source: arXiv 1807.11626, section 3.1: T = 75 ms, soft -0.07 and -0.07, hard 0 and -1."""
    assert mnasnet_reward(accuracy, latency, 75, alpha, beta) == pytest.approx(expected, rel=1e-5)


def test_twice_the_latency_pays_at_five_percent_relative_accuracy():
    slow, fast = mnasnet_reward(0.5 * 1.05, 150, 75, -0.07, -0.07), mnasnet_reward(0.5, 75, 75, -0.07, -0.07)
    assert slow == pytest.approx(fast, rel=1e-3)


@given(ACCURACIES, MILLISECONDS, MILLISECONDS)
def test_soft_and_hard_are_those_of_the_paper(accuracy, latency, target):
    """Source: arXiv 1807.11626, section 3.1 and figure 3."""
    assert mnasnet_reward(accuracy, latency, target, *SOFT) == pytest.approx(accuracy * (latency / target) ** -0.07)
    hard = mnasnet_reward(accuracy, latency, target, *HARD)
    assert hard == pytest.approx(accuracy if latency <= target else accuracy * target / latency)


@pytest.mark.parametrize(("alpha", "beta"), [(0.07, -0.07), (-0.07, 0.07), (1e-9, 0)])
def test_a_positive_exponent_is_refused(alpha, beta):
    with pytest.raises(ConfigError, match=r"CFG04.*positive") as caught:
        mnasnet_reward(0.9, 10, 75, alpha, beta)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("target", [0.0, -1.0, math.inf, math.nan])
def test_a_target_that_is_no_latency_is_refused(target):
    with pytest.raises(ConfigError, match="CFG21"):
        MnasnetReward(target, -0.07, -0.07)


def test_a_population_is_rewarded_as_each_of_its_networks():
    reward = MnasnetReward(75, -0.07, -0.15)
    errors, latencies = [0.25, 0.25, 1.0], [75, 150, 37.5]
    expected = [0.75, 0.75 * 2**-0.15, 0.0]
    assert reward.of(errors, latencies) == pytest.approx(expected, rel=1e-12)
    assert reward.factors(latencies) == pytest.approx([1, 2**-0.15, 0.5**-0.07], rel=1e-12)


@given(NETWORKS, MILLISECONDS, MILLISECONDS, st.floats(-1, 0))
def test_with_equal_exponents_the_target_changes_no_ranking(networks, target, other_target, exponent):
    def rewards(at):
        return [mnasnet_reward(accuracy, ms, at, exponent, exponent) for accuracy, ms in networks]

    factor = (other_target / target) ** exponent
    assert rewards(target) == pytest.approx([value * factor for value in rewards(other_target)], rel=1e-9)


@given(ACCURACIES, MILLISECONDS, st.floats(-2, 0), st.floats(-2, 0))
def test_it_is_continuous_at_the_target_and_never_rewards_slowness(accuracy, target, alpha, beta):
    steps = [target * (1 + i * 1e-7) for i in (-1, 0, 1)]
    around = [mnasnet_reward(accuracy, ms, target, alpha, beta) for ms in steps]
    assert around == pytest.approx([accuracy] * 3, rel=1e-6)
    far = [mnasnet_reward(accuracy, target * factor, target, alpha, beta) for factor in (0.25, 0.5, 1, 2, 4)]
    assert far == sorted(far, reverse=True)
