"""Forecasts of curves: right about curves of their own kind, calibrated, and silent where they know nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.accuracy.forecast import LEAST_POINTS, LEAST_RUNS, extrapolated, forecast, regressed


def runs(count, seed=0, noise=0.01):
    """Curves that end where their middle says, up to noise; all of them jump down at the end."""
    rng = np.random.default_rng(seed)
    ends = rng.uniform(0.1, 0.5, count)
    steps = np.linspace(0.6, 0.3, 7)
    curves = ends[:, None] + steps + rng.normal(0, noise, (count, 7))
    return np.concatenate([curves, ends[:, None]], axis=1).tolist()


def test_regression_knows_the_jump_at_the_end_and_extrapolation_does_not():
    completed, (fresh,) = runs(20), runs(1, seed=9)
    by_runs, alone = regressed(fresh[:5], completed), extrapolated(fresh[:5], 8)
    assert by_runs.mean == pytest.approx(fresh[-1], abs=0.04)
    assert alone.mean > fresh[-1] + 0.1
    assert forecast(fresh[:5], completed) == by_runs and forecast(fresh[:5], completed[:3]) is not None


def test_probabilities_are_calibrated():
    hits, told = [], []
    for seed in range(300):
        *completed, fresh = runs(11, seed=seed, noise=0.05)
        found, bound = regressed(fresh[:4], completed), 0.3
        told.append(found.probability_below(bound))
        hits.append(fresh[-1] < bound)
    told, hits = np.asarray(told), np.asarray(hits)
    for low, high in ((0, 0.1), (0.1, 0.9), (0.9, 1.01)):
        chosen = (told >= low) & (told < high)
        assert chosen.sum() > 20
        assert hits[chosen].mean() == pytest.approx(told[chosen].mean(), abs=0.1)


@pytest.mark.parametrize("shape", [lambda t: t**-0.5, lambda t: np.exp(-2 * t)])
def test_a_curve_of_a_known_family_is_continued(shape):
    times = np.arange(1, 13) / 12 * 4
    curve = 0.1 + 0.5 * shape(times)
    assert extrapolated(curve[:6].tolist(), 12).mean == pytest.approx(curve[-1], abs=0.01)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7), st.integers(0, 15))
def test_any_curve_gives_a_probability_or_nothing(curve, count):
    for found, least in ((regressed(curve, runs(count)), count >= LEAST_RUNS), (extrapolated(curve, 8), None)):
        assert (found is not None) == (len(curve) >= LEAST_POINTS if least is None else least)
        if found is not None:
            chances = [found.probability_below(bound) for bound in (-9.0, 0.1, 0.5, 9.0)]
            assert all(0 <= chance <= 1 for chance in chances) and chances == sorted(chances)
            assert np.isfinite(found.mean)
