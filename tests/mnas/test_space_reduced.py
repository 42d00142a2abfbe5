"""Everything that a space says of all its networks at once, against every genome of small copies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reduced_spaces import REDUCED, brute, brute_segments

from mnas.counts import total_macs
from mnas.errors import SpaceError
from mnas.layers import layers_of

reduced = pytest.mark.parametrize("name", REDUCED)


def test_the_copies_hold_the_edges_that_they_are_for():
    """Genes that change nothing, in all kinds; else the tests below would be easy ones."""
    spaces = {name: brute(name)[0] for name in REDUCED}
    assert all(space.size() < np.prod(space.cardinalities) or "one layer" in name or "deep" in name
               for name, space in spaces.items())  # fmt: skip
    genes = {gene.split(".")[-1] for space in spaces.values() for gene in space.gene_names}
    assert genes == {"resolution", "width", "depth", "filters", "op", "kernel", "expand", "se", "skip", "activation",
                     "dilation", "groups"}  # fmt: skip
    blocks = {block for name in REDUCED for network in brute(name)[1] for block in network.blocks}
    assert {(block.skip, block.shortcut) for block in blocks} == {
        (False, "identity"), (True, "identity"), (True, "pool"), (True, "conv")
    }  # fmt: skip
    assert {block.op for block in blocks} >= {
        "conv", "sepconv", "mbconv", "fire", "ghost", "shufflev1", "shufflev2"
    }  # fmt: skip
    assert {1, 2} <= {block.se_channels for block in blocks}, "shares of the input, not rounded to eight"


@reduced
def test_size_is_the_number_of_networks(name):
    space, found = brute(name)
    assert space.size() == len(found)
    assert len({network.arch_id for network in found}) == len(found)


@reduced
def test_numbers_and_networks_are_one_to_one(name):
    space, found = brute(name)
    genomes = [space.unrank(number) for number in range(space.size())]
    assert {space.decode(genome) for genome in genomes} == set(found)
    for beyond in (-1, space.size()):
        with pytest.raises(SpaceError, match="SPC02"):
            space.unrank(beyond)


@reduced
def test_the_canonical_genome_is_the_first_that_gives_the_network(name):
    space, found = brute(name)
    for network, genomes in found.items():
        first = min(genomes)
        assert space.encode(network) == first
        assert {space.canonical(genome) for genome in genomes} == {first}


@reduced
def test_unranked_genomes_are_canonical(name):
    space, found = brute(name)
    assert {space.unrank(number) for number in range(space.size())} == {min(genomes) for genomes in found.values()}


@reduced
def test_segments_are_those_of_all_networks_and_no_others(name):
    space, _ = brute(name)
    listed = list(space.segments())
    assert len(listed) == len(set(listed))
    assert set(listed) == {segment for segments in brute_segments(name).values() for segment in segments}


@reduced
def test_places_give_the_segments_of_every_genome(name):
    space, _ = brute(name)
    places = space.places()
    for place in places:
        assert len(place.segments) == np.prod([space.cardinalities[gene] for gene in place.genes])
    assert {one for place in places for one in place.segments} - {None} == set(space.segments())
    for network, genomes in brute(name)[1].items():
        for genome in genomes:
            assert tuple(segments_at(space, places, genome)) == brute_segments(name)[network]


def segments_at(space, places, genome):
    for place in places:
        cell = 0
        for gene in place.genes:
            cell = cell * space.cardinalities[gene] + genome[gene]
        if place.segments[cell] is not None:
            yield place.segments[cell]


@reduced
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), low=st.sampled_from((0.0, -1.0, -100.0)), high=st.sampled_from((1.0, -0.5)))
def test_cheapest_is_the_least_over_all_networks(name, seed, low, high):
    space, _ = brute(name)
    rng = np.random.default_rng(seed)
    cost = {segment: float(rng.uniform(min(low, high), max(low, high))) for segment in space.segments()}
    totals = [sum(cost[segment] for segment in segments) for segments in brute_segments(name).values()]
    cheapest = space.cheapest(lambda segment: cost[segment])
    assert space.canonical(cheapest) == cheapest
    own = brute_segments(name)[space.decode(cheapest)]
    assert sum(cost[segment] for segment in own) == pytest.approx(min(totals))


@reduced
def test_extremes_are_those_of_all_networks(name):
    space, found = brute(name)
    macs = [total_macs(layers_of(network)) for network in found]
    assert [total_macs(layers_of(space.decode(genome))) for genome in space.extremes()] == [min(macs), max(macs)]


@pytest.mark.parametrize("name", ["v3: gap in the depths", "mnas: filters and skips", "own choices and filters"])
def test_sample_is_uniform_over_networks_and_draw_over_genes(name):
    from scipy.stats import chisquare

    space, found = brute(name)
    rng, times = np.random.default_rng(7), 20 * space.size()
    networks, genomes = [min(own) for own in found.values()], [len(own) for own in found.values()]
    sampled, drawn = (counted(networks, [draw(rng) for _ in range(times)]) for draw in (space.sample, space.draw))
    assert chisquare(sampled).pvalue > 0.01
    by_genomes = np.array(genomes) / sum(genomes) * times
    assert chisquare(drawn, by_genomes).pvalue > 0.01
    assert chisquare(drawn).pvalue < 1e-6, "the two are the same here, so that this test says nothing"


def counted(networks, draws):
    seen = dict.fromkeys(networks, 0)
    for one in draws:
        seen[one] += 1
    return list(seen.values())


@reduced
def test_variation_stays_inside_and_canonical(name):
    space, found = brute(name)
    canonical, rng = {min(genomes) for genomes in found.values()}, np.random.default_rng(3)
    for _ in range(200):
        first, second = space.sample(rng), space.draw(rng)
        assert {first, second, space.mutate(first, rng, 0.5), space.crossover(first, second, rng)} <= canonical
