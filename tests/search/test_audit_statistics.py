"""The audit's statistics against scipy, closed forms and made-up truths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau, spearmanr

from search.accuracy.audit_statistics import (
    Interval,
    advantage,
    advantage_within_bands,
    agreement,
    band_mask,
    bands_of,
    better_half,
    bootstrap,
    distinguishable_gap,
    kendall_tau,
    seed_noise,
    seed_tau,
    spearman,
    spread,
    spread_over_noise,
)

PAIRS = st.integers(3, 12).flatmap(
    lambda n: st.tuples(*[arrays(np.float64, n, elements=st.integers(0, 6).map(float))] * 2)
)


@given(PAIRS)
def test_rank_measures_are_scipys_ties_included(pair):
    one, other = pair
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert kendall_tau(one, other) == spearman(one, other) == 0
    else:
        assert kendall_tau(one, other) == pytest.approx(kendalltau(one, other).statistic)
        assert spearman(one, other) == pytest.approx(spearmanr(one, other).statistic)


@given(PAIRS)
def test_tau_does_not_mind_monotone_maps_and_turns_with_the_sign(pair):
    one, other = pair
    assert kendall_tau(np.exp(one), other**3) == pytest.approx(kendall_tau(one, other))
    assert kendall_tau(-one, other) == pytest.approx(-kendall_tau(one, other))


def test_a_bootstrap_is_repeatable_and_holds_the_mean():
    values = np.random.default_rng(0).normal(5, 1, 100)
    first, again, other = (bootstrap(lambda i: float(values[i].mean()), 100, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert first.low < first.value < first.high
    assert (first.high - first.low) / 2 == pytest.approx(1.96 * values.std() / 10, rel=0.1)
    assert Interval.from_json(first.to_json()) == first


def test_a_better_estimator_has_an_advantage_and_equal_ones_have_none():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=40)
    good, poor = truth + rng.normal(0, 0.2, 40), truth + rng.normal(0, 3, 40)
    assert agreement(good, truth, draws=300).low > agreement(poor, truth, draws=300).high
    assert advantage(good, poor, truth, draws=300).low > 0
    same = advantage(good, good.copy(), truth, draws=50)
    assert same == Interval(0, 0, 0) and same.holds_zero


def test_within_bands_of_equal_size_a_rival_that_knows_only_size_has_nothing():
    rng = np.random.default_rng(2)
    macs = np.repeat([1.0, 10.0, 100.0], 12)
    truth = np.log(macs) * 10 + rng.normal(size=36)
    bands = bands_of(macs)
    mask = band_mask(bands, 36)
    assert [len(band) for band in bands] == [12, 12, 12] and mask.sum() == 3 * 144
    assert kendall_tau(macs, truth) > 0.7 and kendall_tau(macs, truth, mask) == 0
    found = advantage_within_bands(truth + rng.normal(0, 0.1, 36), macs, truth, bands, draws=200)
    assert found.low > 0.7
    assert advantage_within_bands(macs, macs, truth, bands, draws=20).value == 0


@given(st.integers(1, 30), st.integers(1, 5))
def test_bands_part_all_networks(count, bands):
    found = bands_of(np.random.default_rng(count).normal(size=count), bands)
    assert sorted(np.concatenate(found)) == list(range(count))


def test_noise_spread_and_gap_are_what_went_in():
    rng = np.random.default_rng(3)
    means = rng.normal(0.2, 0.03, 4000)
    trainings = means[:, None] + rng.normal(0, 0.01, (4000, 3))
    assert seed_noise(trainings) == pytest.approx(0.01, rel=0.05)
    assert spread(trainings) == pytest.approx(np.hypot(0.03, 0.01 / 3**0.5), rel=0.05)
    assert spread_over_noise(trainings) == pytest.approx(3.05, rel=0.1)
    half = better_half(trainings)
    assert len(half) == 2000 and half.mean(1).max() <= np.median(trainings.mean(1)) + 1e-12
    # Two equal networks, three seeds each: 5 % of the differences exceed the gap.
    differences = np.abs(rng.normal(0, 0.01, (20000, 2, 3)).mean(2) @ [1, -1])
    assert np.mean(differences > distinguishable_gap(0.01, 3)) == pytest.approx(0.05, abs=0.01)
    with pytest.raises(ValueError, match="two trainings"):
        seed_noise(trainings[:, :1])
    assert spread_over_noise(np.tile(means[:5, None], (1, 2))) == float("inf")


def test_seeds_that_agree_have_tau_one_and_noise_has_none():
    means = np.linspace(0, 1, 20)
    assert seed_tau(np.stack([means, means**2], 1), draws=20).value == pytest.approx(1)
    assert abs(seed_tau(np.random.default_rng(4).normal(size=(60, 2)), draws=20).value) < 0.25
