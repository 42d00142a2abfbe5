"""Three objectives and more, several devices, measured latencies and a constraint, over made-up tables."""

import json
from dataclasses import replace

import numpy as np
import pytest

from devices.testing import SimulatedDevice
from latency.on_device import OnDevice
from latency.testing import made_up_table
from latency.uncertainty import Uncertainty
from mnas.counts import total_macs, total_params
from mnas.errors import ConfigError
from mnas.genome_figures import figure_of
from mnas.layers import layers_of
from mnas.objectives import read_objectives
from mnas.spaces.presets import open_space
from search import measuring
from search.candidate import Candidate
from search.combination import Combination
from search.constraint import LatencyConstraint
from search.goal import Goal, goal_of, set_goal
from search.measuring import measured_devices
from search.outlook import Outlook
from search.pareto import front_indices, hypervolume
from search.ranking import Ranking
from search.resolve import resolve
from search.reward import mnasnet_reward
from search.study import Study
from search.testing import KeptReporter, MadeUpTraining

SPACE = open_space("mobilenetv3", "digits")
ALL = "error,latency,macs,params,size,peak_memory"
TWO = {"device": "host:ort", "other_devices": ("host:litert",)}


@pytest.fixture(scope="module")
def tables():
    """Two devices that do not agree on which network is fast."""
    first, second = made_up_table(SPACE), made_up_table(SPACE)
    second.entries = {
        segment: replace(entry, latency_ms=2 + (entry.latency_ms * 7919) % 1)
        for segment, entry in second.entries.items()
    }
    for table in (first, second):
        table.uncertainty = Uncertainty(0.02, 0.02, 9)
    return first, second


def started(context, tables, asked_ms=None):
    outlook = Outlook.of(context.space, tables[: len(context.config.devices)], context.config)
    goal = goal_of(outlook, asked_ms, context.config.seed, 10, context.config.confidence)
    return outlook, goal, Ranking(context, outlook, goal)


@pytest.mark.parametrize("algorithm", ["nsga3", "nsga2", "random", "local", "evolution"])
def test_every_objective_is_recorded_with_its_source(make_study, tables, algorithm):
    context = make_study(budget=14, population=6, objectives=ALL, algorithm=algorithm)
    _, goal, ranking = started(context, tables)
    candidates = ranking.run()
    assert len(candidates) == 14 and len(goal.reference_point) == 6
    for one in candidates:
        layers, known = layers_of(context.space.decode(one.genome)), {value.key: value for value in one.values}
        assert set(known) == set(ALL.split(","))
        assert (known["error"].value, known["error"].source) == (one.error, one.accuracy_source)
        assert (known["latency"].value, known["latency"].source) == (one.predicted_ms, "lut")
        assert (known["macs"].value, known["params"].value) == (total_macs(layers), total_params(layers))
        for name in ("size", "peak_memory"):
            assert (known[name].value, known[name].source) == (figure_of(name, "float32")(layers), "counted")
        assert one.objectives == tuple(value.value for value in one.values)
        assert all(mine <= worst for mine, worst in zip(one.objectives[1:], goal.reference_point[1:], strict=True))
        assert Candidate.from_json(json.loads(json.dumps(one.to_json()))) == one
    last = list(context.log.payloads("generation").values())[-1]
    objectives = np.asarray([one.objectives for one in candidates])
    assert last["hypervolume"] == hypervolume(objectives, goal.reference_point) > 0
    assert last["front"] == len(front_indices(objectives))


def test_an_interrupted_search_of_many_objectives_replays(make_study, tables):
    keys = {"budget": 12, "population": 4, "objectives": "error,latency@1,latency@2,params:max", **TWO}
    whole = started(make_study(**keys), tables)[2].run()
    for stop_after in (1, 6, 11):
        context = make_study(MadeUpTraining(stop_after=stop_after), **keys)
        with pytest.raises(KeyboardInterrupt):
            started(context, tables)[2].run()
        again = make_study(study=Study(context.store, context.study_id, context.config))
        assert started(again, tables)[2].run() == whole


def test_a_record_from_before_goes_on_and_gives_the_same(make_study, tables):
    """Candidates without values and a goal without a confidence, as they were written then."""
    keys = {"budget": 12, "population": 4}
    whole = started(make_study(**keys), tables)[2].run()
    context = make_study(**keys)
    for one in whole[:6]:
        context.log.append("evaluated", {k: v for k, v in one.to_json().items() if k != "values"}, one.arch_id)
    _, goal, ranking = started(context, tables)
    candidates = ranking.run()
    assert [replace(one, values=()) for one in candidates] == [replace(one, values=()) for one in whole]
    assert [one.objectives for one in candidates] == [one.objectives for one in whole]
    assert len(context.executor.trained) == 6
    old = {key: value for key, value in goal.to_json().items() if key != "confidence"}
    assert Goal.from_json(json.loads(json.dumps(old))) == goal


@pytest.mark.parametrize("combine", ["worst", "weighted"])
def test_one_network_for_two_devices_is_judged_by_both(make_study, tables, combine):
    context = make_study(budget=8, population=4, combine=combine, **TWO)
    outlook, goal, ranking = started(context, tables)
    candidates = ranking.run()
    for one in candidates:
        own = [table.estimate([context.space.decode(one.genome)])[0].ms for table in tables]
        combined = max(own) if combine == "worst" else float(np.sqrt(np.prod(own)))
        assert one.predicted_ms == pytest.approx(combined)
        assert one.reward == mnasnet_reward(1 - one.error, one.predicted_ms, goal.target_ms, -0.07, -0.07)
    assert goal.least_ms < goal.target_ms < goal.greatest_ms
    drawn = [context.space.draw(np.random.default_rng(seed)) for seed in range(100)]
    ms = outlook.latency_ms(drawn)
    assert goal.least_ms <= ms.min() and ms.max() <= goal.greatest_ms


def test_each_device_may_be_an_objective_of_its_own(make_study, tables):
    context = make_study(budget=8, population=4, objectives="error,latency@1,latency@2", **TWO)
    _, goal, ranking = started(context, tables)
    for one in ranking.run():
        own = [table.estimate([context.space.decode(one.genome)])[0].ms for table in tables]
        assert one.objectives == pytest.approx((one.error, *own))
        assert one.latency_ms == one.predicted_ms == max(own)
    assert goal.reference_point[1] < goal.reference_point[2], "the second device is the slower one"


def test_a_target_below_what_any_device_allows_is_refused(tables):
    outlook = Outlook(SPACE, tables, read_objectives("error,latency", 2), Combination.of("worst", (), 2))
    least = goal_of(outlook, None, 0, 10).least_ms
    assert least == max(set_goal(SPACE, table, None, 0, 10).least_ms for table in tables)
    with pytest.raises(ConfigError, match=r"CFG05.*ask for at least"):
        goal_of(outlook, 0.99 * least, 0, 10)


def test_a_constraint_keeps_the_search_to_what_meets_it(make_study, tables):
    context = make_study(budget=12, population=6, confidence=0.9)
    outlook, goal, ranking = started(context, tables)
    genomes = [one.genome for one in ranking.run()]
    assert (outlook.probability_within(genomes, goal.target_ms) >= 0.9).all()
    latencies = tables[0].over(SPACE)
    assert LatencyConstraint(goal.target_ms, 0.9).is_met(latencies, genomes).all()
    drawn = [SPACE.draw(np.random.default_rng(seed)) for seed in range(50)]
    assert outlook.probability_within(drawn, goal.target_ms) == pytest.approx(
        latencies.probability_within(drawn, goal.target_ms)
    )


@pytest.mark.parametrize("confidence", [0.6, 0.9, 0.999])
def test_a_target_that_cannot_be_met_so_surely_says_the_least_that_can(make_study, tables, confidence):
    context = make_study(confidence=confidence)
    outlook = Outlook.of(SPACE, tables[:1], context.config)
    least = goal_of(outlook, None, 0, 10).least_ms
    with pytest.raises(ConfigError, match=r"CFG05.*with a probability") as caught:
        goal_of(outlook, least, 0, 10, confidence)
    offered = float(str(caught.value).split("ask for at least ")[1].split(" ms")[0])
    assert offered > least
    assert goal_of(outlook, 1.001 * offered, 0, 10, confidence).confidence == confidence
    with pytest.raises(ConfigError, match="CFG05"):
        goal_of(outlook, 0.999 * offered, 0, 10, confidence)


def test_measured_latencies_are_told_and_kept_and_not_measured_again(make_study, tables, monkeypatch):
    sessions = []

    def simulated(spec, store, executor):
        sessions.append(spec)
        return OnDevice(SimulatedDevice(noise=0.0), store)

    monkeypatch.setattr(measuring, "open_study_device", simulated)
    keys = {"budget": 8, "population": 4, "objectives": "error,latency=measured"}
    context = make_study(**keys)
    _, goal, ranking = started(context, tables)
    candidates = ranking.run()
    assert sessions == ["host:ort"] * 2
    kept = context.log.payloads("candidate latency")
    for one in candidates:
        value = one.values[1]
        assert (value.source, value.value) == ("measured", kept[f"{one.arch_id}/1"]["ms"])
        assert one.latency_ms == value.value != one.predicted_ms
        assert one.reward == mnasnet_reward(1 - one.error, value.value, goal.target_ms, -0.07, -0.07)
    stopped = make_study(MadeUpTraining(stop_after=6), **keys)
    with pytest.raises(KeyboardInterrupt):
        started(stopped, tables)[2].run()
    before = len(sessions)
    again = make_study(study=Study(stopped.store, stopped.study_id, stopped.config))
    assert [one.arch_id for one in started(again, tables)[2].run()] == [one.arch_id for one in candidates]
    assert len(sessions) == before, "both generations had been measured by then"


def test_a_candidate_that_cannot_be_measured_fails_and_is_not_trained(make_study, tables, monkeypatch):
    class Refusing(SimulatedDevice):
        """Loads references, and of the candidates none but the first."""

        def load(self, artifacts):
            given = list(artifacts)
            mine = sorted(one.sha256 for one in given if one.arch_id and "candidates" in str(one.path))
            return {**super().load(given), **dict.fromkeys(mine[1:], "no such operator")}

    monkeypatch.setattr(
        measuring, "open_study_device", lambda spec, store, executor: OnDevice(Refusing(noise=0.0), store)
    )
    context = make_study(budget=4, population=4, objectives="error,latency=measured")
    candidates = started(context, tables)[2].run()
    failed = [one for one in candidates if one.status == "failed"]
    assert len(failed) == 3 and len(context.executor.trained) == 1
    for one in failed:
        assert "no such operator" in one.reason and "could not be measured" in one.reason
        assert one.objectives == (1.0, one.predicted_ms)


def test_which_devices_measure():
    def of(text, devices):
        return measured_devices(read_objectives(text, devices), devices)

    assert of("error,latency", 3) == ()
    assert of("error,latency=measured", 3) == (1, 2, 3)
    assert of("error,latency@3=measured,latency@1,latency", 3) == (3,)


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"algorithm": "surrogate", "objectives": "error,latency,macs"}, "CFG23"),
        ({"algorithm": "ppo", "objectives": "error,macs"}, "CFG44"),
        ({"algorithm": "reinforce", "objectives": "error,latency,macs"}, "CFG44"),
        ({"weights": (1.0, 2.0)}, "CFG43"),
        ({**TWO, "allow_foreign_lut": True, "lut": "lut1"}, "CFG08"),
        ({"device": "host:torch", "dtype": "int8"}, "CFG13"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_begins(keys, code):
    with pytest.raises(ConfigError, match=code):
        resolve(make_config_of(keys), KeptReporter())


def make_config_of(keys):
    from mnas.config import make_config

    return make_config({"data": "digits", **keys})
