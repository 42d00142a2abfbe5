"""Search spaces: genomes, what they stand for, and everything a space says of all its networks at once."""

from dataclasses import replace
from functools import cache
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnas.counts import total_macs
from mnas.errors import SpaceError
from mnas.layers import layers_of
from mnas.named_networks import named_network
from mnas.segments import segments_of
from mnas.spaces.choices import StageChoices
from mnas.spaces.mobilenetv3 import MobileNetV3Space
from mnas.spaces.presets import MOBILENETV3_PRESETS, open_space

PRESETS = {name: open_space("mobilenetv3", name) for name in MOBILENETV3_PRESETS}
_BASE = MOBILENETV3_PRESETS["digits"]
REDUCED = {
    # The first two widths round to the same channels everywhere; the stages differ in stride and activation.
    "collapsing widths": replace(_BASE, resolutions_px=(9, 8), widths=(0.5, 0.55, 1.0), kernels=(3,)),
    "gap in the depths": replace(
        _BASE, resolutions_px=(13,), widths=(1.0,), se_ratios=(0.25,), depths=(4, 1), stages=_BASE.stages[:1]
    ),
    "one layer a stage": replace(
        _BASE, depths=(1,), widths=(1.5, 0.5), expands=(6,), stem_block=True, stem_stride=2, head_linear=24
    ),
    "deep alone": replace(
        _BASE,
        resolutions_px=(7,),
        widths=(1.0,),
        expands=(4, 3),
        depths=(3,),
        se_ratios=(0.25, 0.0),
        kernels=(5,),
        stages=(StageChoices(16, 1, "relu"),),
    ),
}
seeds = st.integers(0, 2**32)
presets = st.sampled_from(sorted(PRESETS))


def genomes(space):
    return st.tuples(*(st.integers(0, count - 1) for count in space.cardinalities))


space_and_genome = presets.flatmap(lambda name: st.tuples(st.just(PRESETS[name]), genomes(PRESETS[name])))


@cache
def brute(name):
    """The space, and every architecture of it with its segments, by trying all genomes."""
    space = MobileNetV3Space(REDUCED[name])
    found = {}
    for genome in product(*map(range, space.cardinalities)):
        architecture = space.decode(genome)
        if architecture not in found:
            found[architecture] = segments_of(architecture)
    return space, found


@given(space_and_genome)
def test_decode_and_encode_are_inverse(pair):
    space, genome = pair
    canonical = space.canonical(genome)
    architecture = space.decode(genome)
    assert space.canonical(canonical) == canonical
    assert space.decode(canonical) == architecture
    assert space.encode(architecture) == canonical
    assert space.contains(architecture)


@given(space_and_genome, seeds)
def test_networks_are_equal_exactly_when_canonical_genomes_are(pair, seed):
    space, genome = pair
    other, rng = list(genome), np.random.default_rng(seed)
    for place in rng.integers(0, len(genome), 2):
        other[place] = int(rng.integers(0, space.cardinalities[place]))
    are_equal = space.canonical(genome) == space.canonical(tuple(other))
    assert (space.decode(genome) == space.decode(tuple(other))) == are_equal
    assert (space.decode(genome).arch_id == space.decode(tuple(other)).arch_id) == are_equal


@given(presets, seeds, st.floats(0, 1))
def test_sample_mutate_and_crossover_stay_inside_and_canonical(name, seed, rate):
    space, rng = PRESETS[name], np.random.default_rng(seed)
    first, second = space.sample(rng), space.sample(rng)
    mutant, child = space.mutate(first, rng, rate), space.crossover(first, second, rng)
    for genome in (first, second, mutant, child):
        assert space.canonical(genome) == genome
        assert all(type(gene) is int for gene in genome)
    assert space.mutate(first, rng, 0.0) == first
    assert space.crossover(first, first, rng) == first
    assert all(gene in (a, b, 0) for gene, a, b in zip(child, first, second, strict=True))


def test_variation_reaches_every_choice():
    space, rng = PRESETS["digits"], np.random.default_rng(0)
    start = space.sample(rng)
    for draw in (lambda: space.sample(rng), lambda: space.mutate(start, rng, 1.0)):
        seen = [set(column) for column in zip(*(draw() for _ in range(300)), strict=True)]
        assert seen == [set(range(count)) for count in space.cardinalities]
    assert 0 < sum(a != b for a, b in zip(start, space.mutate(start, rng, 0.3), strict=True)) < len(start)
    assert len({space.crossover(*space.extremes(), rng) for _ in range(20)}) > 10


@settings(max_examples=40)
@given(space_and_genome)
def test_a_networks_segments_are_segments_of_the_space(pair):
    space, genome = pair
    assert set(segments_of(space.decode(genome))) <= all_segments(space.name)


@cache
def all_segments(name):
    found = list(PRESETS[name.partition("/")[2]].segments())
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.parametrize("name", REDUCED)
def test_segments_are_those_of_all_networks_and_no_others(name):
    space, found = brute(name)
    listed = list(space.segments())
    assert len(listed) == len(set(listed))
    assert set(listed) == {segment for segments in found.values() for segment in segments}


@pytest.mark.parametrize("name", REDUCED)
def test_size_is_the_number_of_networks(name):
    space, found = brute(name)
    assert space.size() == len(found)
    assert len({space.encode(architecture) for architecture in found}) == len(found)
    assert len({space.canonical(genome) for genome in product(*map(range, space.cardinalities))}) == len(found)
    if name == "collapsing widths":
        assert {space.encode(architecture)[1] for architecture in found} == {0, 2}


@pytest.mark.parametrize("name", REDUCED)
@settings(max_examples=15)
@given(seed=seeds, low=st.sampled_from((0.0, -1.0, -100.0)), high=st.sampled_from((1.0, -0.5)))
def test_cheapest_is_the_least_over_all_networks(name, seed, low, high):
    space, found = brute(name)
    rng = np.random.default_rng(seed)
    cost = {segment: float(rng.uniform(min(low, high), max(low, high))) for segment in space.segments()}
    totals = [sum(cost[segment] for segment in segments) for segments in found.values()]
    cheapest = space.cheapest(lambda segment: cost[segment])
    assert space.canonical(cheapest) == cheapest
    assert sum(cost[segment] for segment in segments_of(space.decode(cheapest))) == pytest.approx(min(totals))


@pytest.mark.parametrize("name", REDUCED)
def test_extremes_are_those_of_all_networks(name):
    space, found = brute(name)
    macs = [total_macs(layers_of(architecture)) for architecture in found]
    assert [total_macs(layers_of(space.decode(genome))) for genome in space.extremes()] == [min(macs), max(macs)]


@given(space_and_genome)
def test_no_network_of_a_preset_lies_beyond_its_extremes(pair):
    space, genome = pair
    small, large = space.extremes()
    smallest, own, largest = (total_macs(layers_of(space.decode(one))) for one in (small, genome, large))
    assert smallest <= own <= largest


@pytest.mark.parametrize("name", PRESETS)
def test_every_gene_has_a_name_and_a_choice(name):
    space = PRESETS[name]
    assert len(space.gene_names) == len(set(space.gene_names)) == len(space.cardinalities)
    assert min(space.cardinalities) >= 1
    assert space.name == f"mobilenetv3/{name}"


def test_each_gene_moves_what_it_is_named_for():
    space = PRESETS["fashion"]
    largest = space.extremes()[1]
    for place, gene in enumerate(space.gene_names):
        changed = list(largest)
        changed[place] = (changed[place] + 1) % space.cardinalities[place]
        before, after = space.decode(largest), space.decode(tuple(changed))
        differing = [i for i, (a, b) in enumerate(zip(before.stages, after.stages, strict=True)) if a != b]
        if gene == "resolution":
            assert before.stages == after.stages and before.input_shape_chw != after.input_shape_chw
        elif gene == "width":
            assert differing == [0, 1, 2] and before.input_shape_chw == after.input_shape_chw
        else:
            assert differing == [int(gene[5])]


def foreign_networks():
    space = PRESETS["digits"]
    inside = space.decode(space.extremes()[1])
    first, second = inside.stages
    wider = replace(first, blocks=(replace(first.blocks[0], kernel_size=7), *first.blocks[1:]))
    return {
        "another space": named_network("mobilenetv3-small"),
        "another preset": PRESETS["fashion"].decode(PRESETS["fashion"].extremes()[0]),
        "another kernel": replace(inside, stages=(wider, second)),
        "not square": replace(inside, input_shape_chw=(1, 16, 8)),
        "another size": replace(inside, input_shape_chw=(1, 17, 17)),
        "another head": replace(inside, head=(*inside.head, inside.head[-1])),
        "a stage too few": replace(inside, stages=(first,)),
        "a stage too deep": replace(inside, stages=(first, replace(second, blocks=second.blocks * 2))),
        "no stem": replace(inside, stem=()),
    }


@pytest.mark.parametrize("what", foreign_networks())
def test_a_foreign_network_is_refused(what):
    network = foreign_networks()[what]
    with pytest.raises(SpaceError, match=r"SPC03.*mobilenetv3/digits"):
        PRESETS["digits"].encode(network)
    assert not PRESETS["digits"].contains(network)


def test_a_bad_genome_is_refused():
    space = PRESETS["digits"]
    good = space.extremes()[1]
    for bad in ((), good[:-1], (*good, 0), (-1, *good[1:]), (space.cardinalities[0], *good[1:])):
        for use in (space.canonical, space.decode):
            with pytest.raises(SpaceError, match=r"SPC02.*not a genome of mobilenetv3/digits"):
                use(bad)


def test_unknown_names_are_refused_with_the_known_ones():
    for asked, known in (
        (("mobilenetv9", "digits"), "mobilenetv3"),
        (("mobilenetv3", "digit"), "fashion, digits, imagenet"),
        (("mobilenetv3", "digits", (8, 9)), r"\[9\].*\(8, 12, 16\)"),
    ):
        with pytest.raises(SpaceError, match=f"SPC01.*{known}") as caught:
            open_space(*asked)
        assert caught.value.exit_code == 2


def test_fewer_resolutions_give_a_part_of_the_space():
    whole, parts = PRESETS["digits"], [open_space("mobilenetv3", "digits", (px,)) for px in (8, 12, 16)]
    assert sum(part.size() for part in parts) == whole.size()
    assert set().union(*(part.segments() for part in parts)) == set(whole.segments())
    for first, second in pairwise(parts):
        assert not second.contains(first.decode(first.extremes()[0]))


@given(space_and_genome)
def test_places_hold_the_segments_of_any_genome(given_):
    space, genome = given_
    found = []
    for place in space.places():
        cell = 0
        for gene in place.genes:
            cell = cell * space.cardinalities[gene] + genome[gene]
        found.append(place.segments[cell])
    assert tuple(one for one in found if one is not None) == segments_of(space.decode(genome))


@pytest.mark.parametrize("name", sorted(REDUCED))
def test_places_hold_each_segment_of_the_space_and_no_other(name):
    space = MobileNetV3Space(REDUCED[name])
    held = {segment for place in space.places() for segment in place.segments}
    assert held - {None} == set(space.segments())
    for place in space.places():
        assert len(place.segments) == np.prod([space.cardinalities[gene] for gene in place.genes])
