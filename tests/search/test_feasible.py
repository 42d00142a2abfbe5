"""A search kept to a constraint: the contract still holds, and nothing else is asked for."""

import numpy as np
import pytest

from search.algorithms.feasible import FeasibleSearch
from search.algorithms.registry import open_algorithm
from search.algorithms.setting import SearchSetting
from search.testing import AlgorithmConformance, made_up_objectives, tiny_space


def everything(genomes):
    return np.ones(len(genomes), dtype=bool)


def kept(space, name, seed, population, is_met):
    setting = SearchSetting(
        space=space,
        rng=np.random.default_rng(seed),
        latency_of=lambda genomes: made_up_objectives(space, genomes)[:, 1],
        population=population,
        oversample=4,
        target_ms=2.5,
    )
    return FeasibleSearch(open_algorithm(name, setting), is_met)


class TestConstraintThatAllMeet(AlgorithmConformance):
    def algorithm(self, space, seed, population):
        return kept(space, "nsga2", seed, population, everything)


ANY = ["nsga2", "nsga3", "evolution", "local", "surrogate", "ppo", "random"]


@pytest.mark.parametrize(
    ("name", "share"), [*((name, 0.5) for name in ANY), *((name, 0.02) for name in ("nsga2", "local", "random"))]
)
def test_only_what_meets_the_constraint_is_asked_for(name, share):
    space = tiny_space(kernels=(3, 5, 7, 9, 11, 13, 15), widths=(0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0))
    drawn = [space.draw(np.random.default_rng(seed)) for seed in range(400)]
    bound = float(np.quantile(made_up_objectives(space, drawn)[:, 1], share))

    def is_met(genomes):
        return made_up_objectives(space, genomes)[:, 1] <= bound

    walks = []
    for _ in range(2):
        algorithm, asked = kept(space, name, 3, 6, is_met), []
        for _ in range(6):
            genomes = algorithm.ask()
            assert is_met(genomes).all() if genomes else asked, "it ends where nothing is left, not before it began"
            asked += genomes
            algorithm.tell(genomes, made_up_objectives(space, genomes))
        walks.append(asked)
    assert walks[0] == walks[1] and len(set(walks[0])) == len(walks[0]) >= 6


@pytest.mark.parametrize("name", ["nsga2", "local", "ppo", "random"])
def test_where_nothing_meets_it_the_search_ends(name):
    space = tiny_space()
    algorithm = kept(space, name, 0, 4, lambda genomes: np.zeros(len(genomes), dtype=bool))
    assert algorithm.ask() == []
