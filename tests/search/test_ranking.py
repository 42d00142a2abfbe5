"""The search's generations, over a made-up table and made-up trainings."""

import numpy as np
import pytest

from latency.testing import made_up_table
from mnas.errors import StudyError, TrainingError
from search.executors.executor import InProcessExecutor, Outcome
from search.goal import set_goal
from search.pareto import front_indices, hypervolume
from search.ranking import Ranking
from search.result import load_result
from search.reward import mnasnet_reward
from search.study import Study
from search.testing import MadeUpTraining


@pytest.fixture(scope="module")
def table():
    from mnas.spaces.presets import open_space

    return made_up_table(open_space("mobilenetv3", "digits"))


def ranking(context, table):
    return Ranking(context, table, set_goal(context.space, table, None, context.config.seed, 10))


def run(context, table):
    return [candidate.to_json() for candidate in ranking(context, table).run()]


def slowest(candidates, generation):
    """The candidates of a generation in the order in which they are trained."""
    own = [one for one in candidates if one.generation == generation]
    return sorted(own, key=lambda one: -one.predicted_ms)


def test_candidates_are_numbered_priced_and_rewarded(make_study, table):
    context = make_study(budget=10, population=4, alpha=-0.1, beta=-0.5)
    goal = set_goal(context.space, table, None, context.config.seed, 10)
    candidates = Ranking(context, table, goal).run()
    assert [(one.number, one.generation) for one in candidates] == [(i, i // 4) for i in range(10)]
    assert len({one.arch_id for one in candidates}) == 10
    for one in candidates:
        architecture = context.space.decode(one.genome)
        assert one.arch_id == architecture.arch_id
        assert one.predicted_ms == pytest.approx(table.estimate([architecture])[0].ms)
        assert one.reward == mnasnet_reward(1 - one.error, one.predicted_ms, goal.target_ms, -0.1, -0.5)
        assert (one.status, one.latency_source, one.reason) == ("done", "lut", "")
    assert {one.seed for one in candidates} == {job.seed for job in context.executor.trained}
    generations = load_result(context.store, "").generations
    assert [payload["evaluations"] for payload in generations] == [4, 8, 10]
    for payload in generations:
        objectives = np.asarray([one.objectives for one in candidates[: payload["evaluations"]]])
        assert payload["hypervolume"] == hypervolume(objectives, goal.reference_point)
        assert payload["front"] == len(front_indices(objectives))


@pytest.mark.parametrize("algorithm", ["nsga2", "random", "ppo", "reinforce"])
def test_an_interrupted_search_replays_to_the_same_candidates(make_study, table, algorithm):
    keys = {"budget": 14, "population": 4, "seed": 5, "algorithm": algorithm}
    whole = run(make_study(**keys), table)
    for stop_after in (0, 1, 4, 7, 13):
        context = make_study(MadeUpTraining(stop_after=stop_after), **keys)
        with pytest.raises(KeyboardInterrupt):
            ranking(context, table).run()
        assert len(context.log.payloads("evaluated")) == stop_after
        again = make_study(study=Study(context.store, context.study_id, context.config))
        assert run(again, table) == whole
        assert len(again.executor.trained) == 14 - stop_after


def test_the_result_belongs_to_the_seed(make_study, table):
    first, again, other = (run(make_study(budget=8, population=4, seed=seed), table) for seed in (1, 1, 2))
    assert first == again and first != other


def test_a_larger_budget_evaluates_only_what_is_new(make_study, table, store):
    small = make_study(budget=6, population=4)
    run(small, table)
    study = Study.resume(store, small.study_id, {"budget": 16}, small.reporter)
    large = make_study(study=study)
    assert run(large, table) == run(make_study(budget=16, population=4), table)
    assert len(large.executor.trained) == 10
    generations = load_result(store, small.study_id).generations
    assert [payload["evaluations"] for payload in generations] == [4, 6, 8, 12, 16]
    volumes = [payload["hypervolume"] for payload in generations]
    assert volumes == sorted(volumes)


def test_outcomes_may_come_in_any_order(make_study, table):
    """Told in ask order, whoever finishes first."""

    class Backwards(MadeUpTraining):
        def map_in_order(self, jobs, on_done=None):
            def told(index, outcome):
                on_done(len(jobs) - 1 - index, outcome)

            return super().map_in_order(jobs[::-1], told)[::-1]

    keys = {"budget": 12, "population": 4}
    backwards = make_study(Backwards(), **keys)
    assert run(backwards, table) == run(make_study(**keys), table)
    assert list(backwards.log.payloads("evaluated")) != [
        one.arch_id for one in load_result(backwards.store, backwards.study_id).candidates
    ]


def test_a_failed_candidate_is_kept_with_its_reason_and_the_search_goes_on(make_study, table):
    context = make_study(MadeUpTraining({1: "TRN01: loss is NaN", 5: "TRN01: loss is NaN"}), budget=12, population=4)
    candidates = ranking(context, table).run()
    failed = [one for one in candidates if one.status == "failed"]
    assert failed == sorted((slowest(candidates, 0)[1], slowest(candidates, 1)[1]), key=lambda one: one.number)
    assert len(candidates) == 12
    for one in failed:
        assert (one.error, one.loss, one.reward) == (None, None, None)
        assert one.objectives == (1.0, one.predicted_ms)
        assert "loss is NaN" in one.reason and one.arch_id[:12] in one.reason
    assert len(context.reporter.warnings) == 2
    again = make_study(study=Study(context.store, context.study_id, context.config))
    assert ranking(again, table).run() == candidates and again.executor.trained == []


def test_a_lost_worker_fails_its_own_candidate_only(make_study, table):
    class Losing(MadeUpTraining):
        def map_in_order(self, jobs, on_done=None):
            def told(index, outcome):
                on_done(index, outcome if index else Outcome(error_message="ended by signal 9", is_lost=True))

            return super().map_in_order(jobs, told)

    candidates = ranking(make_study(Losing(), budget=8, population=4), table).run()
    failed = [one for one in candidates if one.status == "failed"]
    assert failed == [slowest(candidates, 0)[0], slowest(candidates, 1)[0]]
    assert all("signal 9" in one.reason for one in failed)


def test_what_is_no_networks_fault_stops_the_search_and_is_held_against_none(make_study, table, tmp_path):
    class Losing(MadeUpTraining):
        def map_in_order(self, jobs, on_done=None):
            def told(index, outcome):
                on_done(index, outcome if index < 2 else Outcome(error_message="DataError: DAT01: no such file"))

            return super().map_in_order(jobs, told)

    context = make_study(Losing(), budget=8, population=4)
    with pytest.raises(TrainingError, match=r"TRN05.*DAT01.*same command again, a search with --resume"):
        ranking(context, table).run()
    assert [one["status"] for one in context.log.payloads("evaluated").values()] == ["done"] * 2
    again = make_study(study=Study(context.store, context.study_id, context.config))
    assert [one.status for one in ranking(again, table).run()] == ["done"] * 8 and len(again.executor.trained) == 6
    missing = make_study(InProcessExecutor(), budget=8, population=4, data="cifar10", data_dir=str(tmp_path))
    with pytest.raises(TrainingError, match=r"TRN05.*DataError"):
        ranking(missing, table).run()
    assert not missing.log.payloads("evaluated")


def test_a_search_in_which_everything_fails_says_why(make_study, table):
    context = make_study(MadeUpTraining(dict.fromkeys(range(8), "TRN01: loss is NaN")), budget=8, population=4)
    with pytest.raises(StudyError, match=r"STU03.*loss is NaN") as caught:
        ranking(context, table).run()
    assert caught.value.exit_code == 6
    assert len(context.log.payloads("evaluated")) == 8


def test_patience_ends_a_search_that_gains_nothing(make_study, table):
    class Flat(MadeUpTraining):
        """Every network is as bad as chance, so the hypervolume stays 0."""

        def _train(self, job):
            found = super()._train(job)
            found.errors["rank-val"] = 0.95
            return found

    patient = make_study(Flat(), budget=40, population=4, patience=3)
    assert len(ranking(patient, table).run()) == 12
    assert len(ranking(make_study(Flat(), budget=40, population=4), table).run()) == 40


def test_a_candidate_takes_little_room(make_study, table, store):
    context = make_study(budget=8, population=4)
    ranking(context, table).run()
    sizes = store.query("SELECT length(payload_json) AS bytes FROM event WHERE kind = 'evaluated'")
    assert len(sizes) == 8 and max(row["bytes"] for row in sizes) <= 2048
