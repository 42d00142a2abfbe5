"""What algorithms are made of: operators, archive, ends of the cheap objective, directions."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from mnas.spaces.presets import open_space
from search.algorithms.archive import FrontArchive
from search.algorithms.cheap_ends import cheap_ends
from search.algorithms.evolution import RegularisedEvolution
from search.algorithms.local_search import LocalSearch
from search.algorithms.mutation import gene_groups, mutate_genes
from search.algorithms.nsga2 import _NearMates, _WholeFront
from search.algorithms.nsga3 import reference_directions
from search.algorithms.pymoo_search import BlockCrossover, CanonicalRepair, NewGenomes
from search.pareto import front_indices
from search.testing import made_up_objectives, tiny_space

SPACE = open_space("mobilenetv3", "fashion")


def draws(count, seed=0):
    rng = np.random.default_rng(seed)
    return list(dict.fromkeys(SPACE.draw(rng) for _ in range(count)))


def cost_of(space):
    return lambda genomes: made_up_objectives(space, list(genomes))[:, 1]


@given(st.integers(0, 1000), st.lists(st.integers(1, 7), min_size=1, max_size=6))
def test_a_chosen_gene_changes_within_its_choices_and_no_other_does(seed, cardinalities):
    rng = np.random.default_rng(seed)
    genomes = rng.integers(0, cardinalities, (20, len(cardinalities)))
    chosen = rng.random(genomes.shape) < 0.5
    changed = mutate_genes(genomes, cardinalities, chosen, rng)
    assert ((changed != genomes) == (chosen & (np.asarray(cardinalities) > 1))).all()
    assert (changed >= 0).all() and (changed < cardinalities).all()


def test_most_changes_are_single_steps_and_every_choice_is_reached():
    rng = np.random.default_rng(0)
    genomes = np.full((4000, 1), 4)
    steps = np.abs(mutate_genes(genomes, [9], np.ones((4000, 1), bool), rng) - 4).ravel()
    assert set(steps) == {1, 2, 3, 4}
    counts = [int((steps == step).sum()) for step in (1, 2, 3, 4)]
    assert counts == sorted(counts, reverse=True) and counts[0] > 0.5 * 4000


def test_genes_belong_together_by_stage_and_by_block():
    names = ("resolution", "stage0.depth", "stage0.block0.kernel", "stage0.block0.se", "stage0.block1.kernel", "width")
    assert gene_groups(names).tolist() == [[0, 1, 1, 1, 1, 2], [0, 1, 2, 2, 3, 4], [0, 1, 2, 3, 4, 5]]
    assert gene_groups(["a", "b", "c"]).tolist() == [[0, 1, 2]]


@given(st.integers(0, 1000))
def test_crossover_exchanges_whole_groups_of_one_level(seed):
    names, rng = SPACE.gene_names, np.random.default_rng(seed)
    parents = np.stack([np.zeros((30, len(names)), int), np.ones((30, len(names)), int)])
    first, second = BlockCrossover(names)._do(None, parents, random_state=rng)
    assert (first + second == 1).all()
    levels = gene_groups(names)
    whole = np.zeros((len(levels), 30), bool)
    for level, groups in enumerate(levels):
        for pair, child in enumerate(first):
            whole[level, pair] = all(len(set(child[groups == one])) == 1 for one in set(groups))
    assert whole[-1].all()
    assert whole[0].any() and not whole[0].all()


def test_repair_and_duplicates_leave_new_canonical_genomes_each_once():
    rng, width = np.random.default_rng(0), len(SPACE.cardinalities)
    rows = rng.integers(0, SPACE.cardinalities, (60, width))
    problem = Problem(n_var=width, n_obj=2, xl=0, xu=9, vtype=int)
    repaired = CanonicalRepair(SPACE).do(problem, Population.new(X=np.concatenate([rows, rows])))
    genomes = [tuple(row) for row in repaired.get("X").tolist()]
    assert genomes == [SPACE.canonical(genome) for genome in genomes]
    seen, parents = {genomes[0]}, Population.new(X=np.asarray([genomes[1]]))
    left = [tuple(row) for row in NewGenomes(seen).do(repaired, parents).get("X").tolist()]
    assert left == [one for one in dict.fromkeys(genomes) if one not in (genomes[0], genomes[1])]


def population_of(values):
    values = np.asarray(values, dtype=float)
    return Population.new(X=np.arange(len(values))[:, None], F=values)


@given(st.integers(3, 40), st.integers(0, 100))
def test_the_whole_front_survives_up_to_its_bound_and_the_population_at_least(count, seed):
    rng, problem = np.random.default_rng(seed), Problem(n_var=1, n_obj=2)
    values = np.round(rng.random((count, 2)), 2)
    survival = _WholeFront(8)
    kept = survival.do(problem, population_of(values), n_survive=3, random_state=rng).get("X").ravel()
    front = set(front_indices(values))
    assert len(kept) == len(set(kept)) == max(3, min(len(front), 8))
    assert front <= set(kept) or set(kept) <= front


@given(st.integers(1, 30), st.integers(0, 100))
def test_mates_are_neighbours_by_the_last_objective(count, seed):
    rng, problem = np.random.default_rng(seed), Problem(n_var=1, n_obj=2)
    costs = rng.permutation(count).astype(float)
    values = np.stack([count - costs, costs], axis=1)
    algorithm = SimpleNamespace(tournament_type="comp_by_dom_and_crowding", random_state=rng)
    population = _WholeFront(count).do(problem, population_of(values), n_survive=count, random_state=rng)
    pairs = _NearMates()._do(problem, population, 12, 2, random_state=rng, algorithm=algorithm)
    costs = population.get("F")[:, 1]
    assert pairs.shape == (12, 2)
    assert (np.abs(costs[pairs[:, 0]] - costs[pairs[:, 1]]) <= 4).all()
    assert count == 1 or (pairs[:, 0] != pairs[:, 1]).all()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2)), max_size=25))
def test_the_archive_holds_what_nothing_dominates(points):
    archive, values = FrontArchive(), np.asarray(points, dtype=float).reshape(-1, 3)
    genomes = [(number,) for number in range(len(points))]
    for start in range(0, len(points), 4):
        archive.add(genomes[start : start + 4], values[start : start + 4])
    assert {one[0] for one in archive.genomes} == set(front_indices(values))
    assert [tuple(row) for row in archive.objectives] == [points[one[0]] for one in archive.genomes]


@pytest.mark.parametrize("seed", range(4))
def test_the_ends_of_the_cheap_objective_are_exact_where_genes_add_up(seed):
    space = tiny_space(kernels=(3, 5, 7, 9), widths=(0.5, 1.0, 1.5, 2.0))
    everything = cost_of(space)([space.unrank(number) for number in range(space.size())])
    ends = cheap_ends(space, np.random.default_rng(seed), cost_of(space))
    assert cost_of(space)(ends).tolist() == [everything.min(), everything.max()]


def test_equal_costs_have_ends_all_the_same():
    ends = cheap_ends(SPACE, np.random.default_rng(0), lambda genomes: np.ones(len(genomes)))
    assert 1 <= len(ends) <= 2


def test_local_search_starts_at_both_ends_and_asks_for_neighbours_of_its_front():
    algorithm, front = LocalSearch(SPACE, np.random.default_rng(0), 10, cost_of(SPACE)), []
    for generation in range(6):
        asked = algorithm.ask()
        costs = cost_of(SPACE)(asked)
        if generation == 0:
            low, high = costs[:2]
            assert all(low <= cost <= high for cost in cost_of(SPACE)(draws(300)))
            front = asked[:2]
        near = {
            SPACE.canonical((*one[:gene], choice, *one[gene + 1 :]))
            for one in front
            for gene, count in enumerate(SPACE.cardinalities)
            for choice in range(count)
        }
        assert set(asked) <= near
        algorithm.tell(asked, made_up_objectives(SPACE, asked))
        front = algorithm._archive.genomes


def test_evolution_lets_the_oldest_die_however_good_they_are():
    algorithm = RegularisedEvolution(SPACE, np.random.default_rng(0), 6, cost_of(SPACE))
    generations = []
    for generation in range(7):
        generations.append(algorithm.ask())
        algorithm.tell(generations[-1], np.full((6, 2), float(generation)))
    assert [genome for genome, _ in algorithm._living] == [one for group in generations[-4:] for one in group]


def test_a_child_of_evolution_is_near_one_of_the_living():
    algorithm = RegularisedEvolution(SPACE, np.random.default_rng(1), 6, cost_of(SPACE))
    parents = algorithm.ask()
    algorithm.tell(parents, made_up_objectives(SPACE, parents))
    near = {
        SPACE.canonical((*one[:gene], choice, *one[gene + 1 :]))
        for one in parents
        for gene, count in enumerate(SPACE.cardinalities)
        for choice in range(count)
    }
    assert set(algorithm.ask()) <= near


@pytest.mark.parametrize("objectives", [2, 3, 5])
def test_directions_sum_to_one_and_are_as_many_as_fit(objectives):
    for few, many in pairwise((4, 20, 100)):
        less, more = reference_directions(objectives, few), reference_directions(objectives, many)
        assert len(less) < len(more) <= many
        assert more.sum(axis=1) == pytest.approx(np.ones(len(more)))
        assert {tuple(row) for row in np.eye(objectives)} <= {tuple(row) for row in more.round(9)}
