"""The table in memory and in the store: sums, estimates, and the three ways in which it refuses."""

from dataclasses import fields, replace

import numpy as np
import pytest

from devices.device import DeviceInfo
from latency.builder import LutBuilder
from latency.calibration import Calibration
from latency.table import LatencyTable, LutEntry, list_tables, load_table
from mnas.errors import LutError
from mnas.segments import segments_of
from mnas.spaces.presets import open_space

SPACE = open_space("mobilenetv3", "digits", (8,))
INFO = DeviceInfo("host:ort", "host", "cpu", "", "linux", "onnxruntime", "1", "", "cpu", 1, "")


def table(costs=None, **changes):
    entries = {segment: LutEntry(0.25, 0.2, 0.3, 6, "ok") for segment in SPACE.segments()} if costs is None else costs
    defaults = {
        "lut_id": "lut1-abc",
        "space": SPACE.name,
        "device": INFO,
        "dtype": "float32",
        "batch": 1,
        "settings": {},
        "entries": entries,
        "calibration": Calibration("weights", 2.0, 0.5, 3.0, 8, 0.0),
        "validation": None,
        "created_at_utc": "2026-01-01T00:00:00+00:00",
    }
    return LatencyTable(**{**defaults, **changes})


def networks(count=5):
    rng = np.random.default_rng(0)
    return [SPACE.decode(SPACE.sample(rng)) for _ in range(count)]


def test_an_estimate_is_the_calibrated_sum_over_the_networks_segments():
    rng = np.random.default_rng(1)
    costs = {segment: LutEntry(float(rng.random()), 0, 1, 6, "ok") for segment in SPACE.segments()}
    found = table(costs).estimate(networks())
    for network, estimate in zip(networks(), found, strict=True):
        total = sum(costs[segment].latency_ms for segment in segments_of(network))
        params = sum(segment.params for segment in segments_of(network) if segment.role == "block")
        assert params > 0
        assert table(costs).parts(network) == (pytest.approx(total), params)
        assert estimate.ms == pytest.approx(2 * total + 3.0 * params / 1e6 + 0.5)
        # What a search adds up is what the estimate is made of.
        assert sum(map(table(costs).cost_ms, segments_of(network))) + 0.5 == pytest.approx(estimate.ms)
        assert estimate.low_ms < estimate.ms < estimate.high_ms
        assert estimate.source == "lut"
    assert len({estimate.ms for estimate in found}) == len(found)
    assert table().estimate([]) == []


def test_an_unvalidated_table_is_cautious():
    (estimate,) = table().estimate(networks(1))
    assert estimate.high_ms - estimate.ms == pytest.approx(1.959964 * 0.1 * estimate.ms)
    assert estimate.sd_ms == pytest.approx(0.1 * estimate.ms)


def test_a_missing_entry_is_never_zero():
    network = networks(1)[0]
    segments = segments_of(network)
    entries = {segment: entry for segment, entry in table().entries.items() if segment not in segments[1:3]}
    with pytest.raises(LutError, match=r"LUT02: latency table lut1-abc lacks 2 entries.*never taken as zero") as caught:
        table(entries).estimate([network])
    assert all(segment.label() in str(caught.value) for segment in segments[1:3])
    foreign = open_space("mobilenetv3", "fashion")
    with pytest.raises(LutError, match=r"LUT02.*covers mobilenetv3/digits"):
        table().parts(foreign.decode(foreign.extremes()[1]))
    with pytest.raises(LutError, match="LUT02"):
        table().cost_ms(next(iter(set(foreign.segments()) - set(SPACE.segments()))))


KEY_FIELDS = {
    "kind": "adb",
    "model": "another cpu",
    "runtime": "litert",
    "runtime_version": "2",
    "runner_sha256": "00",
    "delegate": "xnnpack",
    "threads": 2,
    "cpu_mask": "f0",
}


@pytest.mark.parametrize("name", KEY_FIELDS)
def test_another_device_is_refused_and_the_field_named(name):
    other = replace(INFO, **{name: KEY_FIELDS[name]})
    assert other.device_key != INFO.device_key
    with pytest.raises(LutError, match=f"LUT03.*{name}: table {getattr(INFO, name)!r}, device {KEY_FIELDS[name]!r}"):
        table().require_fit(other)


def test_what_does_not_move_a_latency_does_not_matter():
    table().require_fit(INFO)
    rest = {field.name for field in fields(DeviceInfo)} - set(KEY_FIELDS)
    assert rest == {"device_id", "soc", "os_build", "is_simulated"}
    table().require_fit(replace(INFO, device_id="host", os_build="another", soc="x"))


def test_another_dtype_or_batch_is_refused():
    with pytest.raises(LutError, match=r"LUT03.*dtype: table 'float32', asked 'int8'"):
        table().require_fit(INFO, dtype="int8")
    with pytest.raises(LutError, match=r"LUT03.*batch: table 1, asked 4"):
        table().require_fit(INFO, batch=4)


def test_a_table_is_found_by_id_or_an_unambiguous_beginning(store, plan, additive_device):
    with pytest.raises(LutError, match=r"LUT01.*finished tables here: none.*mnas lut build"):
        load_table(store, "lut1")
    builder = LutBuilder(store, additive_device(), plan, lambda *_: None)
    first = builder.build()
    assert load_table(store, "lut1").lut_id == load_table(store, first.lut_id).lut_id == first.lut_id
    second = builder.build(anew=True)
    assert load_table(store, "lut2").lut_id == second.lut_id != first.lut_id
    for asked in ("lut", "lut3", "", "%"):
        with pytest.raises(LutError, match="LUT01") as caught:
            load_table(store, asked)
        assert first.lut_id in str(caught.value) and second.lut_id in str(caught.value)
    assert {row["lut_id"] for row in list_tables(store)} == {first.lut_id, second.lut_id}
    store.execute("UPDATE lut SET status = 'building' WHERE lut_id = ?", (second.lut_id,))
    with pytest.raises(LutError, match="LUT01"):
        load_table(store, second.lut_id)


def test_a_table_comes_back_from_the_store_as_it_was(store, plan, additive_device):
    built = LutBuilder(store, additive_device(noise=0.05), plan, lambda *_: None).build()
    loaded = load_table(store, built.lut_id)
    for name in ("entries", "calibration", "validation", "device", "settings", "space", "dtype", "batch"):
        assert getattr(loaded, name) == getattr(built, name)
    assert built.device == additive_device().info
    assert built.validation.relative_sd > 0 and loaded.uncertainty == built.uncertainty
