"""Warm starts: members of the space are asked first and once, others are refused with the reason, and it resumes."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.testing import made_up_table
from mnas.errors import ConfigError
from mnas.seeding import named_rng
from search.algorithms.registry import open_algorithm
from search.algorithms.setting import SearchSetting
from search.algorithms.warm_start import WarmStarted
from search.goal import set_goal
from search.pareto import front_indices
from search.ranking import Ranking
from search.study import Study
from search.testing import MadeUpTraining, made_up_objectives, tiny_space

ALGORITHMS = ("nsga2", "random", "local", "evolution", "surrogate", "ppo", "reinforce")
SPACE = tiny_space(kernels=(3, 5, 7, 9, 11), widths=(0.5, 1.0, 1.5, 2.0))


def algorithm_of(name, seed):
    setting = SearchSetting(
        space=SPACE,
        rng=named_rng(seed, name),
        latency_of=lambda genomes: made_up_objectives(SPACE, list(genomes))[:, 1],
        population=6,
        target_ms=2.5,
    )
    return open_algorithm(name, setting)


@pytest.mark.parametrize("name", ALGORITHMS)
@settings(max_examples=5)
@given(seed=st.integers(0, 50), numbers=st.lists(st.integers(0, SPACE.size() - 1), min_size=1, max_size=9))
def test_given_networks_come_first_nothing_comes_twice_and_equal_seeds_walk_alike(name, seed, numbers):
    first = [SPACE.unrank(number) for number in numbers]
    walks = []
    for _ in range(2):
        algorithm, asked = WarmStarted(algorithm_of(name, seed), first, 6), []
        for _ in range(3):
            genomes = algorithm.ask()
            asked += genomes
            algorithm.tell(genomes, made_up_objectives(SPACE, genomes))
        walks.append(asked)
    distinct = list(dict.fromkeys(first))
    assert walks[0] == walks[1]
    assert walks[0][: len(distinct)] == distinct
    assert len(set(walks[0])) == len(walks[0]) >= 6


def test_a_space_is_exhausted_though_its_networks_were_given():
    space = tiny_space()
    everything = [space.unrank(number) for number in range(space.size())]
    setting = SearchSetting(
        space=space,
        rng=np.random.default_rng(0),
        latency_of=lambda genomes: made_up_objectives(space, list(genomes))[:, 1],
        population=4,
    )
    algorithm, asked = WarmStarted(open_algorithm("nsga2", setting), everything[:9], 4), []
    while genomes := algorithm.ask():
        asked += genomes
        algorithm.tell(genomes, made_up_objectives(space, genomes))
    assert len(set(asked)) == len(asked) >= 0.8 * space.size()


@pytest.fixture(scope="module")
def table():
    from mnas.spaces.presets import open_space

    return made_up_table(open_space("mobilenetv3", "digits"))


def ranking(context, table):
    return Ranking(context, table, set_goal(context.space, table, None, context.config.seed, 10))


@pytest.fixture
def files(make_study, tmp_path):
    """An architecture of the space, one outside it, and a front of both."""
    space = make_study().space
    member = space.decode(space.unrank(12345))
    stranger = tiny_space().decode(tiny_space().unrank(0))
    members = []
    for architecture in (member, stranger):
        folder = tmp_path / "old" / "exports" / architecture.arch_id[:12]
        folder.mkdir(parents=True)
        (folder / "architecture.json").write_text(json.dumps(architecture.to_json()), encoding="utf-8")
        members.append({"arch_id": architecture.arch_id, "export": f"exports/{folder.name}"})
    front = tmp_path / "old" / "front.json"
    front.write_text(json.dumps({"schema": "mnas.front/1", "members": members}), encoding="utf-8")
    paths = [tmp_path / "old" / one["export"] / "architecture.json" for one in members]
    return {"member": str(paths[0]), "stranger": str(paths[1]), "front": str(front), "arch_id": member.arch_id}


def test_a_front_gives_its_members_and_the_study_keeps_them(make_study, table, files, tmp_path):
    keys = {"budget": 12, "population": 4, "warm_start": (files["front"], files["member"])}
    context = make_study(MadeUpTraining(stop_after=6), **keys)
    with pytest.raises(KeyboardInterrupt):
        ranking(context, table).run()
    (warning,) = context.reporter.warnings
    assert "SPC03" in warning
    event = context.log.payload("warm start")
    assert len(event["members"]) == len(event["refused"]) == 1
    (tmp_path / "old").rename(tmp_path / "gone")
    again = make_study(study=Study(context.store, context.study_id, context.config))
    found = ranking(again, table).run()
    assert (found[0].arch_id, found[0].number, found[0].generation) == (files["arch_id"], 0, 0)
    assert len(again.executor.trained) == 6 and len({one.arch_id for one in found}) == 12


def test_an_earlier_study_gives_its_front(make_study, table):
    earlier = make_study(budget=8, population=4)
    candidates = ranking(earlier, table).run()
    context = make_study(budget=12, population=4, seed=1, warm_start=(earlier.study_id,))
    found = ranking(context, table).run()
    members = [member["name"] for member in context.log.payload("warm start")["members"]]
    assert members and [one.arch_id[:12] for one in found[: len(members)]] == members
    best = min(one.error for one in candidates)
    assert min(one.error for one in found[: len(members)]) <= best or any(one.error is not None for one in found)


@pytest.mark.parametrize("name", ["stranger", "mobilenetv3-small", "no-such-net", "study99", "absent.json"])
def test_what_has_no_network_of_the_space_is_refused_with_the_reason(make_study, table, files, name):
    context = make_study(budget=8, population=4, warm_start=(files.get(name, name),))
    with pytest.raises(ConfigError, match="CFG70") as caught:
        ranking(context, table).run()
    assert files.get(name, name) in str(caught.value) and str(caught.value).count(": ") > 1
    assert context.log.payload("warm start") is None and context.executor.trained == []


def test_what_a_search_begins_with_keeps_to_a_constraint_too(make_study, table):
    """An earlier front goes beyond a target that is to be kept to with confidence."""
    earlier = make_study(budget=24, population=8)
    every = ranking(earlier, table).run()
    front = front_indices(np.array([one.objectives for one in every]))
    target = 0.99 * max(every[place].predicted_ms for place in front)
    context = make_study(budget=8, population=4, seed=2, warm_start=(earlier.study_id,), confidence=0.9)
    goal = replace(set_goal(context.space, table, target, 0, 10), confidence=0.9)
    found = Ranking(context, table, goal).run()
    assert len(found) == 8 and all(one.predicted_ms < target for one in found)
    assert any("do not keep to the target" in text for text in context.reporter.warnings)
