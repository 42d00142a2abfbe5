"""Two software phones that build one table with real models; one of them is lost in mid-build."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from reduced_spaces import cut
from software_phone.adb_server import OwnAdbServer
from software_phone.open_device import device_bench
from software_phone.phone import SoftwarePhone

from devices.protocol import ProtocolSettings
from latency import consistency as consistency_module
from latency import sharing as sharing_module
from latency.consistency import load_consistency
from latency.plan import LutPlan, LutSettings
from latency.sharing import SharedBuild
from mnas.spaces import mobilenetv3
from mnas.spaces.staged import StagedSpace

PROTOCOL = ProtocolSettings(
    rounds=3,
    calibration_rounds=3,
    rounds_per_launch=1,
    relaunch_share=1e6,
    warmup=1,
    min_runs=3,
    max_runs=20,
    visit_ms=5.0,
    resamples=50,
)
_LAYER = {"kernels": (3, 5), "expands": (3,)}
SPACE = StagedSpace(cut(mobilenetv3.IMAGENET, *[_LAYER] * 5, resolutions_px=(160,), widths=(0.75,)))
"""A few segments, of which each takes microseconds enough for the runner's clock."""


@pytest.mark.slow
@pytest.mark.software_phone
def test_two_phones_build_a_table_and_one_finishes_it_when_the_other_is_lost(
    software_phone_build, store, tmp_path, monkeypatch
):
    monkeypatch.setattr(sharing_module, "_SMALLEST_PIECE", 10)
    for bound in ("REFUSE_FRACTION", "REFUSE_SPREAD"):  # how well they agree is the machine's affair, not this test's
        monkeypatch.setattr(consistency_module, bound, 1e6)
    plan = LutPlan(SPACE, LutSettings("accurate", PROTOCOL, 2, 2))
    own, told = OwnAdbServer(tmp_path / "adb").start(), []
    with ExitStack() as stack:
        stack.callback(own.stop)
        benches = []
        for name in ("first", "second"):
            phone = stack.enter_context(SoftwarePhone(software_phone_build))
            benches.append(stack.enter_context(device_bench(phone, own, tmp_path / name)))
        devices = [bench.open("benchmark_model", ",cpus=1", recovery_s=2.0) for bench in benches]
        for device in devices:
            stack.callback(device.close)
        assert devices[0].info.device_key == devices[1].info.device_key
        assert devices[0].info.device_id != devices[1].info.device_id
        half = plan.counts()["visits"] // 2

        def progress(what, done, total):
            if done == half:
                benches[0].phone.kill_adbd()

        table = SharedBuild(store, devices, plan, progress, told.append).build()
        assert all(bench.phone.processes() == [] for bench in benches[1:])
    lost = devices[0].info.device_id
    (loss,) = [text for text in told if "was lost" in text]
    assert loss.startswith(f"{lost} was lost, and its part goes to the others: ADB")
    assert set(table.entries) == set(plan.segments)
    assert table.device.is_simulated
    report = load_consistency(store, table.lut_id)
    assert {one["device_id"] for one in report["devices"]} == {device.info.device_id for device in devices}
    assert all(one["probes"] >= 8 and one["visits"] > 24 for one in report["devices"])
    assert report["verdict"] in ("ok", "differ"), report["reasons"]
