"""The surrogate-assisted search: the contract, what it does with failures, and that it is worth its while."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnas.errors import ConfigError
from mnas.spaces.presets import open_space
from search.algorithms.error_model import MOST_SEEN, ErrorModel, LogScale
from search.algorithms.improvement import Staircase
from search.algorithms.nsga2 import Nsga2Search
from search.algorithms.proposals import Proposals
from search.algorithms.random_search import RandomSearch
from search.algorithms.registry import open_algorithm
from search.algorithms.setting import SearchSetting
from search.algorithms.spread import spread_apart
from search.algorithms.surrogate import SurrogateSearch, SurrogateSettings
from search.pareto import hypervolume
from search.testing import AlgorithmConformance, made_up_objectives, tiny_space

POINT = (1.0, 5.0)


def latency_in(space):
    return lambda genomes: made_up_objectives(space, list(genomes))[:, 1]


def surrogate(space, seed, population, **settings):
    rng = np.random.default_rng(seed)
    return SurrogateSearch(space, rng, population, latency_in(space), POINT, SurrogateSettings(**settings))


class TestSurrogate(AlgorithmConformance):
    def algorithm(self, space, seed, population):
        return surrogate(space, seed, population)


class TestSurrogateFromTheFirstGenerationOn(AlgorithmConformance):
    def algorithm(self, space, seed, population):
        return surrogate(space, seed, population, start=1, offspring=60, across=20)


def run(space, algorithm, evaluations, objectives_of):
    asked, told = [], np.zeros((0, 2))
    while len(told) < evaluations:
        genomes = algorithm.ask()
        found = objectives_of(genomes)
        algorithm.tell(genomes, found)
        asked += genomes
        told = np.vstack([told, found])
    return asked, told


def test_it_finds_more_than_nsga2_in_fewer_evaluations():
    space = open_space("mobilenetv3", "fashion")

    def objectives_of(genomes):
        return made_up_objectives(space, genomes)

    def evolve(seed):
        return Nsga2Search(space, np.random.default_rng(seed), 16, 8, latency_in(space))

    assisted, evolved = (
        [hypervolume(run(space, make(seed), budget, objectives_of)[1], POINT) for seed in range(3)]
        for make, budget in ((lambda seed: surrogate(space, seed, 8), 64), (evolve, 160))
    )
    assert min(assisted) > max(evolved)


@pytest.mark.parametrize("failure", [np.nan, np.inf, 1.0, 7.0])
def test_failures_of_a_kind_are_avoided_once_they_are_known(failure):
    """Networks of the first resolution fail, whatever else they have."""
    space = open_space("mobilenetv3", "fashion")

    def objectives_of(genomes):
        found = made_up_objectives(space, genomes)
        found[np.asarray(genomes)[:, 0] == 0, 0] = failure
        return found

    asked, _ = run(space, surrogate(space, 1, 8, start=24), 96, objectives_of)
    failed = np.asarray(asked)[:, 0] == 0
    assert failed[:24].sum() >= 4
    assert failed[48:].mean() < 0.25


def test_a_predicted_improvement_is_picked_where_it_is_plain():
    """All but one network of a space are told: the last one is asked for at once."""
    space = tiny_space(kernels=(3, 5, 7), widths=(0.5, 1.0))
    everything = [space.unrank(number) for number in range(space.size())]
    algorithm = surrogate(space, 0, space.size() - 1, start=space.size() - 1)
    first = algorithm.ask()
    assert len(first) == space.size() - 1
    algorithm.tell(first, made_up_objectives(space, first))
    assert algorithm.ask() == list(set(everything) - set(first))
    assert algorithm.ask() == []


def test_the_first_generations_are_spread_over_latency_and_hold_its_ends():
    space = open_space("mobilenetv3", "imagenet")
    latency_of = latency_in(space)
    algorithm = surrogate(space, 5, 5, start=20)
    first = algorithm.ask()
    latencies = latency_of(first)
    assert latencies.min() == 1 and latencies.max() == 5
    rest = []
    for _ in range(3):
        rest += algorithm.ask()
    counts, _ = np.histogram(np.log(latency_of(first + rest)), bins=5, range=(0, np.log(5)))
    assert counts.min() >= 3


def test_candidates_across_all_latencies_reach_where_uniform_draws_do_not():
    space = open_space("mobilenetv3", "imagenet")
    latency_of = latency_in(space)
    rng = np.random.default_rng(0)
    proposals = Proposals(space, rng, latency_of)
    found = proposals.across(300, set())
    drawn = [space.draw(rng) for _ in range(300)]
    assert len(set(found)) == 300 and all(space.canonical(genome) == genome for genome in found)
    assert np.ptp(latency_of(found)) > 1.5 * np.ptp(latency_of(drawn))
    assert not set(proposals.across(100, set(found))) & set(found)


def test_neighbours_differ_in_one_gene_each():
    space = tiny_space(kernels=(3, 5, 7), widths=(0.5, 1.0, 1.5))
    proposals = Proposals(space, np.random.default_rng(0), latency_in(space))
    genome = space.canonical((1, 2, 1, 2, 1))
    everything = proposals.neighbours(genome, 99, set())
    expected = {
        space.canonical((*genome[:gene], choice, *genome[gene + 1 :]))
        for gene, count in enumerate(space.cardinalities)
        for choice in range(count)
    } - {genome}
    assert len(everything) == len(set(everything)) and set(everything) == expected
    some = proposals.neighbours(genome, 3, set(everything[:2]))
    assert len(some) <= 3 and set(some) <= expected - set(everything[:2])


def test_offspring_are_new_and_close_to_their_parents():
    space = open_space("mobilenetv3", "imagenet")
    rng = np.random.default_rng(0)
    parents = [space.draw(rng) for _ in range(5)]
    found = Proposals(space, rng, latency_in(space)).offspring(parents, 100, set(parents))
    assert len(set(found)) == 100 and not set(found) & set(parents)
    apart = (np.asarray(found)[:, None] != np.asarray(parents)).sum(axis=2)
    assert (
        np.median(apart.min(axis=1)) < np.median((np.asarray(parents)[:, None] != np.asarray(parents)).sum(axis=2)) / 2
    )


GENOMES = st.sets(st.tuples(*[st.integers(0, 3)] * 4), min_size=0, max_size=40).map(sorted)


@given(GENOMES, st.integers(1, 20), st.integers(0, 3))
def test_networks_spread_apart_are_distinct_and_hold_both_ends(genomes, count, seed):
    latencies = np.asarray([1.0 + sum(genome) for genome in genomes])
    chosen = spread_apart(genomes, latencies, count, np.random.default_rng(seed))
    assert len(chosen) == len(set(chosen)) == min(count, len(genomes))
    if len(genomes) >= 2 and count >= 2:
        assert {latencies.min(), latencies.max()} <= set(latencies[chosen])


def test_networks_spread_apart_have_few_genes_in_common():
    genomes = [(a, b) for a in range(6) for b in range(6)]
    chosen = spread_apart(genomes, np.full(36, 2.0), 6, np.random.default_rng(0))
    for gene in range(2):
        assert len({genomes[i][gene] for i in chosen}) == 6


def told(count, seed=0):
    rng = np.random.default_rng(seed)
    genomes = [tuple(map(int, row)) for row in rng.integers(0, 4, (count, 6))]
    values = np.asarray(genomes, dtype=float)
    errors = np.exp(-1 - values @ [0.1, 0.2, 0.0, 0.05, 0.3, 0.1] / 4 + 0.05 * values[:, 0] * values[:, 1] / 9)
    return genomes, np.stack([errors, 1 + values.sum(axis=1)], axis=1)


@pytest.mark.parametrize("count", [60, MOST_SEEN + 200])
def test_errors_are_learnt_whether_all_networks_are_kept_or_some(count):
    genomes, objectives = told(count + 50)
    model = ErrorModel((4,) * 6, np.random.default_rng(0))
    seen = objectives[:count]
    excess = seen[:, 0] - Staircase(seen, (1.0, 30.0)).heights_at(seen[:, 1])
    posterior = model.posterior(genomes[:count], seen, excess)
    mean, sd = posterior.predict(genomes[count:], objectives[count:, 1])
    truth = np.log(objectives[count:, 0])
    assert posterior.error.shift == 0 and len(posterior.process.weights) == min(count, MOST_SEEN)
    assert np.sqrt(np.mean((mean - truth) ** 2)) < 0.1 * truth.std()
    assert (np.abs(mean - truth) < 5 * sd + 0.01).all()


ODD = st.one_of(st.floats(-5, 5), st.sampled_from([0.0, 1.0, -1.0]))
VALUES = st.lists(ODD, min_size=1, max_size=8).map(np.asarray)


@given(VALUES)
def test_a_scale_keeps_the_order_and_leaves_no_value_far_out(values):
    scale = LogScale.of(values)
    found = scale.apply(values)
    assert np.isfinite(found).all() and scale.shift >= 0
    assert (np.diff(found[np.argsort(values)]) >= 0).all()
    assert (values + scale.shift).min() > 0
    if len(set(values)) > 1:
        assert (values + scale.shift).min() >= 0.0999 * np.median(values + scale.shift)
    assert np.exp(scale.mean + scale.sd * found) - scale.shift == pytest.approx(values, abs=1e-6)


def test_a_scale_of_common_errors_is_their_logarithm():
    scale = LogScale.of(np.asarray([0.05, 0.1, 0.4]))
    assert scale.shift == 0
    assert scale.apply(np.asarray([0.2, 0.1]))[0] * scale.sd + scale.mean == pytest.approx(np.log(0.2))
    assert np.isfinite(scale.apply(np.asarray([0.0, -1.0]))).all()


def test_belief_moves_no_mean_and_makes_sure():
    genomes, objectives = told(40)
    model = ErrorModel((4,) * 6, np.random.default_rng(0))
    posterior = model.posterior(genomes[:30], objectives[:30], np.zeros(30))
    others, latencies = genomes[30:], objectives[30:, 1]
    believing = posterior.believing(others[0], float(latencies[0]))
    (mean, sd), (again, surer) = (one.predict(others, latencies) for one in (posterior, believing))
    assert again == pytest.approx(mean, abs=1e-8)
    assert (surer <= sd + 1e-9).all() and surer[0] < sd[0]


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.sampled_from([0.0, 0.3, 0.5, 1.0, 2.0, -1.0]), min_size=1, max_size=6),
    st.sampled_from([1.0, 0.0, -3.0]),
)
def test_no_values_however_odd_break_the_model(errors, latency):
    genomes, objectives = told(len(errors))
    objectives[:, 0] = errors
    objectives[0, 1] = latency
    model = ErrorModel((4,) * 6, np.random.default_rng(0))
    mean, sd = model.posterior(genomes, objectives, np.zeros(len(errors))).predict(genomes, objectives[:, 1])
    assert np.isfinite(mean).all() and np.isfinite(sd).all()


@pytest.mark.parametrize("shift", [0.0, -0.5, -2.0])
def test_it_searches_where_errors_are_negative_and_no_reference_point_is_given(shift):
    space = open_space("mobilenetv3", "fashion")

    def shifted(genomes):
        return made_up_objectives(space, list(genomes)) + np.asarray([shift, -3.0])

    found, drawn = (
        hypervolume(run(space, algorithm, 60, shifted)[1], (1.0 + shift, 2.0))
        for algorithm in (
            SurrogateSearch(space, np.random.default_rng(0), 6, lambda genomes: shifted(genomes)[:, 1]),
            RandomSearch(space, np.random.default_rng(0), 6),
        )
    )
    assert found > 1.1 * drawn


def test_more_objectives_are_refused():
    space = tiny_space()
    rng = np.random.default_rng(0)
    setting = SearchSetting(space=space, rng=rng, latency_of=latency_in(space), objectives=3)
    with pytest.raises(ConfigError, match="CFG23"):
        open_algorithm("surrogate", setting)
