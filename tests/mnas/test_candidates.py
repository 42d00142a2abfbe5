"""Candidates: distinct, within their constraints, the same for the same seed, and an error that helps where there
are too few."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reduced_spaces import PRESETS, brute

from latency.constraint import latency_between
from latency.testing import made_up_table
from mnas.candidates import CandidateGenerator
from mnas.constraint import Constraint, macs_between, params_between
from mnas.counts import total_macs
from mnas.errors import LutError, SpaceError
from mnas.genome_counts import GenomeCounts
from mnas.layers import layers_of
from mnas.spaces.presets import open_space

LARGE, SMALL = PRESETS["mobilenetv3/fashion"], "own choices and filters"
COUNTS = GenomeCounts(LARGE)


def generator(constraints, seed=0, space=LARGE, **options):
    return CandidateGenerator(space, constraints, np.random.default_rng(seed), **options)


def macs_of(genome, space=LARGE):
    return total_macs(layers_of(space.decode(genome)))


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 60), st.floats(0.3, 0.6), st.booleans())
def test_candidates_are_distinct_canonical_and_within_every_range(seed, count, share, uniform):
    table = made_up_table(LARGE)
    drawn = [LARGE.sample(np.random.default_rng(seed + i)) for i in range(200)]
    wanted = [
        macs_between(COUNTS, high=float(np.quantile(COUNTS.macs(drawn), 1 - share / 2))),
        params_between(COUNTS, low=float(np.quantile(COUNTS.params(drawn), share / 3))),
        latency_between(table, LARGE, high_ms=float(np.quantile(table.estimate_genomes(LARGE, drawn), 0.8))),
    ]
    found = generator(wanted, seed, uniform=uniform).generate(count)
    assert len(found) == len(set(found)) == count
    assert len({LARGE.decode(genome).arch_id for genome in found}) == count
    assert found == [LARGE.canonical(genome) for genome in found]
    assert max(map(macs_of, found)) <= wanted[0].high
    assert COUNTS.params(found).min() >= wanted[1].low
    assert max(one.ms for one in table.estimate([LARGE.decode(genome) for genome in found])) <= wanted[2].high * (
        1 + 1e-12
    )


def test_the_same_seed_gives_the_same_networks_and_another_one_others():
    wanted = [macs_between(COUNTS, high=2e6)]
    assert generator(wanted, 1).generate(30) == generator(wanted, 1).generate(30)
    assert set(generator(wanted, 1).generate(30)) != set(generator(wanted, 2).generate(30))
    rare = [macs_between(COUNTS, high=1.5 * macs_of(LARGE.extremes()[0]))]
    first, second = (generator(rare, 1, max_tries=20_000).generate(5) for _ in range(2))
    assert first == second


def test_later_calls_give_other_networks():
    one = generator([macs_between(COUNTS, high=3e6)], max_tries=5000)
    calls = [one.generate(count) for count in (7, 0, 50, 1)]
    assert [len(found) for found in calls] == [7, 0, 50, 1]
    assert len(set().union(*calls)) == 58


def test_a_small_space_is_gone_through_once_and_to_the_end():
    space, networks = brute(SMALL)
    limit = float(np.median([total_macs(layers_of(network)) for network in networks]))
    meeting = {min(own) for network, own in networks.items() if total_macs(layers_of(network)) <= limit}
    one = generator([macs_between(GenomeCounts(space), high=limit)], space=space)
    first, second = one.generate(100), one.generate(len(meeting) - 101)
    assert set(first) | set(second) < meeting and not set(first) & set(second)
    with pytest.raises(SpaceError, match=rf"SPC21.*1 of 2, each of {space.size():,} looked at") as caught:
        one.generate(2)
    assert "more tries" not in str(caught.value)
    assert set(one.generate(1)) | set(first) | set(second) == meeting, "what was found before the error is not lost"
    assert one.is_uniform


def test_all_that_meets_the_constraints_is_equally_likely():
    from scipy.stats import chisquare

    space, networks = brute(SMALL)
    counts = GenomeCounts(space)
    genomes = [min(own) for own in networks.values()]
    limit = float(np.quantile(counts.macs(genomes), 0.05))
    meeting = {genome: 0 for genome, macs in zip(genomes, counts.macs(genomes), strict=True) if macs <= limit}
    for seed in range(300):
        # Both ways: by going through the space, and by drawing.
        for tries in (space.size(), space.size() - 1):
            one = generator([macs_between(counts, high=limit)], seed, space, max_tries=tries, uniform=True)
            for genome in one.generate(2):
                meeting[genome] += 1
    assert 30 < len(meeting) < 60
    assert chisquare(list(meeting.values())).pvalue > 0.01


def test_networks_too_rare_to_be_drawn_are_found_by_mutation_and_it_says_so():
    space = open_space("mobilenetv3", "imagenet")
    counts = GenomeCounts(space)
    wanted = [macs_between(counts, high=80e6), params_between(counts, low=2.5e6)]
    drawn = generator(wanted, space=space, max_tries=4000, uniform=True)
    with pytest.raises(SpaceError, match=r"SPC21.*0 of 20, 4,000 looked at.*nearest.*MACs .*% above 80,000,000"):
        drawn.generate(20)
    assert drawn.is_uniform
    guided = generator(wanted, space=space, max_tries=4000)
    found = guided.generate(20)
    assert len(set(found)) == 20 and not guided.is_uniform
    assert counts.macs(found).max() <= 80e6 and counts.params(found).min() >= 2.5e6
    genes = np.array(found)
    assert (genes[:, None] != genes[None]).mean() > 0.05, "not one network and its neighbours"


def test_the_one_network_at_the_edge_is_found():
    least, greatest = LARGE.extremes()
    for range_ in ({"high": macs_of(least)}, {"low": macs_of(greatest)}):
        found = generator([macs_between(COUNTS, **range_)], max_tries=3000).generate(1)
        assert macs_of(found[0]) in (macs_of(least), macs_of(greatest))


def test_what_cannot_be_reached_is_refused_untried_with_what_can():
    least, greatest = (macs_of(genome) for genome in LARGE.extremes())
    for range_, side in (({"high": least - 1}, "above"), ({"low": greatest + 1}, "below")):
        with pytest.raises(SpaceError, match=rf"SPC21.*0 of 3, 0 looked at.*{side}.*params .*\(met\)") as caught:
            generator([macs_between(COUNTS, **range_), params_between(COUNTS, low=1)]).generate(3)
        assert caught.value.exit_code == 2
        assert f"MACs of the space go from {least:,} to {greatest:,}" in str(caught.value)
        assert "allow more tries" not in str(caught.value)


def test_constraints_that_exclude_each_other_end_after_the_tries_with_how_far_each_is_off():
    greatest = macs_of(LARGE.extremes()[1])
    few = COUNTS.params([LARGE.cheapest(COUNTS.segment_params.__getitem__)])[0]
    wanted = [macs_between(COUNTS, low=greatest), params_between(COUNTS, high=few)]
    for options in ({}, {"uniform": True}):
        with pytest.raises(SpaceError, match=r"SPC21.*0 of 1, 3,000 looked at.*allow more tries") as caught:
            generator(wanted, max_tries=3000, **options).generate(1)
        text = str(caught.value)
        assert re.search(r"nearest one has MACs [\d,]+ .*, params [\d,]+ ", text)
        assert "above" in text or "below" in text


def test_tries_are_bounded_by_what_measures_see():
    looked_at = []

    def never(genomes):
        looked_at.append(len(genomes))
        return np.full(len(genomes), np.nan)

    with pytest.raises(SpaceError, match=r"SPC21.*5,000 looked at.*latency_ms nan"):
        generator([Constraint("latency_ms", never, high=1.0)], max_tries=5000).generate(4)
    assert sum(looked_at[:-1]) == 5000 and looked_at[-1] == 1, "the last one is the nearest, for the message"


def test_without_constraints_every_network_will_do():
    assert len(set(generator([]).generate(500))) == 500
    space = brute(SMALL)[0]
    assert len(set(generator([], space=space).generate(space.size()))) == space.size()
    with pytest.raises(SpaceError, match=r"SPC21.*there are no more"):
        generator([], space=space).generate(space.size() + 1)


def test_a_range_that_is_none_is_refused():
    for low, high in ((2.0, 1.0), (math.nan, 1.0), (0.0, math.nan)):
        with pytest.raises(SpaceError, match=r"SPC20.*no latency_ms"):
            Constraint("latency_ms", len, low, high)


def test_a_table_that_lacks_entries_is_refused_and_not_taken_as_fast():
    table = made_up_table(LARGE)
    del table.entries[next(one for one in LARGE.segments() if one.role == "head")]
    with pytest.raises(LutError, match="LUT02"):
        generator([latency_between(table, LARGE, high_ms=1e9)]).generate(1)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_how_far_a_figure_is_off(value, one, other):
    low, high = sorted((one, other))
    wanted = Constraint("figure", len, low, high)
    off = wanted.off([value])[0]
    assert (off == 0) == (low <= value <= high) == ("(met)" in wanted.verdict(value))
    assert off == max(low - value, value - high, 0)
    assert wanted.off([math.nan])[0] == math.inf
