"""Pareto ranking against oracles and closed forms."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.pareto import crowding_distance, front_indices, front_ranks, hypervolume, thin_front

GRIDS = st.integers(2, 3).flatmap(
    lambda width: st.lists(st.tuples(*[st.integers(0, 4)] * width), min_size=0, max_size=14)
)
PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=14)


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def oracle_ranks(rows):
    """Peel off one front after the other, by definition."""
    ranks, left, rank = {}, set(range(len(rows))), 0
    while left:
        front = {i for i in left if not any(dominates(rows[j], rows[i]) for j in left)}
        ranks |= dict.fromkeys(front, rank)
        left, rank = left - front, rank + 1
    return [ranks[i] for i in range(len(rows))]


def unit_cells(rows, point):
    """Volume on an integer grid: count the cells that a row dominates."""
    cells = itertools.product(*(range(side) for side in point))
    return sum(any(all(x <= c for x, c in zip(row, cell, strict=True)) for row in rows) for cell in cells)


@given(GRIDS)
def test_ranks_agree_with_their_definition(rows):
    assert front_ranks(np.asarray(rows)).tolist() == oracle_ranks(rows)


@given(PAIRS)
def test_the_front_is_ordered_by_latency_and_keeps_equal_rows(rows):
    front = front_indices(np.asarray(rows))
    assert sorted(front) == [i for i, rank in enumerate(oracle_ranks(rows)) if rank == 0]
    assert [rows[i][::-1] for i in front] == sorted(rows[i][::-1] for i in front)


def test_of_nothing_there_is_no_front():
    assert front_ranks(np.empty((0, 2))).tolist() == [] == front_indices(np.empty((0, 2)))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], 0),
        ([(0.2, 3)], 0.8 * 2),
        ([(0.2, 3), (0.2, 3)], 0.8 * 2),
        ([(0.2, 3), (0.5, 1)], 0.8 * 2 + 0.5 * 2),
        ([(0.2, 3), (0.5, 1), (0.4, 2)], 0.8 * 2 + 0.6 * 1 + 0.5 * 1),
        ([(0.2, 3), (0.3, 4)], 0.8 * 2),
        ([(0.2, 3), (1.0, 0), (0.0, 5), (2, 9)], 0.8 * 2),
        ([(1.0, 5.0)], 0),
        ([(0, 0)], 5),
    ],
)
def test_hypervolume_in_closed_form(rows, expected):
    assert hypervolume(np.asarray(rows, dtype=float), (1.0, 5.0)) == pytest.approx(expected, abs=1e-12)


@given(GRIDS, st.randoms(use_true_random=False))
def test_hypervolume_counts_cells_in_any_order_of_rows(rows, random):
    point = (4,) * (len(rows[0]) if rows else 2)
    volume = hypervolume(np.asarray(rows), point)
    shuffled = random.sample(rows, len(rows))
    assert volume == pytest.approx(unit_cells(rows, point))
    assert hypervolume(np.asarray(shuffled), point) == pytest.approx(volume)
    assert hypervolume(np.asarray(rows + rows[:2]), point) == pytest.approx(volume)


def test_crowding_in_closed_form():
    rows = np.asarray([(0, 10), (1, 6), (4, 5), (10, 0)], dtype=float)
    assert crowding_distance(rows).tolist() == [
        math.inf,
        pytest.approx(4 / 10 + 5 / 10),
        pytest.approx(9 / 10 + 6 / 10),
        math.inf,
    ]
    order = [2, 0, 3, 1]
    assert crowding_distance(rows[order]).tolist() == crowding_distance(rows)[order].tolist()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (np.empty((0, 2)), []),
        ([(1, 1)], [0]),
        ([(1, 1), (1, 1), (1, 1)], [0, 0, 0]),
        ([(0, 1), (1, 0)], [math.inf, math.inf]),
        ([(0, 5), (1, 5), (2, 5)], [math.inf, 1, math.inf]),
    ],
)
def test_crowding_without_spread(rows, expected):
    assert crowding_distance(np.asarray(rows, dtype=float)).tolist() == expected


@given(PAIRS, st.integers(1, 8), st.data())
def test_a_thinned_front_keeps_its_ends_and_what_it_must(rows, count, data):
    front = sorted({rows[i] for i in front_indices(np.asarray(rows))})
    keep = tuple(data.draw(st.sets(st.integers(0, len(front) - 1), max_size=1)))
    kept = thin_front(np.asarray(front, dtype=float), count, keep)
    assert kept == sorted(set(kept)) and len(kept) == min(count, len(front))
    assert set(keep) <= set(kept)
    if count >= 2 + len(keep) and len(front) > 1:
        assert {0, len(front) - 1} <= set(kept)


def test_thinning_drops_the_most_crowded_first():
    rows = np.asarray([(0, 10), (1, 9), (1.5, 8.5), (5, 5), (10, 0)], dtype=float)
    assert thin_front(rows, 4) == [0, 2, 3, 4]
    assert thin_front(rows, 4, keep=(1,)) == [0, 1, 3, 4]
    assert thin_front(rows, 1, keep=(0,)) == [0]
    assert thin_front(rows, 9) == [0, 1, 2, 3, 4]
