from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.estimate import RatioEstimator, Runs
from devices.protocol import ProtocolSettings
from devices.stability import judge_references

_SETTINGS = ProtocolSettings()


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 4)), min_size=1, max_size=40),
    st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=4),
    st.floats(0, 1),
)
def test_resampled_quantile_equals_numpy_on_repeated_runs(
    runs: list[tuple[float, int]], counts: list[list[int]], quantile: float
) -> None:
    values, rounds = [run[0] for run in runs], [run[1] for run in runs]
    found = Runs.of(values, rounds).quantiles(np.array(counts), np.arange(5), quantile)
    for row, value in zip(counts, found, strict=True):
        repeated = [v for v, r in runs for _ in range(row[r])]
        if repeated:
            assert value == pytest.approx(np.quantile(repeated, quantile))
        else:
            assert math.isnan(value)


def _estimator(references: dict[str, Runs], nominal_ms: float = 2.0) -> RatioEstimator:
    return RatioEstimator(references, nominal_ms, quantile=0.2, resamples=300, seed=0)


def test_estimate_is_quantile_over_geometric_mean_times_nominal() -> None:
    rng = np.random.default_rng(0)
    rounds = list(range(10)) * 3
    model, one, two = (rng.uniform(1, 2, 30) for _ in range(3))
    estimator = _estimator({"one": Runs.of(one.tolist(), rounds), "two": Runs.of(two.tolist(), rounds)})
    estimate = estimator.estimate(Runs.of(model.tolist(), rounds))
    expected = np.quantile(model, 0.2) / math.sqrt(np.quantile(one, 0.2) * np.quantile(two, 0.2)) * 2.0
    assert estimate.latency_ms == pytest.approx(expected)
    assert estimate.interval_ms is not None
    assert estimate.interval_ms[0] <= estimate.latency_ms <= estimate.interval_ms[1]
    assert estimate.interval_ms[0] < estimate.interval_ms[1]


def test_a_model_of_some_rounds_is_compared_with_those_rounds() -> None:
    # The machine is three times slower in the first half, and the model was there in that half only.
    rounds = [r for r in range(10) for _ in range(4)]
    level = [3.0 if r < 5 else 1.0 for r in rounds]
    half = [r for r in rounds if r < 5]
    estimate = _estimator({"ref": Runs.of(level, rounds)}).estimate(Runs.of([6.0] * len(half), half))
    assert estimate.latency_ms == pytest.approx(6.0 / 3.0 * 2.0)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        rounds = np.repeat(np.arange(15), 4)
        state = rng.uniform(0, 0.05, 15)[rounds]  # shared by the runs of a round, not shared with the reference

        def noisy(rng: np.random.Generator = rng, size: int = len(rounds)) -> np.ndarray:
            return 1 + 0.05 * np.abs(rng.standard_normal(size))

        other = rng.uniform(0, 0.05, 15)[rounds]
        estimator = _estimator({"ref": Runs.of((noisy() + other).tolist(), rounds.tolist())}, 1.0)
        interval = estimator.estimate(Runs.of((noisy() + state).tolist(), rounds.tolist())).interval_ms
        assert interval is not None
        covered += interval[0] <= 1.0 <= interval[1]
    assert 82 <= covered <= 100


def test_few_rounds_have_no_interval() -> None:
    estimate = _estimator({"ref": Runs.of([1.0, 1.0], [0, 1])}).estimate(Runs.of([1.0, 1.1], [0, 1]))
    assert estimate.interval_ms is None and estimate.latency_ms > 0


def test_uniform_slowdown_is_no_drift_but_a_changed_share_or_a_far_level_is() -> None:
    nominals = {"a": 1.0, "b": 2.0, "c": 3.0}
    assert judge_references({"a": 1.1, "b": 2.2, "c": 3.3}, nominals, _SETTINGS) == ()
    (share,) = judge_references({"a": 1.1, "b": 2.0, "c": 3.0}, nominals, _SETTINGS)
    assert "reference a" in share
    (level,) = judge_references({"a": 1.5, "b": 3.0, "c": 4.5}, nominals, _SETTINGS)
    assert "1.50 x" in level
