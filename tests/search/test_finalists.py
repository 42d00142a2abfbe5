"""Which candidates become finalists."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.candidate import Candidate
from search.finalists import LEAST_FINALISTS, choose_finalists
from search.goal import Goal
from search.pareto import front_indices

GOAL = Goal(2.0, "asked", 0.5, 9.0, (0.9, 9.0))


def candidate(number, error, ms):
    return Candidate(
        number=number,
        arch_id=f"{number:064x}",
        genome=(number,),
        generation=0,
        predicted_ms=ms,
        latency_source="lut",
        status="done" if error is not None else "failed",
        error=error,
        loss=error,
        accuracy_source="made up",
        reward=None,
        seed=number,
        cost_s=1.0,
        reason="" if error is not None else "diverged",
    )


def candidates(*pairs):
    return [candidate(number, error, ms) for number, (error, ms) in enumerate(pairs)]


def numbers(chosen):
    return [one.number for one in chosen]


def test_the_front_comes_first_and_the_next_ranks_fill_up_to_five():
    found = candidates((0.5, 1), (0.3, 3), (0.6, 2), (0.4, 4), (0.55, 5), (0.9, 6), (0.95, 7))
    assert numbers(choose_finalists(found, 8, GOAL)) == [0, 2, 1, 3, 4]
    assert LEAST_FINALISTS == 5
    assert numbers(choose_finalists(found, 3, GOAL)) == [0, 1, 3]


def test_a_wide_front_is_thinned_but_for_its_ends_and_the_best_within_the_target():
    crowded = [(0.9 - 0.01 * i, 1 + 0.01 * i) for i in range(20)]
    found = candidates((0.95, 0.5), *crowded, (0.6, 1.99), (0.59, 2.01), (0.2, 8))
    for count in (4, 5, 7):
        chosen = numbers(choose_finalists(found, count, GOAL))
        assert len(chosen) == count and {0, 21, 23} <= set(chosen)
    assert numbers(choose_finalists(found, 1, GOAL)) == [21]
    assert numbers(choose_finalists(found, 1, replace(GOAL, target_ms=0.1))) in ([0], [23])


def test_failed_candidates_are_never_chosen():
    found = candidates((None, 0.1), (0.5, 1), (None, 0.2), (0.4, 2))
    assert numbers(choose_finalists(found, 8, GOAL)) == [1, 3]


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 9)), st.integers(1, 40)), min_size=1, max_size=40),
    st.integers(1, 10),
)
def test_whatever_there_is_the_best_within_the_target_is_among_the_fastest_first(pairs, count):
    found = candidates(*((None if error is None else error / 10, ms / 4) for error, ms in pairs), (0.7, 5.0))
    done = [one for one in found if one.error is not None]
    chosen = choose_finalists(found, count, GOAL)
    front = [done[i] for i in front_indices([one.objectives for one in done])]
    assert len(set(numbers(chosen))) == len(chosen)
    assert len(chosen) == min(count, max(len(front), min(LEAST_FINALISTS, len(done))))
    assert [one.predicted_ms for one in chosen] == sorted(one.predicted_ms for one in chosen)
    assert all(one in done for one in chosen)
    within = [one.objectives for one in done if one.predicted_ms <= GOAL.target_ms]
    if within:
        assert min(within) in [one.objectives for one in chosen]
    if len(front) <= count:
        assert set(numbers(front)) <= set(numbers(chosen))


def test_a_choice_does_not_depend_on_the_order_of_equal_candidates():
    found = candidates((0.5, 1), (0.4, 2), (0.3, 3), (0.2, 4), (0.1, 5), (0.05, 6))
    chosen = {one.arch_id for one in choose_finalists(found, 4, GOAL)}
    assert chosen == {one.arch_id for one in choose_finalists(found[::-1], 4, GOAL)}
    assert len(chosen) == 4


@pytest.mark.parametrize("status", ["done", "failed"])
def test_candidates_survive_json(status):
    one = candidate(3, 0.25 if status == "done" else None, 1.5)
    assert Candidate.from_json(one.to_json()) == one
