"""What a study has found so far, at every stage that it can be stopped in."""

import json
from dataclasses import asdict, replace

import pytest

from latency.testing import made_up_table
from mnas.errors import StudyError
from search.accuracy.jobs import TrainingOutcome
from search.goal import set_goal
from search.ranking import Ranking
from search.result import load_result
from search.training.trainer import Evaluation


@pytest.fixture
def searched(make_study):
    """A study whose candidates are known and no more, with two of them."""
    context = make_study(budget=4, population=4, finalist_seeds=3)
    table = made_up_table(context.space)
    goal = set_goal(context.space, table, None, 0, 10)
    context.log.append("goal", goal.to_json())
    return context, Ranking(context, table, goal).run()[:2]


def test_a_study_that_has_just_begun_has_no_front(make_study):
    context = make_study()
    result = load_result(context.store, "")
    assert (result.study_id, result.status) == (context.study_id, "running")
    assert (result.candidates, result.members, result.goal, result.lut_id) == ((), (), None, None)
    assert result.front_json()["members"] == [] and result.front_json()["target_ms"] is None


def test_no_study_at_all_is_an_error(store):
    with pytest.raises(StudyError, match=r"STU01.*newest"):
        load_result(store, "")


def test_members_of_a_study_stopped_after_the_choice_know_their_candidate_alone(searched):
    context, (first, second) = searched
    context.log.append("finalists", {"members": [second.arch_id, first.arch_id]})
    members = load_result(context.store, "").members
    assert [member.candidate for member in members] == [second, first]
    for member in members:
        assert (member.measured_ms, member.interval_ms, member.val_error, member.test_error) == (None,) * 4
        assert (member.export, member.is_recommended, member.ties_with) == (None, False, ())
        assert json.loads(json.dumps(member.to_json()))["predicted_ms"] == member.candidate.predicted_ms


def test_seeds_and_errors_stay_side_by_side_when_a_training_failed(searched):
    """The first of three trainings fails, the third is exported; what is told of it is told of the right seed."""
    context, (first, second) = searched
    log = context.log
    log.append("finalists", {"members": [first.arch_id, second.arch_id]})
    whole = TrainingOutcome({"val": 0.3}, {"val": 1.0}, {"val": 206}, 0.1, 1.0, seed=11)
    third = replace(whole, errors={"val": 0.1}, seed=12)
    for repeat, outcome in enumerate((TrainingOutcome(seed=10, error_message="no memory"), whole, third)):
        log.append("trained", asdict(outcome), f"{first.arch_id}/{repeat}")
    log.append("exported", {"folder": f"exports/{first.arch_id[:12]}", "repeat": 2}, first.arch_id)
    measured = {"ms": 1.5, "low_ms": 1.4, "high_ms": 1.7, "verdict": "noisy"}
    unmeasured = {"ms": None, "low_ms": 0.0, "high_ms": 0.0, "verdict": "invalid"}
    log.append("measured", {"networks": {first.arch_id: measured, second.arch_id: unmeasured}})
    ties = [[first.arch_id, second.arch_id]]
    log.append("recommended", {"members": [first.arch_id], "ties": ties, "best_under_target": first.arch_id})
    for repeat, error in ((2, 0.2), (1, 0.4)):
        log.append("tested", asdict(Evaluation(error, 1.0, 192)), f"{first.arch_id}/{repeat}")
    member, other = load_result(context.store, "").members
    assert (member.seeds, member.val_errors, member.test_errors) == ((11, 12), (0.3, 0.1), (0.4, 0.2))
    assert (member.exported_test_error, member.exported_seed) == (0.2, 12)
    assert (member.val_error, member.test_error) == (pytest.approx(0.2), pytest.approx(0.3))
    assert (member.val_images, member.test_images) == (206, 192)
    assert (member.measured_ms, member.interval_ms, member.verdict) == (1.5, (1.4, 1.7), "noisy")
    assert (member.is_recommended, member.ties_with) == (True, (second.arch_id,))
    assert (other.measured_ms, other.interval_ms, other.ties_with) == (None, None, (first.arch_id,))
    assert load_result(context.store, "").front_json()["best_under_target"] == first.arch_id
