"""What is recommended, what ties, and that test waits for it."""

import math
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.errors import StudyError
from search.accuracy.jobs import TrainingOutcome
from search.candidate import Candidate
from search.goal import Goal
from search.recommend import Judged, latency_ties_of, read_test, recommend, seed_noise, ties_of
from search.testing import ShortTraining

GOAL = Goal(2.0, "asked", 0.5, 9.0, (0.9, 9.0))


def judged(name, errors, ms):
    return Judged(name, tuple(errors), ms, (0.98 * ms, 1.02 * ms))


def test_seed_noise_is_the_pooled_sd_within_networks():
    """Variances 0.0002, 0.0008 and, of three seeds, 0.0001; the network with one seed says nothing."""
    networks = [
        judged("a", (0.10, 0.12), 1),
        judged("b", (0.20, 0.24), 2),
        judged("c", (0.30, 0.31, 0.32), 3),
        judged("d", (0.9,), 4),
    ]
    assert seed_noise(networks) == pytest.approx(math.sqrt((0.0002 + 0.0008 + 0.0001) / 3))
    assert seed_noise(networks[3:]) is None and seed_noise([]) is None
    assert seed_noise([judged("a", (0.1, 0.1), 1)]) == 0


def test_neighbours_tie_within_two_standard_errors():
    """Noise sqrt(0.0002) = 0.014142; of two means of two seeds: standard error 0.014142, so 0.028284 decides."""
    fast, middle, slow = (
        judged(name, (mean - 0.01, mean + 0.01), ms)
        for name, mean, ms in (("fast", 0.200, 1), ("middle", 0.172, 2), ("slow", 0.143, 3))
    )
    assert seed_noise([fast, middle, slow]) == pytest.approx(0.0141421, rel=1e-4)
    assert ties_of([slow, fast, middle]) == [("fast", "middle")]
    assert ties_of([fast, slow]) == []
    assert ties_of([judged("a", (0.1,), 1), judged("b", (0.1,), 2)]) == []
    assert ties_of([judged("a", (0.1, 0.1), 1), judged("b", (0.1, 0.1), 2)]) == [("a", "b")]
    assert ties_of([judged("a", (0.1, 0.1), 1), judged("b", (0.2, 0.2), 2)]) == []


@given(
    st.lists(st.tuples(st.lists(st.floats(0, 1), min_size=1, max_size=3), st.floats(0.1, 9)), max_size=7),
    st.randoms(use_true_random=False),
)
def test_ties_are_pairs_of_neighbours_in_any_order_of_the_finalists(found, random):
    networks = [judged(str(place), errors, ms + place * 10) for place, (errors, ms) in enumerate(found)]
    ties = ties_of(networks)
    assert all(int(second) == int(first) + 1 for first, second in ties)
    assert ties_of(random.sample(networks, len(networks))) == ties


def finalist(context, number):
    genome = context.space.extremes()[number]
    return Candidate(
        number=number,
        arch_id=context.architecture(genome).arch_id,
        genome=genome,
        generation=0,
        predicted_ms=1.0 + number,
        latency_source="lut",
        status="done",
        error=0.1,
        loss=0.1,
        accuracy_source="made up",
        reward=0.9,
        seed=1,
        cost_s=1.0,
    )


def append_training(context, one, errors):
    for repeat, error in enumerate(errors):
        outcome = TrainingOutcome({"val": error}, {"val": error}, {"val": 100}, 0.1, 1.0, repeat)
        context.log.append("trained", asdict(outcome), f"{one.arch_id}/{repeat}")


def append_measured(context, latencies):
    networks = {
        arch_id: {"ms": ms, "low_ms": 0.98 * (ms or 0), "high_ms": 1.02 * (ms or 0)}
        for arch_id, ms in latencies.items()
    }
    context.log.append("measured", {"networks": networks})


def test_val_and_measured_latency_decide(make_study):
    context = make_study(finalist_seeds=2)
    small, large = finalist(context, 0), finalist(context, 1)
    append_training(context, small, (0.30, 0.32))
    append_training(context, large, (0.10, 0.12))
    for one in (small, large):
        context.log.append("exported", {}, one.arch_id)
    append_measured(context, {small.arch_id: 1.9, large.arch_id: 2.1})
    found = recommend(context, [small, large], GOAL)
    assert found["members"] == [small.arch_id, large.arch_id]
    assert found["best_under_target"] == small.arch_id
    assert found["seed_noise"] == pytest.approx(math.sqrt(0.0002))
    assert found["ties"] == []
    judged_large = found["finalists"][large.arch_id]
    assert (judged_large["val_errors"], judged_large["ms"]) == ([0.10, 0.12], 2.1)
    assert found["latency_ties"] == []
    assert recommend(context, [small], GOAL) == found, "what is written stands"


def test_a_network_that_was_not_measured_or_not_exported_is_not_recommended(make_study):
    context = make_study(finalist_seeds=1)
    small, large = finalist(context, 0), finalist(context, 1)
    for one in (small, large):
        append_training(context, one, (0.3,))
    context.log.append("exported", {}, large.arch_id)
    append_measured(context, {large.arch_id: None, small.arch_id: 1.0})
    found = recommend(context, [small, large], GOAL)
    assert (found["members"], found["finalists"], found["best_under_target"]) == ([], {}, None)


def test_neighbours_whose_intervals_overlap_tie_in_latency():
    networks = [judged("a", (0.3,), 1.0), judged("b", (0.2,), 1.03), judged("c", (0.1,), 1.2)]
    assert latency_ties_of(networks[::-1]) == [("a", "b")]


def test_a_dominated_finalist_is_not_recommended_and_nothing_may_meet_the_target(make_study):
    context = make_study(finalist_seeds=1)
    small, large = finalist(context, 0), finalist(context, 1)
    for one, errors in ((small, (0.1,)), (large, (0.3,))):
        append_training(context, one, errors)
        context.log.append("exported", {}, one.arch_id)
    append_measured(context, {small.arch_id: 4.0, large.arch_id: 5.0})
    found = recommend(context, [small, large], GOAL)
    assert (found["members"], found["best_under_target"]) == ([small.arch_id], None)


def test_test_may_not_be_read_before_something_is_recommended(make_study):
    context = make_study(ShortTraining(), finalist_seeds=1)
    one = finalist(context, 0)
    append_training(context, one, (0.1,))
    with pytest.raises(StudyError, match="STU05"):
        read_test(context, [one])
    assert context.executor.jobs == [] and context.log.payloads("tested") == {}
