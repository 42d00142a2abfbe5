"""Search spaces at their real size: genomes, what they stand for, and refusals; small copies: test_space_reduced."""

import re
from dataclasses import replace
from functools import cache
from itertools import pairwise
from math import log10, prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from reduced_spaces import PRESETS, cut

from mnas.counts import total_macs
from mnas.errors import SpaceError
from mnas.layers import layers_of
from mnas.named_networks import named_network
from mnas.segments import segments_of
from mnas.spaces import mobilenetv3
from mnas.spaces.definition import SpaceDefinition, StageDefinition
from mnas.spaces.presets import FAMILIES, open_space

seeds = st.integers(0, 2**32)
presets = st.sampled_from(sorted(PRESETS))


def genomes(space):
    return st.tuples(*(st.integers(0, count - 1) for count in space.cardinalities))


space_and_genome = presets.flatmap(lambda name: st.tuples(st.just(PRESETS[name]), genomes(PRESETS[name])))


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


@pytest.mark.parametrize("name", PRESETS)
def test_variation_reaches_every_choice_that_makes_a_difference(name):
    space, rng = PRESETS[name], np.random.default_rng(0)
    start = space.sample(rng)
    reached = canonical_choices(space)
    for draw in (lambda: space.draw(rng), lambda: space.mutate(start, rng, 1.0)):
        assert choices_of(draw() for _ in range(400)) == reached
    sampled = choices_of(space.sample(rng) for _ in range(400))
    for name_of_gene, seen, choices in zip(space.gene_names, sampled, reached, strict=True):
        # There are a few hundred times fewer networks with a layer less, and so on.
        assert seen <= choices if name_of_gene.endswith(".depth") else seen == choices
    if name.startswith("mobilenetv3"):
        assert [len(choices) for choices in reached] == list(space.cardinalities)


def choices_of(genomes):
    return [set(column) for column in zip(*genomes, strict=True)]


def canonical_choices(space):
    """The choices of each gene that any canonical genome holds: each one put into many genomes."""
    rng = np.random.default_rng(1)
    found = [set() for _ in space.cardinalities]
    for _ in range(60):
        base = tuple(int(gene) for gene in rng.integers(0, space.cardinalities))
        for gene, count in enumerate(space.cardinalities):
            for choice in range(count):
                canonical = space.canonical((*base[:gene], choice, *base[gene + 1 :]))
                found[gene].add(canonical[gene])
    return found


def test_variation_goes_as_far_as_it_is_told():
    space, rng = PRESETS["mobilenetv3/digits"], np.random.default_rng(0)
    start = space.sample(rng)
    assert 0 < sum(a != b for a, b in zip(start, space.mutate(start, rng, 0.3), strict=True)) < len(start)
    assert len({space.crossover(*space.extremes(), rng) for _ in range(20)}) > 10


@settings(max_examples=40)
@given(space_and_genome)
def test_a_networks_segments_are_segments_of_the_space(pair):
    space, genome = pair
    assert set(segments_of(space.decode(genome))) <= all_segments(space.name)


@cache
def all_segments(name):
    found = list(PRESETS[name].segments())
    assert len(found) == len(set(found))
    return set(found)


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
    assert space.name == name


def test_each_gene_moves_what_it_is_named_for():
    space = PRESETS["mobilenetv3/fashion"]
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
    space = PRESETS["mobilenetv3/digits"]
    inside = space.decode(space.extremes()[1])
    first, second = inside.stages
    wider = replace(first, blocks=(replace(first.blocks[0], kernel_size=7), *first.blocks[1:]))
    return {
        "another space": named_network("mobilenetv3-small"),
        "another preset": PRESETS["mobilenetv3/fashion"].decode(PRESETS["mobilenetv3/fashion"].extremes()[0]),
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
        PRESETS["mobilenetv3/digits"].encode(network)
    assert not PRESETS["mobilenetv3/digits"].contains(network)


def test_a_bad_genome_is_refused():
    space = PRESETS["mobilenetv3/digits"]
    good = space.extremes()[1]
    for bad in ((), good[:-1], (*good, 0), (-1, *good[1:]), (space.cardinalities[0], *good[1:])):
        for use in (space.canonical, space.decode):
            with pytest.raises(SpaceError, match=r"SPC02.*not a genome of mobilenetv3/digits"):
                use(bad)


def test_unknown_names_are_refused_with_the_known_ones():
    for asked, known in (
        (("mobilenetv9", "digits"), "mobilenetv3"),
        (("mobilenetv3", "digit"), "fashion, fashion-wide, digits, cifar10, imagenet"),
        (("mobilenetv3", "digits", (8, 9)), r"\[9\].*\(8, 12, 16\)"),
    ):
        with pytest.raises(SpaceError, match=f"SPC01.*{known}") as caught:
            open_space(*asked)
        assert caught.value.exit_code == 2


def test_fewer_resolutions_give_a_part_of_the_space():
    whole, parts = PRESETS["mobilenetv3/digits"], [open_space("mobilenetv3", "digits", (px,)) for px in (8, 12, 16)]
    assert sum(part.size() for part in parts) == whole.size()
    assert set().union(*(part.segments() for part in parts)) == set(whole.segments())
    for first, second in pairwise(parts):
        assert not second.contains(first.decode(first.extremes()[0]))


def test_sizes_are_those_of_the_papers_choices_where_no_two_of_them_come_to_the_same():
    layer = 3 * 3 * 2  # kernels, expansions, squeeze or none
    assert PRESETS["mobilenetv3/imagenet"].size() == 5 * 3 * (layer**2 + layer**3 + layer**4) ** 5
    layer = 3 * 2
    assert PRESETS["proxylessnas/imagenet"].size() == (layer + layer**2 + layer**3 + layer**4) ** 5 * layer


def test_mnasnet_has_432_choices_a_block_of_which_fewer_are_distinct():
    space = PRESETS["mnasnet/imagenet"]
    assert set(space.cardinalities[:2]) == {1}
    for stage in range(7):
        own = [n for n, name in zip(space.cardinalities, space.gene_names, strict=True) if f"stage{stage}." in name]
        assert prod(own) == 432
    # A skip asks for equal channels, filters may round alike, and a block keeps one layer where MobileNetV2 has one.
    assert space.size() < 432**7
    assert log10(space.size()) == pytest.approx(17.298, abs=1e-3)


@pytest.mark.parametrize(
    ("stage", "why"),
    [
        ({"kernels": (4,)}, "must be odd"),
        ({"ops": ("mbconf",)}, "known are conv, sepconv"),
        ({"ops": ("conv3",)}, "known are conv, sepconv"),
        ({"depths": ()}, "depths is empty"),
        ({"depths": (0,)}, "greater than or equal to 1"),
        ({"expands": (3, 3)}, "holds a choice twice"),
        ({"filters": (float("nan"),)}, "finite"),
        ({"se_ratio": (0.5,)}, "Extra inputs"),
    ],
)
def test_a_stage_that_is_none_is_refused(stage, why):
    with pytest.raises(ValidationError, match=why):
        StageDefinition.model_validate({"channels": 8, **stage})


@pytest.mark.parametrize(
    ("whole", "why"),
    [
        ({"stages": []}, "stages is empty"),
        ({"widths": (1.0, 1.0)}, "each choice once"),
        ({"head": [{"op": "pool"}]}, "must end in linear or flatten"),
        ({"head": [{"op": "pool"}, {"op": "linear", "channels": 11}]}, "10 classes, not in 11"),
        ({"stem": [{"op": "conv", "kernel_size": 2, "channels": 8}]}, "must be odd"),
        ({"name": "Digits"}, "pattern"),
    ],
)
def test_a_definition_that_is_none_is_refused(whole, why):
    with pytest.raises(ValidationError, match=why):
        SpaceDefinition.model_validate({**mobilenetv3.DIGITS.model_dump(), **whole})


def test_widths_and_filters_are_not_both_chosen():
    cut(mobilenetv3.DIGITS, {"filters": (0.5, 1.0)}, widths=(1.0,))
    with pytest.raises(ValidationError, match="not both"):
        cut(mobilenetv3.DIGITS, {"filters": (0.5, 1.0)})


def test_the_contract_names_every_family_with_its_genes_and_every_layer_of_its_networks():
    page = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text(encoding="utf-8")
    layers = page.partition("Which blocks become which layers")[2].partition("## ")[0]
    genes = page.partition("Families are those of")[2].partition("## ")[0]
    for family, of_family in FAMILIES.items():
        assert f"`{family}`" in genes
        assert {f"`{preset}`" in genes for preset in of_family} == {True}
        space = open_space(family, "imagenet")
        kinds = {re.sub(r"\d+", "", name).rpartition(".")[2] for name in space.gene_names}
        assert not [kind for kind in kinds if f"{kind}`" not in genes]
        drawn = (space.decode(space.draw(np.random.default_rng(seed))) for seed in range(20))
        ops = {layer.op for network in drawn for layer in layers_of(network)}
        assert not [op for op in ops - {"linear"} if f"`{op}`" not in layers]
