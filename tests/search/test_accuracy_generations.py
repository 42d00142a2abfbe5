"""Halving and curve stopping within a search: decisions that depend on nothing but what was told, in ask order."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from latency.testing import made_up_table
from mnas.errors import ConfigError
from mnas.spaces.presets import open_space
from search.accuracy.async_halving import AsyncHalving
from search.accuracy.curve_stopping import CurveStopping, StoppedTraining, StopRule, bound_for, run_with_rule
from search.accuracy.generation import Told
from search.accuracy.halving import SuccessiveHalving, promoted, rungs_of
from search.accuracy.jobs import TrainingOutcome, run_training
from search.accuracy.proxy import ProxyTraining
from search.accuracy.testing import AccuracyEstimatorContract
from search.goal import set_goal
from search.ranking import Ranking
from search.study import Study
from search.testing import MadeUpTraining
from search.training.schedule import TrainingSchedule

SHORT = TrainingSchedule(256, 2, 32, lr=0.1, bn_images=100)
PROXY = ProxyTraining("digits", None, SHORT, study_seed=7)
SPACE = open_space("mobilenetv3", "digits")


@pytest.fixture(scope="module")
def table():
    return made_up_table(SPACE)


def network(seed=3):
    return SPACE.decode(SPACE.sample(np.random.default_rng(seed)))


class TestHalving(AccuracyEstimatorContract):
    def estimator(self):
        return SuccessiveHalving(rungs_of(PROXY, 2, 2, 1000), 2)

    def architectures(self):
        return network(3), network(4)


class TestAsyncHalving(AccuracyEstimatorContract):
    def estimator(self):
        return AsyncHalving(rungs_of(PROXY, 2, 2, 1000), 2)

    def architectures(self):
        return network(3), network(4)


class TestCurveStopping(AccuracyEstimatorContract):
    def estimator(self):
        return CurveStopping(PROXY, points=4)

    def architectures(self):
        return network(3), network(4)


class MadeUpCurves(MadeUpTraining):
    """Runs whose errors fall evenly from 1 to a number made up from the seed, under the rule that they are given."""

    def map_in_order(self, jobs, on_done=None):
        self._rules = [job.arguments[1] for job in jobs]
        plain = [replace(job, arguments=job.arguments[:1]) for job in jobs]

        def told(index, outcome):
            on_done(index, replace(outcome, value=self._under(self._rules[index], outcome.value)))

        return super().map_in_order(plain, told)

    def _under(self, rule, found):
        if not found.is_ok:
            return StoppedTraining(found)
        end, points = found.errors["rank-val"], 8
        errors = [1 - (1 - end) * (i + 1) / points for i in range(points)]
        for seen in range(1, points):
            verdict = rule.verdict(errors[:seen])
            if verdict is not None:
                errors = errors[:seen]
                break
        curve = [[float(i + 1), error, error] for i, error in enumerate(errors)]
        stopped = replace(found, errors={"rank-val": errors[-1]}, curve=curve)
        if len(errors) == points:
            return StoppedTraining(stopped)
        return StoppedTraining(stopped, float(len(errors)), verdict.mean, verdict.probability_below(rule.bound))


EXECUTORS = {"halving": MadeUpTraining, "curves": MadeUpCurves}


def run(context, table):
    goal = set_goal(context.space, table, None, context.config.seed, 10)
    return [candidate.to_json() for candidate in Ranking(context, table, goal).run()]


@pytest.mark.parametrize("accuracy", EXECUTORS)
def test_an_interrupted_search_decides_alike(make_study, table, accuracy):
    keys = {"budget": 27, "population": 9, "seed": 5, "accuracy": accuracy}
    first = make_study(EXECUTORS[accuracy](), **keys)
    whole = run(first, table)
    paid = len(first.executor.trained)
    for stop_after in (0, 3, 9, 12, 14, 22):
        context = make_study(EXECUTORS[accuracy](stop_after=stop_after), **keys)
        with pytest.raises(KeyboardInterrupt):
            run(context, table)
        again = make_study(EXECUTORS[accuracy](), study=Study(context.store, context.study_id, context.config))
        assert run(again, table) == whole
        assert len(again.executor.trained) == paid - stop_after


@pytest.mark.parametrize("accuracy", EXECUTORS)
def test_who_ends_first_decides_nothing(make_study, table, accuracy):
    class Backwards(EXECUTORS[accuracy]):
        def map_in_order(self, jobs, on_done=None):
            def told(index, outcome):
                on_done(len(jobs) - 1 - index, outcome)

            return super().map_in_order(jobs[::-1], told)[::-1]

    keys = {"budget": 18, "population": 9, "accuracy": accuracy}
    assert run(make_study(Backwards(), **keys), table) == run(make_study(EXECUTORS[accuracy](), **keys), table)


def test_halving_trains_one_in_three_on_and_marks_the_others(make_study, table):
    context = make_study(budget=9, population=9, accuracy="halving", training="normal")
    found = run(context, table)
    paid = Counter((job.schedule.train_images, job.schedule.epochs) for job in context.executor.trained)
    assert sorted(paid.items(), key=lambda item: -item[1]) == [((338, 4), 9), ((0, 4), 3), ((0, 12), 1)]
    sources = [one["accuracy_source"] for one in found]
    assert sum("rung 1 of 3" in source for source in sources) == 6
    assert sum("rung 2 of 3" in source for source in sources) == 2
    assert sum(source.startswith("halving:eta3") for source in sources) == 1
    assert sorted(one["cost_s"] for one in found) == [0.5] * 6 + [1.0] * 2 + [1.5]
    rungs = context.log.payloads("rung")
    assert len(rungs) == 13 and all(one["status"] == "done" for one in found)


def test_a_network_that_fails_on_a_rung_is_out_and_the_rest_goes_on(make_study, table):
    context = make_study(MadeUpTraining({0: "TRN01: loss is NaN"}), budget=9, population=9, accuracy="halving")
    found = run(context, table)
    assert [one["status"] for one in found].count("failed") == 1
    assert "loss is NaN" in next(one["reason"] for one in found if one["status"] == "failed")
    again = make_study(study=Study(context.store, context.study_id, context.config))
    assert run(again, table) == found and not again.executor.trained


class MadeUpOpenly(MadeUpTraining):
    """Runs what is added on the way as well; the last that is waiting comes first, as no executor promises an order."""

    def map_in_order(self, jobs, on_done=None):
        outcomes, waiting, known = {}, [], 0
        while len(outcomes) < len(jobs):
            waiting += range(known, len(jobs))
            known = len(jobs)
            index = waiting.pop()
            (outcomes[index],) = super().map_in_order([jobs[index]])
            on_done(index, outcomes[index])
        return [outcomes[index] for index in range(len(jobs))]


def test_halving_that_does_not_wait_pays_for_each_rung_once_and_ends_with_a_winner(make_study, table):
    context = make_study(MadeUpOpenly(), budget=18, population=9, accuracy="halving-async", training="normal")
    found = run(context, table)
    assert len(found) == 18 and all(one["status"] == "done" for one in found)
    assert set(Counter(job.seed for job in context.executor.trained).values()) == {1}
    by_rung = Counter((job.schedule.train_images, job.schedule.epochs) for job in context.executor.trained)
    assert by_rung[(338, 4)] == 18 and 18 > by_rung[(0, 4)] > by_rung[(0, 12)] >= 1
    sources = [one["accuracy_source"] for one in found]
    assert sum(source.startswith("halving-async:eta3") for source in sources) == by_rung[(0, 12)]


@pytest.mark.parametrize("stop_after", [0, 4, 12, 20])
def test_halving_that_does_not_wait_loses_nothing_when_interrupted(make_study, table, stop_after):
    keys = {"budget": 18, "population": 9, "accuracy": "halving-async"}
    context = make_study(MadeUpOpenly(stop_after=stop_after), **keys)
    with pytest.raises(KeyboardInterrupt):
        run(context, table)
    again = make_study(MadeUpOpenly(), study=Study(context.store, context.study_id, context.config))
    found = run(again, table)
    assert len(found) == 18 and all(one["status"] == "done" for one in found)
    seeds = [job.seed for job in context.executor.trained + again.executor.trained]
    assert len(seeds) == len(set(seeds)), "nothing is paid for twice"


def test_a_failure_on_a_rung_does_not_hold_the_others_up(make_study, table):
    failing = {number: "TRN01: loss is NaN" for number in range(8)}
    context = make_study(MadeUpOpenly(failing), budget=9, population=9, accuracy="halving-async")
    statuses = [one["status"] for one in run(context, table)]
    assert statuses.count("failed") == 8 and statuses.count("done") == 1


def rung(loss, ms):
    return {"estimate": {"loss": loss}, "predicted_ms": ms}


def test_promotion_is_by_front_then_by_loss():
    own = [rung(0.5, 1.0), rung(0.4, 2.0), rung(0.6, 3.0), rung(0.3, 4.0)]
    assert promoted(own, [], 2) == [1, 3]
    assert promoted(own, [], 3) == [0, 1, 3]
    # A better network of an earlier generation pushes number 1 behind the front, and is not chosen itself.
    assert promoted(own, [rung(0.35, 1.5)], 2) == [0, 3]
    assert promoted(own[:1], [rung(0.1, 0.1)], 1) == [0]


def test_rungs_divide_epochs_then_images():
    found = rungs_of(replace(PROXY, schedule=replace(SHORT, epochs=9, train_images=0)), 3, 4, 1200)
    assert [(one.schedule.train_images, one.schedule.epochs) for one in found] == [(400, 1), (0, 1), (0, 3), (0, 9)]
    assert found[-1].schedule == replace(SHORT, epochs=9, train_images=0)
    assert len({one.fidelity for one in found}) == 4
    with pytest.raises(ConfigError, match="CFG50"):
        rungs_of(PROXY, 3, 4, 1200)


def test_the_bound_is_the_front_at_that_latency():
    told = [Told(0, "a", 1.0, 0.4), Told(1, "b", 2.0, 0.2), Told(2, "c", 1.5, None), Told(3, "d", 3.0, 0.3)]
    assert [bound_for(ms, told) for ms in (0.5, 1.0, 1.9, 2.0, 9.0)] == [1.0, 0.4, 0.4, 0.2, 0.2]


def test_curves_stop_what_cannot_reach_the_front_and_say_how_sure_that_is(make_study, table):
    context = make_study(MadeUpCurves(), budget=36, population=9, accuracy="curves")
    found = {one["arch_id"]: one for one in run(context, table)}
    curves = context.log.payloads("curve")
    stopped = {key: one for key, one in curves.items() if one["stopped_epochs"] is not None}
    assert len(curves) == 36 and len(stopped) > 9
    for key, one in stopped.items():
        assert one["p_wrong"] < 0.05 and one["expected_error"] > one["bound"] and one["completed"] >= 6
        assert found[key]["generation"] > 0 and "stopped at" in found[key]["accuracy_source"]
        assert found[key]["error"] == pytest.approx(one["curve"][-1][1], abs=1e-6)
    assert all("stopped" not in one["accuracy_source"] for key, one in found.items() if key not in stopped)


def test_a_rule_without_a_bound_changes_nothing_and_one_out_of_reach_stops():
    job = CurveStopping(PROXY, points=4).training_job(network())
    plain = run_training(job)
    completed = tuple((0.9, 0.8, 0.7, 0.2 + i / 1000) for i in range(8))
    free = run_with_rule(job, StopRule(1.0, completed, 0.05))
    assert free.stopped_epochs is None and replace(free.training, cost_s=0) == replace(plain, cost_s=0)
    stopped = run_with_rule(job, StopRule(0.01, completed, 0.05))
    assert stopped.stopped_epochs == pytest.approx(0.5) and stopped.p_wrong < 0.05
    assert len(stopped.training.curve) == 2 and stopped.training.errors["rank-val"] > 0.01


def test_a_diverging_run_is_an_outcome():
    job = CurveStopping(replace(PROXY, schedule=replace(SHORT, lr=1e30)), points=4).training_job(network())
    found = run_with_rule(job, StopRule(0.5, (), 0.05))
    assert isinstance(found.training, TrainingOutcome) and found.training.diverged
