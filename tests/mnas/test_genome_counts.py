"""Counting by genome: to the digit what counting each network gives, and the same refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reduced_spaces import PRESETS, REDUCED, brute

from mnas.counts import total_macs, total_params
from mnas.errors import SpaceError
from mnas.genome_counts import GenomeCounts
from mnas.layers import layers_of
from mnas.spaces.staged import StagedSpace

COUNTS = {}


def counts_of(name):
    if name not in COUNTS:
        COUNTS[name] = GenomeCounts(PRESETS[name] if name in PRESETS else StagedSpace(REDUCED[name]))
    return COUNTS[name]


@settings(max_examples=60)
@given(st.sampled_from(sorted(PRESETS)), st.integers(0, 2**32))
def test_populations_are_counted_like_their_networks_one_by_one(name, seed):
    counts, space = counts_of(name), PRESETS[name]
    genomes = np.random.default_rng(seed).integers(0, space.cardinalities, (3, len(space.cardinalities)))
    layers = [layers_of(space.decode(tuple(map(int, genome)))) for genome in genomes]
    macs, params = counts.macs(genomes), counts.params(genomes)
    assert macs.dtype == params.dtype == np.int64
    assert macs.tolist() == [total_macs(own) for own in layers]
    assert params.tolist() == [total_params(own) for own in layers]


@pytest.mark.parametrize("name", REDUCED)
def test_every_genome_of_a_small_space_is_counted_like_its_network(name):
    counts = counts_of(name)
    for network, genomes in list(brute(name)[1].items())[::4]:
        layers = layers_of(network)
        assert set(counts.macs(genomes).tolist()) == {total_macs(layers)}
        assert set(counts.params(genomes).tolist()) == {total_params(layers)}


@pytest.mark.parametrize("name", ["mobilenetv3/fashion", "mnasnet/digits", "lightweight/digits"])
def test_what_segments_cost_leads_to_the_least_and_the_greatest(name):
    counts, space = counts_of(name), PRESETS[name]
    least, greatest = space.extremes()
    assert space.cheapest(counts.segment_macs.__getitem__) == least
    fewest = space.cheapest(counts.segment_params.__getitem__)
    drawn = [space.draw(np.random.default_rng(seed)) for seed in range(200)]
    assert counts.params(drawn).min() >= counts.params([fewest])[0]
    assert counts.macs([least])[0] <= counts.macs(drawn).min() < counts.macs(drawn).max() <= counts.macs([greatest])[0]


def test_no_genome_no_count_and_a_bad_one_is_refused():
    counts = counts_of("mobilenetv3/digits")
    assert counts.macs([]).shape == counts.params([]).shape == (0,)
    for bad in ([[0, 0]], [[-1] * 16], [0] * 16, [[0] * 16, [0] * 15]):
        for count in (counts.macs, counts.params):
            with pytest.raises(SpaceError, match="SPC02"):
                count(bad)
