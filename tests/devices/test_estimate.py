from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.estimate import Estimate, RatioEstimator, Reference, Runs
from devices.protocol import ProtocolSettings
from devices.resampling import interquartile_means, join_small, two_stage_counts, weighted_median
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


def test_estimate_is_the_middle_of_what_rounds_say_times_the_nominal() -> None:
    rng = np.random.default_rng(0)
    rounds = list(range(10)) * 3
    model, one, two, three = (rng.uniform(1, 2, 30) for _ in range(4))
    references = {str(n): Runs.of(values.tolist(), rounds) for n, values in enumerate((one, two, three))}
    estimate = _estimator(references).estimate(Runs.of(model.tolist(), rounds))

    def middle(values: np.ndarray) -> np.ndarray:
        return np.median(values.reshape(3, 10), axis=0)

    logs = np.sort(np.log(middle(model)) - np.median(np.log([middle(one), middle(two), middle(three)]), axis=0))
    expected = math.exp((logs[3:7].sum() + (logs[2] + logs[7]) / 2) / 5) * 2.0
    assert estimate.value == pytest.approx(expected)
    assert estimate.interval is not None
    assert estimate.interval[0] <= estimate.value <= estimate.interval[1]
    assert estimate.interval[0] < estimate.interval[1]


def test_one_reference_that_goes_its_own_way_is_left_aside() -> None:
    known = {str(n): _flat(1.0) for n in range(4)} | {"stray": _flat(3.0)}
    assert _estimator(known).estimate(_flat(5.0)).value == pytest.approx(10.0)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.lists(st.integers(0, 3), min_size=30, max_size=30))
def test_interquartile_mean_takes_each_value_as_often_as_it_was_drawn(values: list[float], counts: list[int]) -> None:
    drawn = counts[: len(values)]
    (found,) = interquartile_means(np.array(values), np.array([drawn]))
    repeated = sorted(v for v, c in zip(values, drawn, strict=True) for _ in range(4 * c))
    quarter = len(repeated) // 4
    if repeated:
        assert found == pytest.approx(np.mean(repeated[quarter:-quarter]), abs=1e-9)
    else:
        assert math.isnan(found)


def test_weighted_median_passes_over_what_is_not_there_and_follows_the_weights() -> None:
    values = np.array([1.0, math.nan, 2.0, 9.0])
    assert weighted_median(values, np.ones(4)) == 2.0
    assert weighted_median(values, np.array([1.0, 1.0, 1.0, 100.0])) > 8.5
    assert math.isnan(weighted_median(np.array([math.nan]), np.ones(1)))


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


def _blend(share: float, short: float, long: float) -> float:
    """Of two references, one a group: that of the other group has a quarter of the weight."""
    of_short, of_long = (0.25 + 0.75 * one for one in (1 - share, share))
    return float(np.exp((of_short * math.log(short) + of_long * math.log(long)) / (of_short + of_long)))


@given(st.floats(0.001, 1000), st.floats(0.5, 2), st.floats(0.5, 2))
def test_a_model_is_compared_with_references_of_its_own_length(ms: float, short: float, long: float) -> None:
    # Cached references nominally take 1 ms and streaming ones 4 ms; both groups are off by a factor of their own.
    known = [Reference(_flat(short), 1.0), Reference(_flat(4 * long), 4.0, "streaming")]
    found = RatioEstimator(known, quantile=0.2, resamples=20, seed=0).estimate(_flat(ms)).value
    if 4 * long <= short:
        expected = ms / _blend(0.5, short, long)
    elif ms <= short:
        expected = ms / _blend(0.0, short, long)
    elif ms >= 4 * long:
        expected = ms / _blend(1.0, short, long)
    else:
        share = math.log(ms / short) / math.log(4 * long / short)
        expected = ms / _blend(share, short, long)
    assert found == pytest.approx(expected)


def test_references_of_one_group_alone_are_what_every_model_is_compared_with() -> None:
    for group in ("cached", "streaming"):
        known = [Reference(_flat(2.0), 1.0, group)]
        for ms in (0.1, 2.0, 50.0):
            assert RatioEstimator(known, quantile=0.2, resamples=9, seed=0).estimate(_flat(ms)).value == pytest.approx(
                ms / 2
            )


def test_ratio_needs_no_reference_and_sees_what_both_share() -> None:
    rng = np.random.default_rng(1)
    rounds = list(range(30)) * 2
    state = np.tile(rng.uniform(1, 3, 30), 2)  # the machine's, the same for both models
    model, other = Runs.of((1.2 * state).tolist(), rounds), Runs.of(state.tolist(), rounds)
    found = _estimator({"ref": _flat(1.0, 30)}).ratio(model, other)
    assert found.value == pytest.approx(1.2)
    assert found.interval == pytest.approx((1.2, 1.2))


def _pair(rng: np.random.Generator, launch_sd: float, rounds: int = 8, launches: int = 4) -> tuple[Runs, Runs]:
    """Two models of one true time, whose rounds are noisy and whose launches each favour one of them."""
    of = np.repeat(np.arange(launches * rounds), 3)
    favour = np.exp(launch_sd * rng.standard_normal(launches))[of // rounds]
    model, other = (np.exp(0.03 * rng.standard_normal(launches * rounds))[of] for _ in range(2))
    return Runs.of((model * favour).tolist(), of.tolist()), Runs.of(other.tolist(), of.tolist())


@pytest.mark.parametrize("launch_sd", [0.0, 0.02])
def test_interval_of_a_ratio_covers_the_truth_and_is_no_wider_than_that_needs(launch_sd: float) -> None:
    covered, values, widths = 0, [], []
    launches = {number: number // 8 for number in range(32)}
    for seed in range(200):
        model, other = _pair(np.random.default_rng(seed), launch_sd)
        found = _estimator({"ref": _flat(1.0, 32)}, launches=launches, resamples=200).ratio(model, other)
        assert found.interval is not None
        covered += found.interval[0] <= 1.0 <= found.interval[1]
        values.append(math.log(found.value))
        widths.append(found.half_width)
    assert covered >= 176  # of 200; with four launches none can promise the full 95 %
    assert np.mean(widths) <= 1.5 * 1.96 * np.std(values)


def test_a_ratio_is_blind_to_what_slows_both_for_a_round_and_the_raw_one_is_not() -> None:
    rng = np.random.default_rng(3)
    rounds = [number for number in range(40) for _ in range(4)]
    slow = np.repeat(rng.choice([1.0, 1.5], 40), 4)
    model = Runs.of((1.2 * slow * rng.uniform(1, 1.01, 160)).tolist(), rounds)
    # The other was visited in the fast rounds only, but for one.
    kept = [place for place in range(160) if slow[place] == 1.0 or rounds[place] == 0]
    other = Runs.of([float(slow[place]) for place in kept], [rounds[place] for place in kept])
    found = _estimator({"ref": _flat(1.0, 40)}).ratio(model, other)
    assert found.value == pytest.approx(1.2 * 1.005, rel=0.004)
    assert found.interval is not None and found.interval[1] < 1.22


def test_a_ratio_without_a_common_round_is_none() -> None:
    found = _estimator({"ref": _flat(1.0)}).ratio(Runs.of([1.0], [0]), Runs.of([1.0], [1]))
    assert math.isnan(found.value) and found.interval is None


def test_raw_ratio_is_that_of_the_pooled_quantiles() -> None:
    rng = np.random.default_rng(4)
    rounds = list(range(20)) * 2
    model, other = rng.uniform(1, 2, 40), rng.uniform(2, 3, 40)
    found = _estimator({"ref": _flat(1.0, 20)}, quantile=0.9).raw_ratio(
        Runs.of(model.tolist(), rounds), Runs.of(other.tolist(), rounds)
    )
    assert found.value == pytest.approx(np.quantile(model, 0.9) / np.quantile(other, 0.9))


@pytest.mark.parametrize(
    ("launches", "expected"),
    [
        ([0] * 5 + [1] * 5 + [2], [0] * 5 + [1] * 6),
        ([0, 0] + [1] * 4, [1] * 6),
        ([0, 1, 2, 3], [2, 2, 2, 2]),
        ([4] * 3 + [5] * 3, [4] * 3 + [5] * 3),
        ([7], [7]),
        ([], []),
    ],
)
def test_a_launch_that_had_only_begun_counts_to_its_neighbour(launches: list[int], expected: list[int]) -> None:
    assert join_small(np.array(launches, dtype=np.int64)).tolist() == expected


def test_a_strange_round_of_a_new_launch_does_not_blow_up_the_interval() -> None:
    rng = np.random.default_rng(5)
    rounds = list(range(21))
    times = [*np.exp(0.02 * rng.standard_normal(20)).tolist(), 1.5]
    launches = {number: number // 5 for number in rounds}
    found = _estimator({"ref": _flat(1.0, 21)}, launches=launches).ratio(Runs.of(times, rounds), _flat(1.0, 21))
    assert found.interval is not None and found.interval[1] < 1.03


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
