from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.estimate import Estimate, RatioEstimator, Reference, Runs, two_stage_counts
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


def _estimator(references: dict[str, Runs], nominal_ms: float = 2.0, **settings: Any) -> RatioEstimator:
    """References whose names begin with ``long`` stream."""
    known = [
        Reference(runs, nominal_ms, "streaming" if name.startswith("long") else "cached")
        for name, runs in references.items()
    ]
    return RatioEstimator(known, **{"quantile": 0.2, "resamples": 300, "seed": 0, **settings})


def test_estimate_is_quantile_over_geometric_mean_times_nominal() -> None:
    rng = np.random.default_rng(0)
    rounds = list(range(10)) * 3
    model, one, two = (rng.uniform(1, 2, 30) for _ in range(3))
    estimator = _estimator({"one": Runs.of(one.tolist(), rounds), "two": Runs.of(two.tolist(), rounds)})
    estimate = estimator.estimate(Runs.of(model.tolist(), rounds))
    expected = np.quantile(model, 0.2) / math.sqrt(np.quantile(one, 0.2) * np.quantile(two, 0.2)) * 2.0
    assert estimate.value == pytest.approx(expected)
    assert estimate.interval is not None
    assert estimate.interval[0] <= estimate.value <= estimate.interval[1]
    assert estimate.interval[0] < estimate.interval[1]


def test_a_model_of_some_rounds_is_compared_with_those_rounds() -> None:
    # The machine is three times slower in the first half, and the model was there in that half only.
    rounds = [r for r in range(10) for _ in range(4)]
    level = [3.0 if r < 5 else 1.0 for r in rounds]
    half = [r for r in rounds if r < 5]
    estimate = _estimator({"ref": Runs.of(level, rounds)}).estimate(Runs.of([6.0] * len(half), half))
    assert estimate.value == pytest.approx(6.0 / 3.0 * 2.0)


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
        interval = estimator.estimate(Runs.of((noisy() + state).tolist(), rounds.tolist())).interval
        assert interval is not None
        covered += interval[0] <= 1.0 <= interval[1]
    assert 82 <= covered <= 100


def test_few_rounds_have_no_interval() -> None:
    estimate = _estimator({"ref": Runs.of([1.0, 1.0], [0, 1])}).estimate(Runs.of([1.0, 1.1], [0, 1]))
    assert estimate.interval is None and estimate.value > 0


def test_uniform_slowdown_is_no_drift_but_a_changed_share_or_a_far_level_is() -> None:
    nominals = {"a": 1.0, "b": 2.0, "c": 3.0}
    assert judge_references({"a": 1.1, "b": 2.2, "c": 3.3}, nominals, _SETTINGS) == ()
    (share,) = judge_references({"a": 1.1, "b": 2.0, "c": 3.0}, nominals, _SETTINGS)
    assert "reference a" in share
    (level,) = judge_references({"a": 1.5, "b": 3.0, "c": 4.5}, nominals, _SETTINGS)
    assert "1.50 x" in level


def _flat(ms: float, rounds: int = 10) -> Runs:
    return Runs.of([ms] * rounds, list(range(rounds)))


@given(st.floats(0.001, 1000), st.floats(0.5, 2), st.floats(0.5, 2))
def test_a_model_is_compared_with_references_of_its_own_length(ms: float, short: float, long: float) -> None:
    # Cached references nominally take 1 ms and streaming ones 4 ms; both groups are off by a factor of their own.
    known = [Reference(_flat(short), 1.0), Reference(_flat(4 * long), 4.0, "streaming")]
    found = RatioEstimator(known, quantile=0.2, resamples=20, seed=0).estimate(_flat(ms)).value
    if 4 * long <= short:
        expected = ms / math.sqrt(short * long)
    elif ms <= short:
        expected = ms / short
    elif ms >= 4 * long:
        expected = ms / long
    else:
        share = math.log(ms / short) / math.log(4 * long / short)
        expected = ms / short ** (1 - share) / long**share
    assert found == pytest.approx(expected)


def test_references_of_one_group_alone_are_what_every_model_is_compared_with() -> None:
    for group in ("cached", "streaming"):
        known = [Reference(_flat(2.0), 1.0, group)]
        for ms in (0.1, 2.0, 50.0):
            assert RatioEstimator(known, quantile=0.2, resamples=9, seed=0).estimate(_flat(ms)).value == pytest.approx(
                ms / 2
            )


def test_correction_is_what_brings_times_to_the_nominals() -> None:
    known = [Reference(_flat(1.5), 1.0), Reference(_flat(8.0), 4.0, "streaming")]
    estimator = RatioEstimator(known, quantile=0.2, resamples=9, seed=0)
    for ms in (0.2, 3.0, 20.0):
        assert estimator.correction(_flat(ms)) * ms == pytest.approx(estimator.estimate(_flat(ms)).value)


def test_ratio_needs_no_reference_and_sees_what_both_share() -> None:
    rng = np.random.default_rng(1)
    rounds = list(range(30)) * 2
    state = np.tile(rng.uniform(1, 3, 30), 2)  # the machine's, the same for both models
    model, other = Runs.of((1.2 * state).tolist(), rounds), Runs.of(state.tolist(), rounds)
    found = _estimator({"ref": _flat(1.0, 30)}).ratio(model, other)
    assert found.value == pytest.approx(1.2)
    assert found.interval == pytest.approx((1.2, 1.2))


def test_rounds_are_drawn_within_launches_that_are_drawn() -> None:
    launches = np.array([0, 0, 0, 1, 1, 2])
    counts = two_stage_counts(launches, 4000, np.random.default_rng(0))
    assert counts[0].tolist() == [1] * 6
    first, second, third = counts[1:, :3].sum(1), counts[1:, 3:5].sum(1), counts[1:, 5]
    assert set(first % 3) == {0} and set(second % 2) == {0}
    assert np.all(first // 3 + second // 2 + third == 3)
    assert np.mean(third) == pytest.approx(1, abs=0.1)


def test_an_interval_covers_what_differs_from_launch_to_launch() -> None:
    # Where a process lies in memory moves a model by 3 % for as long as the process lives.
    covered, blind = 0, 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        rounds = np.repeat(np.arange(20), 3)
        place = np.exp(0.03 * rng.standard_normal(4))[rounds // 5]
        runs = Runs.of((place * (1 + 0.002 * rng.standard_normal(60))).tolist(), rounds.tolist())
        steady = {"ref": Runs.of([1.0] * 60, rounds.tolist())}
        launches = {number: number // 5 for number in range(20)}
        settings = {"quantile": 0.5}
        seen = _estimator(steady, 1.0, launches=launches, **settings).estimate(runs).interval
        unseen = _estimator(steady, 1.0, **settings).estimate(runs).interval
        assert seen is not None and unseen is not None
        covered += seen[0] <= 1.0 <= seen[1]
        blind += unseen[0] <= 1.0 <= unseen[1]
    assert covered >= 80 and blind < covered


def test_half_width_is_a_share_of_the_value() -> None:
    assert Estimate(2.0, (1.8, 2.2), 0.05).half_width == pytest.approx(0.1)
    assert Estimate(2.0, None, math.nan).half_width == math.inf
