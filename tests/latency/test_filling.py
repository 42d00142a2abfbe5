"""Entries that a table lacks, learned from the others: close, marked, doubted more, and never where nothing tells."""

import numpy as np
import pytest

from latency.builder import LutBuilder
from latency.table import LatencyTable
from mnas.errors import LutError
from mnas.segments import segments_of


@pytest.fixture
def table(store, plan, additive_device):
    return LutBuilder(store, additive_device(noise=0.01, seed=2), plan, lambda *_: None).build()


def without(table, segments):
    """The same table with some entries gone."""
    rows = [row for row, segment in enumerate(table.entries) if segment not in segments]
    lacking = LatencyTable(
        lut_id=table.lut_id,
        space=table.space,
        device=table.device,
        dtype=table.dtype,
        batch=table.batch,
        settings=table.settings,
        entries={segment: entry for segment, entry in table.entries.items() if segment not in segments},
        calibration=table.calibration,
        validation=table.validation,
        created_at_utc=table.created_at_utc,
        uncertainty=table.uncertainty,
        draws=type(table.draws)(table.draws.entries_ms[rows], table.draws.calibrations),
    )
    return lacking


def networks(plan, count=20):
    rng = np.random.default_rng(5)
    return [plan.space.decode(plan.space.sample(rng)) for _ in range(count)]


def test_filled_entries_are_close_marked_and_doubted(table, plan):
    blocks = [segment for segment in table.entries if segment.role == "block"]
    gone = blocks[::4]
    lacking = without(table, set(gone))
    with pytest.raises(LutError, match="LUT02"):
        lacking.estimate(networks(plan))
    filled, whole = lacking.estimate(networks(plan), missing="interpolate"), table.estimate(networks(plan))
    assert any(estimate.interpolated for estimate in filled) and set(lacking.entries).isdisjoint(gone)
    for network, estimate, true in zip(networks(plan), filled, whole, strict=True):
        assert estimate.interpolated == sum(segment in gone for segment in segments_of(network))
        assert estimate.source == ("predicted" if estimate.interpolated else "lut")
        assert estimate.ms == pytest.approx(true.ms, rel=0.1)
        if estimate.interpolated:
            assert estimate.sd_ms > true.sd_ms
        else:
            assert (estimate.ms, estimate.sd_ms) == pytest.approx((true.ms, true.sd_ms))
    known = lacking.filled(gone)
    errors = [known.entries[one].latency_ms / table.entries[one].latency_ms - 1 for one in gone]
    assert 0 < np.mean(np.abs(errors)) < 0.3
    assert {known.entries[one].verdict for one in gone} == {"predicted"}
    assert known.filled_in == set(gone)


def test_populations_are_filled_alike(table, plan):
    from latency.genomes import GenomeLatencies

    gone = {segment for segment in table.entries if segment.role == "block" and segment.blocks[0].kernel_size == 5}
    lacking = without(table, gone)
    genomes = [plan.space.encode(network) for network in networks(plan)]
    together = GenomeLatencies(lacking, plan.space, missing="interpolate")
    alone = lacking.filled(list(gone)).estimate(networks(plan))
    np.testing.assert_allclose(together.ms(genomes), [one.ms for one in alone])
    with pytest.raises(LutError, match="LUT02"):
        lacking.estimate_genomes(plan.space, genomes)


def test_a_table_of_few_entries_teaches_nothing(table, plan):
    lacking = without(table, set(list(table.entries)[10:]))
    with pytest.raises(LutError, match="LUT09"):
        lacking.estimate(networks(plan), missing="interpolate")
