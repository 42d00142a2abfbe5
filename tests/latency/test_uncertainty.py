"""What a prediction does not know: the parts, and that they come back from networks made up with them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.estimator import LatencyEstimate
from latency.table import load_table
from latency.uncertainty import DRAWS, SESSION_LEVEL, TableDraws, Uncertainty, uncertainty_of
from mnas.segments import segments_of


@given(st.floats(0, 0.05), st.integers(4, 30))
def test_errors_beyond_the_draws_are_misfit_and_levels_count_twice(misfit, count):
    total = math.sqrt(misfit**2 + 0.01**2)
    found = uncertainty_of([total, -total] * count, [0.01**2] * 2 * count)
    assert found.networks == 2 * count
    assert found.session == pytest.approx(math.sqrt(2) * SESSION_LEVEL, rel=1e-6)
    assert found.misfit == pytest.approx(misfit, abs=1e-6)
    assert found.variance == pytest.approx(misfit**2 + 2 * SESSION_LEVEL**2, abs=1e-7)
    assert found.drawn == 1


@given(st.floats(0.0, 0.02))
def test_draws_that_claim_more_than_was_seen_are_cut_to_it(seen):
    found = uncertainty_of([seen, -seen] * 5, [0.01**2] * 10)
    assert found.misfit**2 + found.drawn * 0.01**2 == pytest.approx(seen**2, abs=1e-9)
    assert found.drawn == pytest.approx(min(1, seen**2 / 0.01**2))


def test_intervals_hold_what_other_sessions_measure():
    """Levels of sessions, noise and misfit made up: nine tenths of the pairs lie in 90 % intervals."""
    rng = np.random.default_rng(3)
    misfit, draws, held = 0.008, 0.006, []
    for _ in range(300):
        built = rng.normal(0, SESSION_LEVEL)
        found = uncertainty_of(rng.normal(0, math.hypot(misfit, draws), 24), [draws**2] * 24)
        spread = math.sqrt(found.variance + found.drawn * draws**2)
        off = rng.normal(0, math.hypot(misfit, draws), 20) + built - rng.normal(0, SESSION_LEVEL)
        held.append(np.mean(np.abs(off) <= 1.644854 * spread))
    assert 0.87 < np.mean(held) < 0.93


def test_few_networks_say_nothing():
    assert uncertainty_of([0.0] * 3, [0.0] * 3) == Uncertainty(0.1, 0.0, 0)


def test_draws_come_back_from_bytes():
    rng = np.random.default_rng(0)
    draws = TableDraws(rng.random((5, 8)), rng.random((8, 3)))
    back = draws.pack().unpack()
    np.testing.assert_allclose(back.entries_ms, draws.entries_ms, rtol=1e-6)
    np.testing.assert_allclose(back.calibrations, draws.calibrations, rtol=1e-6)
    params = np.array([0.0, 1e6, 0.0, 2e6, 0.0])
    scale, intercept, price = draws.calibrations[3]
    weights = np.array([1.0, 0.9, 1.1, 1.0, 1.0])
    expected = scale * weights * draws.entries_ms[:, 3] + price * params / 1e6
    np.testing.assert_allclose(draws.costs_ms(params, weights)[:, 3], expected)
    assert draws.intercepts_ms[3] == intercept


def test_probabilities_and_intervals_are_those_of_a_normal():
    estimate = LatencyEstimate(10.0, 2.0, "lut")
    assert estimate.interval_ms(0.6826894921) == pytest.approx((8.0, 12.0))
    assert estimate.probability_within(10.0) == pytest.approx(0.5)
    assert estimate.probability_within(12.0) == pytest.approx(0.8413447)
    low, high = estimate.interval_ms(0.9)
    assert estimate.probability_within(high) - estimate.probability_within(low) == pytest.approx(0.9)
    certain = LatencyEstimate(10.0, 0.0, "lut")
    assert (certain.probability_within(9.99), certain.probability_within(10.0)) == (0.0, 1.0)


def test_a_noisy_device_gives_draws_that_hold_what_it_measures(store, plan, additive_device):
    from latency.builder import LutBuilder

    device = additive_device(noise=0.03, seed=4)
    built = LutBuilder(store, device, plan, lambda *_: None).build()
    table = load_table(store, built.lut_id)
    assert table.draws is not None and table.draws.entries_ms.shape[0] == len(table.entries)
    assert table.draws.entries_ms.shape[1] <= DRAWS and np.isfinite(table.draws.entries_ms).all()
    # Rows of draws belong to the entries of the same place.
    entries = np.array([entry.latency_ms for entry in table.entries.values()])
    spread = table.draws.entries_ms.std(axis=1)
    assert np.mean(np.abs(table.draws.entries_ms.mean(axis=1) - entries) < 2 * spread + 1e-6) > 0.9
    assert table.uncertainty.networks == 11 and 0 < table.uncertainty.drawn <= 1
    rng = np.random.default_rng(0)
    networks = [plan.space.decode(plan.space.sample(rng)) for _ in range(10)]
    for network, estimate in zip(networks, table.estimate(networks), strict=True):
        rows = [list(table.entries).index(one) for one in segments_of(network)]
        assert estimate.sd_ms > 0
        assert estimate.sd_ms**2 >= estimate.ms**2 * table.uncertainty.variance
        assert table.draws.entries_ms[rows].sum(axis=0).std() > 0


def test_a_device_without_noise_leaves_no_doubt_about_entries(store, plan, additive_device):
    from latency.builder import LutBuilder

    table = LutBuilder(store, additive_device(), plan, lambda *_: None).build()
    assert table.draws is not None
    np.testing.assert_allclose(table.draws.entries_ms.std(axis=1), 0, atol=1e-6)
    (estimate,) = table.estimate([plan.space.decode(plan.space.extremes()[0])])
    assert estimate.sd_ms < 0.012 * estimate.ms, "all that is left is what sessions differ by"
