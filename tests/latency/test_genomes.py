"""Populations by genome: the same numbers as one network at a time, and the same refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reduced_spaces import PRESETS, REDUCED

from latency.calibration import Calibration
from latency.testing import made_up_table
from latency.uncertainty import TableDraws, Uncertainty
from mnas.errors import LutError, SpaceError
from mnas.genome_index import GenomeIndex
from mnas.spaces.presets import open_space
from mnas.spaces.staged import StagedSpace

# Besides presets of each kind: widths that round to the same channels, filters, gaps in the depths.
_ODD = ("v3: collapsing widths", "v3: gap in the depths", "own choices and filters", "mnas: filters and skips")
SPACES = {name: PRESETS[name] for name in ("mobilenetv3/fashion", "mobilenetv3/digits", "mnasnet/digits")}
SPACES |= {name: StagedSpace(REDUCED[name]) for name in _ODD}
_WEIGHTS = Calibration("weights", 1.2, 0.3, 2.0, 9, 0.01)


def drawn(table, seed=0, count=7):
    """The table with draws around its entries and its calibration."""
    rng = np.random.default_rng(seed)
    entries = np.array([entry.latency_ms for entry in table.entries.values()])
    table.draws = TableDraws(
        entries[:, None] * rng.normal(1, 0.05, (len(entries), count)),
        np.array([1.2, 0.3, 2.0]) * rng.normal(1, 0.02, (count, 3)),
    )
    table.uncertainty = Uncertainty(0.01, 0.02, 9)
    return table


TABLES = {name: drawn(made_up_table(space, _WEIGHTS)) for name, space in SPACES.items()}


@pytest.mark.parametrize("name", sorted(SPACES))
@given(st.integers(0, 2**32))
@settings(max_examples=20)
def test_a_population_is_estimated_like_its_networks_one_by_one(name, seed):
    space, table = SPACES[name], TABLES[name]
    genomes = np.random.default_rng(seed).integers(0, space.cardinalities, (5, len(space.cardinalities)))
    alone = table.estimate([space.decode(tuple(map(int, genome))) for genome in genomes])
    np.testing.assert_allclose(table.estimate_genomes(space, genomes), [one.ms for one in alone])
    together = table.over(space)
    np.testing.assert_allclose(together.sd_ms(genomes), [one.sd_ms for one in alone])
    target = float(np.median([one.ms for one in alone])) * 1.01
    np.testing.assert_allclose(
        together.probability_within(genomes, target), [one.probability_within(target) for one in alone], atol=1e-12
    )


def test_populations_are_empty_or_large_and_their_latencies_differ():
    space, table = SPACES["mobilenetv3/fashion"], TABLES["mobilenetv3/fashion"]
    assert table.estimate_genomes(space, []).shape == (0,)
    assert table.over(space).sd_ms([]).shape == table.over(space).probability_within([], 1.0).shape == (0,)
    genomes = np.random.default_rng(0).integers(0, space.cardinalities, (500, len(space.cardinalities)))
    assert len(np.unique(table.estimate_genomes(space, genomes))) > 400


@pytest.mark.parametrize("wrong", [-1, 99])
def test_what_is_no_genome_is_refused(wrong):
    space, table = SPACES["mobilenetv3/digits"], TABLES["mobilenetv3/digits"]
    genome = list(space.sample(np.random.default_rng(0)))
    with pytest.raises(SpaceError, match="SPC02"):
        table.estimate_genomes(space, [genome[:-1]])
    with pytest.raises(SpaceError, match="SPC02"):
        table.estimate_genomes(space, genome)
    for gene in range(len(genome)):
        with pytest.raises(SpaceError, match=rf"SPC02.*{wrong}"):
            table.estimate_genomes(space, [[*genome[:gene], wrong, *genome[gene + 1 :]]])


def test_missing_entries_are_refused_by_name_and_only_where_they_matter():
    space = open_space("mobilenetv3", "digits")
    table, index = made_up_table(space), GenomeIndex(space)
    genomes = np.random.default_rng(3).integers(0, space.cardinalities, (40, len(space.cardinalities)))
    cells = index.cells(genomes)
    gone = index.segments[cells[0, 1]]
    assert gone is not None and gone.role == "block"
    has_it = np.array([any(index.segments[cell] == gone for cell in row) for row in cells])
    assert has_it.any() and not has_it.all()
    del table.entries[gone]
    assert np.isfinite(table.estimate_genomes(space, genomes[~has_it])).all()
    with pytest.raises(LutError, match="LUT02") as caught:
        table.estimate_genomes(space, genomes)
    assert gone.label() in str(caught.value)


def test_a_table_keeps_apart_the_parts_of_a_space_that_are_alike_but_for_their_pixels():
    table = made_up_table(open_space("mobilenetv3", "digits"))
    small, large = (open_space("mobilenetv3", "digits", (px,)) for px in (8, 16))
    genome = small.extremes()[0]
    for space in (small, large, small):
        (alone,) = table.estimate([space.decode(genome)])
        assert table.estimate_genomes(space, [genome])[0] == pytest.approx(alone.ms)
    assert table.over(small) is table.over(small) is not table.over(large)
