"""Search algorithms: the contract, and that evolution is worth its while."""

import json

import numpy as np
import pytest

from mnas.spaces.presets import open_space
from search.algorithms.nsga2 import Nsga2Search
from search.algorithms.random_search import RandomSearch, draw_new
from search.pareto import hypervolume
from search.testing import AlgorithmConformance, made_up_objectives, tiny_space


def nsga2(space, seed, population, oversample=4):
    rng = np.random.default_rng(seed)
    return Nsga2Search(space, rng, population, oversample, lambda genomes: made_up_objectives(space, genomes)[:, 1])


def random_search(space, seed, population):
    return RandomSearch(space, np.random.default_rng(seed), population)


class TestNsga2(AlgorithmConformance):
    def algorithm(self, space, seed, population):
        return nsga2(space, seed, population)


class TestNsga2WithoutOversampling(AlgorithmConformance):
    def algorithm(self, space, seed, population):
        return nsga2(space, seed, population, oversample=1)


class TestRandomSearch(AlgorithmConformance):
    def algorithm(self, space, seed, population):
        return random_search(space, seed, population)


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


class MacroTableSpace:
    """The strings of an exact table, eight genes of three choices; names of the table itself."""

    def __init__(self, table):
        self.table = table
        self.cardinalities = (3,) * 8

    def canonical(self, genome):
        return tuple(genome)

    def sample(self, rng):
        return tuple(int(gene) for gene in rng.integers(0, self.cardinalities))

    def objectives(self, genomes):
        rows = [self.table["".join(map(str, genome))] for genome in genomes]
        return np.asarray([(100 - row["mean_acc"], row["flops"] / 1e6) for row in rows])


def test_nsga2_on_an_exact_table_beats_random_search(test_data):
    """Reference point and true hypervolume: all 6561 networks of NAS-Bench-Macro (CIFAR-10)."""
    space = MacroTableSpace(json.loads((test_data / "nas-bench-macro_cifar10.json").read_text(encoding="utf-8")))
    point = (54.63667, 105.660928)
    everything = [tuple(map(int, key)) for key in space.table]
    true_volume = hypervolume(space.objectives(everything), point)
    assert true_volume == pytest.approx(4223.4569, rel=1e-6)
    shares = {"nsga2": [], "random": []}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        evolution = Nsga2Search(space, rng, 20, 1, lambda genomes: space.objectives(genomes)[:, 1])
        for name, algorithm in (("nsga2", evolution), ("random", random_search(space, seed, 20))):
            found = []
            for _ in range(10):
                genomes = algorithm.ask()
                values = space.objectives(genomes)
                algorithm.tell(genomes, values)
                found.extend(values)
            shares[name].append(hypervolume(np.asarray(found), point) / true_volume)
    assert np.mean(shares["random"]) == pytest.approx(0.936, abs=0.02)
    assert np.mean(shares["nsga2"]) > np.mean(shares["random"]) + 0.02
