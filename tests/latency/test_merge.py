"""Merging: the union of entries, networks pooled and added up anew, and every disagreement refused by name."""

import json
import re
from dataclasses import replace
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from latency_foreign import OFA_CHOICES, OFA_KEYS, ofa_network, table_text

from latency.builder import LutBuilder
from latency.coverage import covered_space
from latency.exchange import export_table, foreign_device, import_table
from latency.merge import merge_tables
from latency.plan import LutPlan
from latency.saving import networks_of, save_table
from latency.table import LutEntry
from latency.testing import made_up_table
from mnas.errors import LutError
from mnas.segments import segments_of
from mnas.spaces.presets import open_space, with_resolutions
from mnas.spaces.staged import StagedSpace
from mnas.spaces.toml_file import read_space

SPACE = open_space("mobilenetv3", "digits", (8,))
EXAMPLES = Path(__file__).parents[2] / "docs" / "spaces"


@pytest.fixture
def build(store, plan, additive_device):
    """Return a function that builds a table of some resolutions of the digits space on a device."""

    def build(*px, device=None, **settings):
        own = LutPlan(open_space("mobilenetv3", "digits", px), replace(plan.settings, **settings))
        return LutBuilder(store, device or additive_device(), own, lambda *_: None).build(anew=True)

    return build


@pytest.fixture
def save(store):
    """Return a function that keeps a made-up table, changed in some attributes."""

    def save(entries=None, **changes):
        table = made_up_table(SPACE)
        table.entries = table.entries if entries is None else entries
        for name, value in changes.items():
            setattr(table, name, value)
        return save_table(store, table, [])

    return save


def test_two_resolutions_become_one_validated_table(store, build):
    first, second = build(8), build(16)
    merged = merge_tables(store, [first, second])
    table = merged.table
    assert table.entries == {**first.entries, **second.entries}
    assert len(table.entries) == len(first.entries) + len(second.entries) - merged.shared
    assert table.space == "mobilenetv3/digits" and table.settings == first.settings
    assert [source.lut_id for source in table.origin.sources] == [first.lut_id, second.lut_id]
    assert table.origin.text() == f"merged from {first.lut_id}, {second.lut_id}"
    # On this device sums are exact, so one calibration serves both, and the pooled networks show it.
    assert merged.warnings == () and table.validation.networks == 12
    assert table.calibration.networks == 10 and table.validation.table.mape < 1e-3
    both = open_space("mobilenetv3", "digits", (8, 16))
    for network in networks_of(store, table.lut_id):
        architecture = both.decode(tuple(json.loads(network.genome_json)))
        assert architecture.arch_id == network.arch_id
        assert network.sum_ms == pytest.approx(sum(table.entries[one].latency_ms for one in segments_of(architecture)))
        assert table.estimate([architecture])[0].ms == pytest.approx(network.measured_ms, rel=1e-3)
    # And on: a third resolution joins a table that was merged itself.
    third = build(12)
    more = merge_tables(store, [table, third]).table
    assert more.validation.networks == 18 and len(more.entries) > len(table.entries)
    assert {name for name, _ in more.origin.ancestors} == {one.lut_id for one in (first, second, table, third)}


@pytest.fixture
def build_own(store, plan, additive_device):
    """Return a function that builds a table of some resolutions of a user's own space, with some kernels."""
    tiny = read_space(EXAMPLES / "tiny.toml").definition

    def build_own(*px, kernels=(3, 5)):
        stages = tuple(stage.model_copy(update={"kernels": kernels}) for stage in tiny.stages)
        space = StagedSpace(with_resolutions(tiny.model_copy(update={"stages": stages}), px))
        return LutBuilder(store, additive_device(), LutPlan(space, plan.settings), lambda *_: None).build(anew=True)

    return build_own


def test_two_resolutions_of_a_users_own_space_become_one_validated_table(store, build, build_own):
    first, second = build_own(8), build_own(12)
    merged = merge_tables(store, [first, second])
    table = merged.table
    assert merged.warnings == () and table.validation.networks == 12
    both = covered_space(table)
    assert both.definition == read_space(EXAMPLES / "tiny.toml").definition
    for network in networks_of(store, table.lut_id):
        assert both.decode(tuple(json.loads(network.genome_json))).arch_id == network.arch_id
    # A preset joins it: both keep their networks.
    more = merge_tables(store, [first, build(8)]).table
    assert more.space == "user/tiny + mobilenetv3/digits"
    assert {one.arch_id for one in networks_of(store, first.lut_id)} < {
        one.arch_id for one in networks_of(store, more.lut_id)
    }


def test_two_spaces_of_one_name_are_not_taken_for_one(store, build_own):
    first, second = build_own(8), build_own(12, kernels=(5,))
    merged = merge_tables(store, [first, second])
    assert merged.table.validation is None and networks_of(store, merged.table.lut_id) == []
    told = " ".join(merged.warnings)
    assert f"whole networks of {first.lut_id} cannot be added up" in told and "UNVALIDATED" in told
    assert "space_definition" not in merged.table.settings


def test_what_was_drawn_of_the_sources_is_drawn_of_the_merged_table(store, build, additive_device):
    first, second = (build(px, device=additive_device(noise=0.05, seed=px)) for px in (8, 16))
    merged = merge_tables(store, [first, second]).table
    rows = {segment: row for row, segment in enumerate(merged.entries)}
    for table in (first, second):
        own = [segment for segment in table.entries if (segment in first.entries) != (segment in second.entries)]
        order = {segment: row for row, segment in enumerate(table.entries)}
        for segment in own[:10]:
            drawn = merged.draws.entries_ms[rows[segment]]
            np.testing.assert_array_equal(drawn, table.draws.entries_ms[order[segment]])
    # A shared segment is known better than from either alone.
    for segment in first.entries.keys() & second.entries.keys():
        widths = [one.entries[segment].high_ms - one.entries[segment].low_ms for one in (merged, first, second)]
        assert widths[0] < min(widths[1:]) or merged.entries[segment].verdict == "drifted"
    # Networks of both vary from draw to draw, and are predicted within what is said of them.
    space = open_space("mobilenetv3", "digits", (8, 16))
    networks = [space.decode(tuple(json.loads(one.genome_json))) for one in networks_of(store, merged.lut_id)]
    measured = [one.measured_ms for one in networks_of(store, merged.lut_id)]
    estimates = merged.estimate(networks)
    assert all(0 < one.sd_ms < 0.2 * one.ms for one in estimates)
    inside = [one.low_ms <= ms <= one.high_ms for one, ms in zip(estimates, measured, strict=True)]
    assert sum(inside) >= 0.8 * len(inside)


def test_scales_that_disagree_leave_the_table_unvalidated(store, build, additive_device):
    class Slow(type(additive_device())):
        """Whole networks of 16 px take longer than their parts, which no scale can tell from those of 8 px."""

        def true_ms(self, artifact):
            return super().true_ms(artifact) * (1.3 if artifact.arch_id else 1.0)

    first, second = build(8), build(16, device=Slow())
    if second.calibration.scale == pytest.approx(first.calibration.scale, rel=0.05):
        pytest.fail("the device does not do what the test is about")
    merged = merge_tables(store, [first, second])
    assert merged.table.validation is None
    assert any("UNVALIDATED: the scales of" in warning for warning in merged.warnings)


def test_equal_segments_are_weighted_by_their_intervals(save, store):
    entries = made_up_table(SPACE).entries
    segment, apart, once = list(entries)[:3]
    first = save({segment: LutEntry(1.0, 0.9, 1.1, 4, "ok"), apart: LutEntry(1, 0.9, 1.1, 4, "ok")})
    second = save(
        {
            segment: LutEntry(1.15, 0.95, 1.35, 6, "noisy"),
            apart: LutEntry(2, 1.9, 2.1, 4, "ok"),
            once: LutEntry(7, 6, 8, 3, "ok"),
        }
    )
    merged = merge_tables(store, [first, second])
    assert merged.shared == 2
    entry = merged.table.entries[segment]
    assert entry.latency_ms == pytest.approx((1.0 / 0.1**2 + 1.15 / 0.2**2) / (0.1**-2 + 0.2**-2))
    assert entry.high_ms - entry.latency_ms == pytest.approx(1 / sqrt(0.1**-2 + 0.2**-2))
    assert (entry.samples, entry.verdict) == (10, "noisy")
    entry = merged.table.entries[apart]
    assert entry.latency_ms == pytest.approx(1.5)
    assert (entry.low_ms, entry.high_ms, entry.samples, entry.verdict) == (0.9, 2.1, 8, "drifted")
    assert merged.table.entries[once] == second.entries[once]
    assert any("1 of 2 shared segments differ beyond" in w and apart.label() in w for w in merged.warnings)
    assert any("brought no calibration networks" in warning for warning in merged.warnings)


def test_entries_without_width_weigh_by_their_samples(save, store):
    segment = next(iter(made_up_table(SPACE).entries))
    tables = [save({segment: LutEntry(ms, ms, ms, n, "ok")}) for ms, n in ((1.0, 1), (1.0, 3))]
    assert merge_tables(store, tables).table.entries[segment] == LutEntry(1.0, 1.0, 1.0, 4, "ok")


DEVICE = made_up_table(SPACE).device
DISAGREE = {
    "dtype": {"dtype": "int8"},
    "batch": {"batch": 4},
    "mode": {"settings": {"mode": "fast"}},
    "threads": {"device": replace(DEVICE, threads=9)},
    "runtime_version": {"device": replace(DEVICE, runtime_version="99")},
    "is_simulated": {"device": replace(DEVICE, is_simulated=False)},
}


@pytest.mark.parametrize("field", DISAGREE)
def test_metadata_that_disagree_are_refused_by_name(save, store, field):
    first, second = save(), save(**DISAGREE[field])
    before = store.query("SELECT count(*) FROM lut")[0][0]
    with pytest.raises(LutError, match=rf"LUT35.*{field}: {first.lut_id} .*{second.lut_id} ") as caught:
        merge_tables(store, [first, second])
    assert caught.value.exit_code == 6
    assert store.query("SELECT count(*) FROM lut")[0][0] == before


def test_each_table_counts_once(save, store):
    first, second = save(), save(entries=dict(list(made_up_table(SPACE).entries.items())[:5]))
    merged = merge_tables(store, [first, second]).table
    for tables in ([first], [first, first], [merged, second]):
        with pytest.raises(LutError, match="LUT35"):
            merge_tables(store, tables)
    with pytest.raises(LutError, match=rf"both hold {second.lut_id}"):
        merge_tables(store, [merged, second])


def test_one_file_imported_twice_counts_once(store, tmp_path):
    (tmp_path / "a").write_text(table_text(OFA_KEYS))
    tables = [import_table(store, tmp_path / "a", "", foreign_device("a phone")) for _ in range(2)]
    with pytest.raises(LutError, match=rf"LUT35.*both hold {tables[0].origin.sha256}"):
        merge_tables(store, tables)


def test_the_same_plan_measured_elsewhere_is_another_table(store, build, tmp_path):
    """Its id is the same there, and it is no copy; a copy is."""
    own = build(8)
    text = export_table(store, own, "json")[0].text
    for name, date in (("copy", own.created_at_utc), ("elsewhere", "2026-01-01T00:00:00+00:00")):
        (tmp_path / name).write_text(json.dumps({**json.loads(text), "created_at_utc": date}))
    copy, elsewhere = (import_table(store, tmp_path / name) for name in ("copy", "elsewhere"))
    with pytest.raises(LutError, match=rf"LUT35.*both hold {own.lut_id}"):
        merge_tables(store, [own, copy])
    assert merge_tables(store, [own, elsewhere]).shared == len(own.entries)


def test_another_phone_of_the_model_or_another_build_is_told(save, store):
    first, second = save(), save(device=replace(DEVICE, device_id="host:other", os_build="another"))
    warnings = merge_tables(store, [first, second]).warnings
    assert any("differ in device_id" in warning and "host:other" in warning for warning in warnings)
    assert any("differ in os_build" in warning for warning in warnings)


def test_imported_tables_of_two_resolutions_add_up_both(store, tmp_path):
    sides = {224: 192, 112: 96, 56: 48, 28: 24, 14: 12, 7: 6, 1: 1}
    square = re.compile(r"(?<=:)(\d+)x\1(?=x)")
    small = [square.sub(lambda one: "x".join([str(sides[int(one[1])])] * 2), key) for key in OFA_KEYS]
    tables = []
    for name, keys, mean in (("224", OFA_KEYS, 1.5), ("192", small, 1.0)):
        (tmp_path / name).write_text(table_text(keys, mean=mean))
        tables.append(import_table(store, tmp_path / name, "", foreign_device("Galaxy Note10")))
    with pytest.raises(LutError, match="LUT02"):
        tables[0].estimate([ofa_network(OFA_CHOICES, px=192)])
    merged = merge_tables(store, tables)
    estimates = merged.table.estimate([ofa_network(OFA_CHOICES, px=px) for px in (224, 192)])
    shared = 2  # the layers behind the pool
    assert merged.shared == shared
    assert [one.ms for one in estimates] == [pytest.approx(15 * mean + shared * 1.25) for mean in (1.5, 1.0)]
    assert merged.table.marks()[1].count("IMPORTED") == 2
