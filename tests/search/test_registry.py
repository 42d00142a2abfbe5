"""Algorithms by name: the tool's own, and those that another distribution brings."""

import importlib
import sys
from dataclasses import replace

import numpy as np
import pytest

from mnas.errors import ConfigError
from search.algorithms.registry import algorithm_module, algorithm_names, open_algorithm, require_algorithm
from search.algorithms.setting import SearchSetting
from search.testing import made_up_objectives, tiny_space

FOREIGN = '''
class Backwards:
    """Asks for the networks of a space from the last one on."""

    def __init__(self, setting):
        self.setting = setting
        self.left = [setting.space.unrank(number) for number in range(setting.space.size())]

    def ask(self):
        return [self.left.pop() for _ in range(min(self.setting.population, len(self.left)))]

    def tell(self, genomes, objectives):
        pass
'''


@pytest.fixture
def foreign_distribution(tmp_path, monkeypatch):
    """A folder as pip would leave it: a module, and metadata with entry points, one of them of a taken name."""
    (tmp_path / "made_up_search.py").write_text(FOREIGN, encoding="utf-8")
    about = tmp_path / "made_up_search-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up-search\nVersion: 1.0\n", encoding="utf-8")
    points = "[mnas.algorithms]\nbackwards = made_up_search:Backwards\nrandom = made_up_search:Backwards\n"
    (about / "entry_points.txt").write_text(points, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("made_up_search", None)


def setting(space):
    return SearchSetting(
        space=space,
        rng=np.random.default_rng(0),
        latency_of=lambda genomes: made_up_objectives(space, genomes)[:, 1],
        population=4,
        target_ms=3.0,
    )


@pytest.mark.parametrize("name", algorithm_names())
def test_every_registered_algorithm_asks_for_a_generation_of_canonical_genomes(name):
    space = tiny_space()
    genomes = open_algorithm(name, setting(space)).ask()
    assert len(set(genomes)) == len(genomes) == 4
    assert all(space.canonical(genome) == genome for genome in genomes)


def test_an_unknown_name_is_refused_with_those_that_are_known():
    for refuse in (lambda: require_algorithm("annealing"), lambda: open_algorithm("annealing", setting(tiny_space()))):
        with pytest.raises(ConfigError, match=r"CFG09.*annealing.*nsga2.*random") as caught:
            refuse()
        assert caught.value.exit_code == 2


@pytest.mark.usefixtures("foreign_distribution")
def test_an_installed_distribution_brings_its_own():
    space = tiny_space()
    assert algorithm_names()[-1] == "backwards"
    require_algorithm("backwards")
    assert algorithm_module("backwards") == "made_up_search"
    asked = open_algorithm("backwards", setting(space)).ask()
    assert asked == [space.unrank(space.size() - 1 - number) for number in range(4)]


@pytest.mark.usefixtures("foreign_distribution")
def test_a_distribution_cannot_take_a_name_of_the_tool():
    assert algorithm_names().count("random") == 1
    assert algorithm_module("random") == "search.algorithms.random_search"
    assert type(open_algorithm("random", setting(tiny_space()))).__module__.startswith("search.")


@pytest.mark.parametrize("name", ["ppo", "reinforce"])
def test_a_search_for_a_reward_needs_a_target(name):
    space = tiny_space()
    setting = SearchSetting(
        space=space, rng=np.random.default_rng(0), latency_of=lambda genomes: np.ones(len(genomes)), population=4
    )
    with pytest.raises(ConfigError, match="CFG22"):
        open_algorithm(name, setting)
    assert len(open_algorithm(name, replace(setting, target_ms=1.0)).ask()) == 4
