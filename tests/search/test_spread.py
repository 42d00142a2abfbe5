"""Choosing by latency before accuracy is paid for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from search.algorithms.spread import spread_by_latency

LATENCIES = st.lists(st.floats(1e-3, 1e3), min_size=0, max_size=60).map(np.asarray)


@given(LATENCIES, st.integers(1, 20), st.integers(0, 5))
def test_as_many_as_asked_for_all_distinct_and_both_ends(latencies, count, seed):
    chosen = spread_by_latency(latencies, count, np.random.default_rng(seed))
    assert chosen == sorted(set(chosen)) and len(chosen) == min(count, len(latencies))
    assert all(0 <= i < len(latencies) for i in chosen)
    if len(latencies) and count >= 2:
        assert {latencies.min(), latencies.max()} <= set(latencies[chosen])
    assert spread_by_latency(latencies, count, np.random.default_rng(seed)) == chosen


def test_every_part_of_the_range_is_covered_however_crowded_another_is():
    latencies = np.concatenate([np.linspace(1, 1.01, 500), [1.5, 3, 5, 9, 16]])
    for seed in range(5):
        chosen = spread_by_latency(latencies, 6, np.random.default_rng(seed))
        assert set(range(501, 505)) <= set(chosen)


def test_what_is_drawn_moves_with_the_seed():
    latencies = np.geomspace(1, 100, 400)
    draws = {tuple(spread_by_latency(latencies, 5, np.random.default_rng(seed))) for seed in range(6)}
    assert len(draws) == 6
    assert all({0, 399} <= set(draw) for draw in draws)


def test_equal_latencies_give_a_full_draw():
    assert len(set(spread_by_latency(np.full(30, 2.5), 7, np.random.default_rng(0)))) == 7
