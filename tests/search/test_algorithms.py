"""Search algorithms: the contract, and that evolution is worth its while."""

import numpy as np
import pytest

from mnas.spaces.presets import open_space
from search.algorithms.nsga2 import Nsga2Search
from search.algorithms.random_search import RandomSearch, draw_new
from search.algorithms.registry import open_algorithm
from search.algorithms.setting import SearchSetting
from search.pareto import hypervolume
from search.testing import AlgorithmConformance, made_up_objectives, tiny_space


def nsga2(space, seed, population, oversample=4):
    rng = np.random.default_rng(seed)
    return Nsga2Search(space, rng, population, oversample, lambda genomes: made_up_objectives(space, genomes)[:, 1])


def random_search(space, seed, population):
    return RandomSearch(space, np.random.default_rng(seed), population)


def named(name, space, seed, population, oversample=1):
    setting = SearchSetting(
        space=space,
        rng=np.random.default_rng(seed),
        latency_of=lambda genomes: made_up_objectives(space, genomes)[:, 1],
        population=population,
        oversample=oversample,
    )
    return open_algorithm(name, setting)


class TestNsga2(AlgorithmConformance):
    def algorithm(self, space, seed, population):
        return named("nsga2", space, seed, population, oversample=4)


class TestNsga2WithoutOversampling(AlgorithmConformance):
    def algorithm(self, space, seed, population):
        return named("nsga2", space, seed, population)


class TestNsga3(AlgorithmConformance):
    def algorithm(self, space, seed, population):
        return named("nsga3", space, seed, population)


class TestRegularisedEvolution(AlgorithmConformance):
    def algorithm(self, space, seed, population):
        return named("evolution", space, seed, population)


class TestLocalSearch(AlgorithmConformance):
    def algorithm(self, space, seed, population):
        return named("local", space, seed, population)


class TestRandomSearch(AlgorithmConformance):
    def algorithm(self, space, seed, population):
        return named("random", space, seed, population)


def volume_found(space, algorithm, evaluations, objectives_of):
    told = []
    while len(told) < evaluations:
        genomes = algorithm.ask()
        found = objectives_of(genomes)
        told.extend(found)
        algorithm.tell(genomes, found)
    return hypervolume(np.asarray(told), (1.0, 5.0))


@pytest.mark.parametrize("oversample", [1, 8])
def test_nsga2_beats_random_search(oversample):
    space = open_space("mobilenetv3", "fashion")
    evolved, drawn = (
        [volume_found(space, make(seed), 160, lambda g: made_up_objectives(space, g)) for seed in range(12)]
        for make in (lambda s: nsga2(space, s, 16, oversample), lambda s: random_search(space, s, 16))
    )
    assert np.mean(evolved) > 1.03 * np.mean(drawn)
    assert sum(a > b for a, b in zip(evolved, drawn, strict=True)) >= 9


def test_nsga2_asks_for_the_extremes_of_what_it_looked_at():
    space = open_space("mobilenetv3", "fashion")
    looked_at = []

    def latency_of(genomes):
        found = made_up_objectives(space, genomes)[:, 1]
        looked_at.append((list(genomes), found))
        return found

    algorithm = Nsga2Search(space, np.random.default_rng(0), 6, 10, latency_of)
    for _ in range(3):
        asked = algorithm.ask()
        genomes, latencies = looked_at[-1]
        assert len(genomes) > len(asked) == 6
        assert {genomes[int(np.argmin(latencies))], genomes[int(np.argmax(latencies))]} <= set(asked)
        algorithm.tell(asked, made_up_objectives(space, asked))


def test_drawing_gives_up_instead_of_hanging():
    space = tiny_space(kernels=(3,), widths=(1.0,))
    rng = np.random.default_rng(0)
    everything = set(draw_new(space, rng, 1000, set()))
    assert len(everything) == space.size()
    assert draw_new(space, rng, 5, everything) == []
    assert draw_new(space, rng, 0, set()) == []
