"""The builder on a device whose latencies add up: right figures, nothing lost, nothing twice."""

import errno
import json
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from reduced_spaces import cut

from latency import builder as builder_module
from latency import worker as worker_module
from latency.builder import LutBuilder, find_table
from latency.lock import builders
from latency.on_device import COMPONENTS, OnDevice
from latency.pace import shown_pace
from latency.plan import NETWORK_ROUNDS, LutPlan
from latency.probes import write_network, write_probe
from latency.revalidate import revalidate
from latency.table import list_tables, load_table
from mnas.counts import total_macs
from mnas.errors import ExportError, LutError, StoreError
from mnas.layers import layers_of
from mnas.segments import segments_of
from mnas.spaces import mobilenetv3
from mnas.spaces.staged import StagedSpace
from mnas.store import FILE_NAME, Store


def quiet(what, done, total):
    pass


class Interrupted(Exception):
    pass


def stopping_after(visits):
    """A progress callback that ends the build in the visit of that number."""
    numbers = count(1)

    def progress(what, done, total):
        if what.startswith("measuring") and next(numbers) == visits:
            raise Interrupted

    return progress


def build(store, device, plan, progress=quiet, **options):
    return LutBuilder(store, device, plan, progress).build(**options)


def visits_of(store):
    """How often each model was visited, references left out."""
    rows = store.query(
        "SELECT sha256, count(*) AS n FROM lut_visit WHERE json_extract(record_json, '$.ref') IS NULL GROUP BY sha256"
    )
    return {row["sha256"]: row["n"] for row in rows}


def figures(table):
    return {segment: entry.latency_ms for segment, entry in table.entries.items()}


def test_a_table_of_an_additive_device_predicts_whole_networks(store, plan, additive_device, tmp_path):
    device = additive_device()
    table = build(store, device, plan)
    assert set(table.entries) == set(plan.space.segments())
    assert table.calibration.scale == pytest.approx(1, abs=1e-3)
    assert table.validation.networks == plan.settings.validation
    assert table.validation.table.mape < 1e-3
    assert table.validation.plain_sum.mape < 1e-3
    assert table.validation.table.kendall_tau == pytest.approx(1)
    assert table.validation.constant.mape > 0.05
    assert table.validation.macs_linear.mape > 0.01
    rng = np.random.default_rng(5)
    networks = [plan.space.decode(plan.space.sample(rng)) for _ in range(10)]
    files = [write_network(network, tmp_path, "onnx") for network in networks]
    device.load(files)
    truth = [device.true_ms(file) for file in files]
    assert [estimate.ms for estimate in table.estimate(networks)] == pytest.approx(truth, rel=1e-3)
    assert len(set(truth)) == len(truth)
    assert [table.parts(network)[0] for network in networks] == pytest.approx(truth, rel=1e-3)


def test_alone_segments_count_the_overhead_each_and_calibration_mends_part_of_it(store, plan, additive_device):
    fast = LutPlan(plan.space, replace(plan.settings, mode="fast"))
    table = build(store, additive_device(overhead_ms=0.5), fast)
    assert table.validation.plain_sum.bias > 0.3
    assert table.validation.table.mape < table.validation.plain_sum.mape / 3


def test_every_visit_is_kept_and_a_second_build_makes_none(store, plan, additive_device):
    device = additive_device(noise=0.02)
    table = build(store, device, plan)
    seen = visits_of(store)
    assert sum(seen.values()) == plan.counts()["visits"]
    assert len(seen) == len(plan.probes) + len(plan.networks)
    assert all(entry.low_ms <= entry.latency_ms <= entry.high_ms for entry in table.entries.values())
    assert all(entry.samples >= plan.settings.protocol.rounds for entry in table.entries.values())
    time = device.time_ms
    again = build(store, device, plan)
    assert again.lut_id == table.lut_id == load_table(store, table.lut_id[:5]).lut_id
    assert again.entries == table.entries
    assert device.time_ms == time
    other = build(store, device, plan, anew=True)
    assert other.lut_id != table.lut_id
    assert sum(visits_of(store).values()) == 2 * plan.counts()["visits"]


@pytest.mark.parametrize("stops", [(1,), (57, 2, 130), (-1,), (0,)])
def test_an_interrupted_build_goes_on_without_loss_or_repetition(store, plan, additive_device, stops):
    total = plan.counts()["visits"]
    reached = 0
    for stop in (stop if stop > 0 else total + stop for stop in stops):
        with pytest.raises(Interrupted):
            build(store, additive_device(), plan, stopping_after(stop))
        reached += stop
        assert sum(visits_of(store).values()) == reached
        (row,) = list_tables(store)
        assert (row["status"], row["entries"]) == ("building", 0)
        with pytest.raises(LutError, match="LUT01"):
            load_table(store, row["lut_id"])
    # Going on in another state of the machine: each sitting is scaled by its own references.
    table = build(store, additive_device(speed=0.6), plan)
    assert (table.lut_id, "ready") == find_table(store, plan, table.device)
    assert sum(visits_of(store).values()) == total
    assert set(visits_of(store).values()) == {4, 4 * NETWORK_ROUNDS}
    assert set(table.entries) == set(plan.segments)
    whole = build(store, additive_device(), plan, anew=True)
    assert figures(table) == pytest.approx(figures(whole), abs=1e-4)


def test_models_of_several_sittings_make_one_table(store, plan, additive_device, monkeypatch):
    whole = build(store, additive_device(), plan)
    monkeypatch.setattr(builder_module, "CHUNK", 20)
    with pytest.raises(Interrupted):
        build(store, additive_device(), plan, stopping_after(200), anew=True)
    table = build(store, additive_device(), LutPlan(plan.space, plan.settings), anew=True)
    chunks = store.query("SELECT count(DISTINCT chunk) FROM lut_sitting WHERE lut_id = ?", (table.lut_id,))[0][0]
    assert chunks == -(-(len(plan.probes) + len(plan.networks)) // 20)
    assert figures(table) == pytest.approx(figures(whole), abs=1e-4)


@pytest.mark.parametrize("trouble", ["failing", "unloadable", "not_finite"])
def test_a_segment_that_cannot_be_measured_is_named_and_tried_again(store, plan, additive_device, tmp_path, trouble):
    segment = list(plan.segments)[7]
    bad = write_probe(plan.segments[segment].main, tmp_path, "onnx").sha256
    for _ in range(2):
        with pytest.raises(LutError, match=f"LUT05: 1 of {len(plan.segments)} segments.*never taken as zero") as caught:
            build(store, additive_device(**{trouble: {bad}}), plan)
        assert segment.label() in str(caught.value)
        assert find_table(store, plan, additive_device().info)[1] == "building"
    table = build(store, additive_device(), plan)
    assert len(list_tables(store)) == 1
    assert figures(table) == pytest.approx(figures(build(store, additive_device(), plan, anew=True)), abs=1e-4)


def test_a_whole_network_that_fails_costs_itself_alone(store, plan, additive_device, tmp_path):
    held_out = next(genome for genome, purpose in plan.networks.items() if purpose == "validation")
    bad = write_network(plan.space.decode(held_out), tmp_path, "onnx")
    table = build(store, additive_device(failing={bad.sha256}), plan)
    assert table.validation.networks == plan.settings.validation - 1
    stored = {row["arch_id"] for row in store.query("SELECT arch_id FROM lut_network")}
    assert bad.arch_id not in stored
    assert len(stored) == len(plan.networks) - 1


def test_another_device_or_other_settings_make_another_table(store, plan, additive_device):
    table = build(store, additive_device(), plan)
    other = additive_device()
    other.info = replace(other.info, threads=2)
    assert find_table(store, plan, other.info) is None
    assert find_table(store, LutPlan(plan.space, replace(plan.settings, seed=3)), table.device) is None
    assert build(store, other, plan).device_key != table.device_key


def test_a_validations_intervals_know_nothing_of_the_networks_that_they_are_held_against(
    store, plan, additive_device, tmp_path
):
    """Only these take longer on the second device: the same intervals then hold none of them."""
    held_out = {plan.space.decode(one).arch_id for one, purpose in plan.networks.items() if purpose == "validation"}

    class Skewed(additive_device):
        def true_ms(self, artifact):
            return super().true_ms(artifact) * (1.5 if artifact.arch_id in held_out else 1.0)

    (tmp_path / "skewed").mkdir()
    fair = build(store, additive_device(noise=0.01), plan)
    with Store(tmp_path / "skewed" / FILE_NAME, COMPONENTS) as other:
        skewed = build(other, Skewed(noise=0.01), plan)
    assert fair.validation.covered == 1.0 and skewed.validation.covered == 0.0
    for one in (fair, skewed):  # by errors of a third, as all of the second's are, they would be wider than the latency
        assert 0.001 < one.validation.relative_width < 0.1
    assert fair.validation.fitted == plan.settings.calibration < fair.calibration.networks == len(plan.networks)
    loaded = load_table(store, fair.lut_id)
    assert loaded.validation == fair.validation
    store.execute("UPDATE lut SET validation_json = json_remove(validation_json, '$.covered', '$.relative_width')")
    assert load_table(store, fair.lut_id).validation == replace(fair.validation, covered=None, relative_width=None)


def test_revalidation_measures_other_networks(store, plan, additive_device):
    table = build(store, additive_device(), plan)
    with OnDevice(additive_device(), store) as device:
        first, other = (revalidate(store, device, table, plan.space, 5, seed) for seed in (1, 2))
        assert first == revalidate(store, device, table, plan.space, 5, 1) != other
    assert first.validation.networks == len({one.arch_id for one in first.networks}) == 5
    assert first.validation.table.mape < 1e-3
    assert first.validation.constant.mape > 0.02
    assert first.validation.covered == 1.0 and first.validation.relative_width > 0
    assert first.validation.fitted == len(plan.networks), "the calibration in use was fitted on all"
    widths = [(one.high_ms - one.low_ms) / one.predicted_ms for one in first.networks]
    assert first.validation.relative_width == pytest.approx(np.mean(widths))


def test_revalidation_takes_no_network_that_the_table_was_fitted_or_validated_on(store, plan, additive_device):
    tiny = StagedSpace(cut(mobilenetv3.DIGITS, {"depths": (1,)}, resolutions_px=(8,)))
    table = build(store, additive_device(), LutPlan(tiny, replace(plan.settings, calibration=4, validation=4)))
    with OnDevice(additive_device(), store) as device:
        assert revalidate(store, device, table, tiny, tiny.size() - 8, 1).validation.networks == 8
        with pytest.raises(LutError, match=r"LUT04.*8 of 9"):
            revalidate(store, device, table, tiny, tiny.size() - 7, 1)


def test_revalidation_refuses_other_devices_and_tables_without_baselines(store, plan, additive_device):
    table = build(store, additive_device(), plan)
    other = additive_device()
    other.info = replace(other.info, runtime_version="2")
    with OnDevice(other, store) as device, pytest.raises(LutError, match=r"LUT03.*runtime_version"):
        revalidate(store, device, table, plan.space, 5, 1)
    store.execute("DELETE FROM lut_network WHERE purpose = 'calibration'")
    with OnDevice(additive_device(), store) as device, pytest.raises(LutError, match="LUT07"):
        revalidate(store, device, table, plan.space, 5, 1)


def test_a_tables_networks_are_recorded_with_what_was_measured(store, plan, additive_device):
    table = build(store, additive_device(), plan)
    for row in store.query("SELECT * FROM lut_network"):
        network = plan.space.decode(tuple(json.loads(row["genome_json"])))
        assert network.arch_id == row["arch_id"]
        assert row["sum_ms"] == pytest.approx(sum(table.entries[one].latency_ms for one in segments_of(network)))
        assert row["macs"] == total_macs(layers_of(network))
        assert row["low_ms"] <= row["measured_ms"] <= row["high_ms"]
        assert row["sum_ms"] == pytest.approx(row["measured_ms"], rel=1e-3)


def test_a_full_disk_ends_the_build_with_a_clear_error_and_costs_the_visit_under_way_alone(
    store, plan, additive_device
):
    pages = store.query("PRAGMA page_count")[0][0]
    store.query(f"PRAGMA max_page_count = {pages + 20}")  # SQLite then says what it says on a full disk
    seen = []
    with pytest.raises(StoreError, match=r"STO05.*full.*check disk and rights"):
        build(store, additive_device(), plan, lambda what, done, total: seen.append((what, done, total)))
    kept = sum(visits_of(store).values())
    assert kept > 0 and seen[-1][1:] == (kept, plan.counts()["visits"])
    store.query("PRAGMA max_page_count = 1000000")
    assert list(builders(store)) == []
    going_on = []
    table = build(store, additive_device(), plan, lambda what, done, total: going_on.append((what, done, total)))
    assert set(visits_of(store).values()) == {4, 4 * NETWORK_ROUNDS}
    assert set(table.entries) == set(plan.segments)
    counted = [done for what, done, _ in going_on if what.startswith("measuring")]
    now = sum(visits_of(store).values())
    assert counted == list(range(kept + 1, now + 1)) and now > kept, "progress goes on where it stood"


def test_a_temporary_folder_that_takes_no_files_is_told(store, plan, additive_device, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(worker_module, "write_probe", full)
    with pytest.raises(ExportError, match=r"EXP02.*No space left.*TMPDIR"):
        build(store, additive_device(), plan)
    monkeypatch.undo()
    assert build(store, additive_device(), plan).validation.networks == plan.settings.validation


def test_a_device_that_has_shown_its_pace_is_judged_by_it(store, plan, additive_device):
    info = additive_device().info
    assert shown_pace(store, info.device_id, plan.space.name) is None
    table = build(store, additive_device(), plan)
    # A simulated device takes no time, so its records are given some: 50 ms between any two.
    store.execute("UPDATE lut_visit SET record_json = json_set(record_json, '$.t', rowid * 0.05)")
    pace = shown_pace(store, info.device_id, plan.space.name)
    rows = store.query("SELECT count(*) FROM lut_visit")[0][0] - store.query("SELECT count(*) FROM lut_sitting")[0][0]
    assert pace.visits == plan.counts()["visits"] and pace.space == plan.space.name
    assert pace.seconds_per_visit == pytest.approx(rows * 0.05 / pace.visits)
    assert plan.counts(pace.seconds_per_visit)["estimated_minutes"] != plan.counts()["estimated_minutes"]
    assert shown_pace(store, info.device_id, "another space").space == ""
    assert shown_pace(store, "another device", plan.space.name) is None
    assert table.device_key == info.device_key
