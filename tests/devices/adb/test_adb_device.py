"""A phone as a device: the real adb server, a real adbd, and runners that really run or lie as they are told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from software_phone.adb_server import OwnAdbServer, wait_until
from software_phone.build import Image
from software_phone.open_device import (
    DeviceBench,
    assert_each_once,
    assert_left_as_found,
    device_bench,
    pretended_models,
)
from software_phone.phone import SoftwarePhone

from devices.adb.activity import Telling
from devices.adb.device import AdbDevice
from devices.adb.parsers.cpus import mask_of
from devices.device import Device
from devices.measurement import Visit
from devices.spec import DeviceSpec
from devices.testing import DeviceConformance
from mnas.errors import ConfigError, DeviceError, MeasurementError
from mnas.export.artifact import ModelArtifact, save_artifact

pytestmark = pytest.mark.software_phone

MakeNet = Callable[[str, int], ModelArtifact]
_GARBAGE = bytes(range(256)) * 8


@pytest.fixture
def bench(clean_phone: SoftwarePhone, own_adb: OwnAdbServer, tmp_path: Path) -> Iterator[DeviceBench]:
    with device_bench(clean_phone, own_adb, tmp_path) as made:
        yield made


@pytest.fixture
def files(tmp_path: Path) -> Callable[[int], list[ModelArtifact]]:
    return lambda count: pretended_models(tmp_path, count)


class TestAdbDevice(DeviceConformance):
    is_lazy = False
    knows_outputs = False

    @pytest.fixture
    def device(self, bench: DeviceBench) -> Iterator[Device]:
        with bench.open() as device:
            yield device

    @pytest.fixture
    def good_artifacts(self, make_net: MakeNet) -> Sequence[ModelArtifact]:
        return [make_net("tflite", channels) for channels in (8, 16, 24)]

    @pytest.fixture
    def bad_artifact(self, tmp_path: Path) -> ModelArtifact:
        return save_artifact(_GARBAGE, tmp_path / "bad.tflite", model_format="tflite", input_shape_chw=(3, 16, 16))


def test_info_tells_what_was_got(bench: DeviceBench) -> None:
    phone = bench.phone
    strongest = max(phone.capacities.values())
    with bench.open("instant_runner") as device:
        info, conditions = device.info, device.conditions()
    assert info.kind == "adb" and info.runtime == "tflite" and info.delegate == "xnnpack" and info.threads == 1
    assert "Software Phone" in info.model and info.os_build and info.soc
    assert info.cpu_mask == mask_of(cpu for cpu, capacity in phone.capacities.items() if capacity == strongest)
    assert info.is_simulated and conditions["simulated"]
    assert info.runner_sha256 == bench.library("instant_runner").list()[0].sha256
    assert (
        conditions["thermal_status"] == 0 and conditions["throttle_count"] == 0 and conditions["battery_percent"] == 87
    )
    json.dumps(conditions, allow_nan=False)


def test_a_batch_is_one_script_and_each_number_is_its_models_own(
    bench: DeviceBench, files: Callable[[int], list[ModelArtifact]]
) -> None:
    models = files(20)
    visits = [Visit(model, runs, 1) for runs in (1, 3, 9) for model in models]
    with bench.open("instant_runner") as device:
        assert device.load(models) == {}
        before = device.round_trips
        events = list(device.run(visits))
        assert device.round_trips - before <= 3
        assert_each_once(events, visits)
        assert events[0].warmup_samples and device.rejections.to_json() == dict.fromkeys(device.rejections.to_json(), 0)
    assert_left_as_found(bench)


def test_how_far_runner_and_models_are_is_told_here_and_to_other_processes(
    bench: DeviceBench, files: Callable[[int], list[ModelArtifact]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.adb.sending.EVERY_S", 0.0)
    told: list[str] = []
    activities: list[str] = []

    def tell(text: str) -> None:
        told.append(text)

    monkeypatch.setattr(Telling, "tell", lambda self, state, what="": activities.append(f"{state}: {what}"))
    with bench.open("instant_runner", tell=tell) as device:
        assert device.load(files(3)) == {}
    runner, models = (
        [line for line in told if line.startswith(f"sending {what}: ")] for what in ("the runner tflite", "3 models")
    )
    assert runner[-1].endswith(", 100 %") and models[-1].endswith(", 100 %") and len(models) >= 3
    assert {f"leased: {line}" for line in (*runner, *models)} <= set(activities)


def test_what_lies_on_the_phone_is_not_sent_again(bench: DeviceBench, tmp_path: Path) -> None:
    data = b"\x1c\0\0\0TFL3" + bytes(3_000_000)
    big = save_artifact(data, tmp_path / "big.tflite", model_format="tflite", input_shape_chw=(3, 8, 8))
    for most in (10_000_000, 1_000_000):
        sent = bench.proxy.passed["up"]
        with bench.open("instant_runner") as device:
            assert device.load([big]) == device.load([big]) == {}
            (event,) = device.run([Visit(big, 3, 0)])
        assert bench.proxy.passed["up"] - sent < most and not event.error


def test_a_real_model_is_profiled_by_operators(bench: DeviceBench, make_net: MakeNet, tmp_path: Path) -> None:
    bad = save_artifact(_GARBAGE, tmp_path / "bad.tflite", model_format="tflite", input_shape_chw=(3, 16, 16))
    with bench.open(options=",delegate=none") as device:
        profile = device.profile(make_net("tflite", 8), runs=5)
        with pytest.raises(MeasurementError) as caught:
            device.profile(bad)
    assert caught.value.code == "MEA20"
    assert profile.runs == 5 and profile.total_ms > 0 and "CONV_2D" in {op.op for op in profile.ops}


def test_leaving_a_run_early_leaves_nothing_on_the_phone(
    bench: DeviceBench, files: Callable[[int], list[ModelArtifact]]
) -> None:
    models = files(2)
    with bench.open("lying_runner") as device:
        bench.phone.lie("slow 30")
        events = device.run([Visit(models[0], 1, 0)])
        events.close()  # type: ignore[attr-defined]
        bench.phone.lie("slow 1")
        (event,) = [next(iter(device.run([Visit(models[0], 2, 0)])))]
        assert not event.error
        assert bench.phone.processes() == []
    assert_left_as_found(bench)


def test_files_that_cannot_run_have_a_reason(
    bench: DeviceBench, files: Callable[[int], list[ModelArtifact]], make_net: MakeNet
) -> None:
    good, changed, gone = files(3)
    changed.path.write_bytes(b"\x1c\0\0\0TFL3 other")
    gone.path.unlink()
    with bench.open("instant_runner") as device:
        failed = device.load([good, changed, gone, make_net("onnx", 8)])
        events = list(device.run([Visit(changed, 1, 0), Visit(good, 1, 0)]))
    assert "changed" in failed[changed.identity] and "cannot be read" in failed[gone.identity]
    assert "this runner reads tflite" in failed[make_net("onnx", 8).identity] and len(failed) == 3
    assert "cannot be loaded" in events[0].error and not events[1].error


@pytest.mark.parametrize("options", [",cpus=middle", ",threads=64", ",cpus=f00000000000"])
def test_cores_that_the_phone_does_not_have_are_refused(bench: DeviceBench, options: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bench.open("instant_runner", options)
    assert caught.value.code == "ADB60"
    assert_left_as_found(bench)
    bench.open("instant_runner").close()


def test_a_core_that_is_off_is_told_and_nothing_runs_elsewhere(
    software_phone_build: Image,
    own_adb: OwnAdbServer,
    tmp_path: Path,
    files: Callable[[int], list[ModelArtifact]],
) -> None:
    # Of core 7 the phone tells, but this machine has none, so that pinning to it fails as on a phone where it is off.
    with (
        SoftwarePhone(software_phone_build, capacities={0: 400, 7: 1024}) as phone,
        device_bench(phone, own_adb, tmp_path) as bench,
        bench.open("instant_runner") as device,
    ):
        with pytest.raises(DeviceError) as caught:
            list(device.run([Visit(files(1)[0], 1, 0)]))
        assert caught.value.code == "ADB64" and "online" in caught.value.why


def test_storage_that_is_full_or_runs_no_programs_is_told(
    software_phone_build: Image,
    own_adb: OwnAdbServer,
    tmp_path: Path,
    files: Callable[[int], list[ModelArtifact]],
) -> None:
    with (
        SoftwarePhone(software_phone_build, noexec=True) as phone,
        device_bench(phone, own_adb, tmp_path / "noexec") as bench,
        pytest.raises(DeviceError) as caught,
    ):
        bench.open("instant_runner")
    assert caught.value.code == "ADB67" and "cannot be run" in caught.value.why
    data = b"\x1c\0\0\0TFL3" + bytes(8_000_000)
    big = save_artifact(data, tmp_path / "big.tflite", model_format="tflite", input_shape_chw=(3, 8, 8))
    with (
        SoftwarePhone(software_phone_build, storage_mb=4) as phone,
        device_bench(phone, own_adb, tmp_path / "full") as bench,
        bench.open("instant_runner") as device,
    ):
        with pytest.raises(DeviceError) as full:
            device.load([big])
        assert full.value.code == "ADB20"
        visits = [Visit(files(1)[0], 3, 0)]
        assert_each_once(list(device.run(visits)), visits)


def test_a_phone_without_a_thermal_service_is_measured_by_its_caps(
    bench: DeviceBench, files: Callable[[int], list[ModelArtifact]]
) -> None:
    bench.phone.remove_service("thermalservice")
    visits = [Visit(model, 3, 0) for model in files(3)]
    with bench.open("instant_runner") as device:
        assert_each_once(list(device.run(visits)), visits)
        assert "thermal_status" not in device.conditions()


def test_two_at_once_on_one_phone_are_refused(bench: DeviceBench) -> None:
    with bench.open("instant_runner") as device:
        sent = bench.proxy.passed["up"]
        with pytest.raises(DeviceError) as caught:
            bench.open("instant_runner")
        # The phone itself was not asked, since it may be measuring; a question has some hundred bytes.
        assert caught.value.code == "ADB31" and bench.proxy.passed["up"] - sent < 100
    with pytest.raises(DeviceError) as closed:
        device.load([])
    assert closed.value.code == "ADB68"


def test_settings_are_put_back_and_those_of_a_dead_process_too(bench: DeviceBench) -> None:
    with bench.open("instant_runner"):
        assert bench.phone.setting("stay_on_while_plugged_in") not in ("", "0")
        assert bench.phone.fixed_performance == "true"
    assert bench.phone.setting("stay_on_while_plugged_in") == "0" and bench.phone.fixed_performance == "false"
    with _started_elsewhere(bench) as other:
        assert bench.phone.setting("stay_on_while_plugged_in") != "0"
        with pytest.raises(DeviceError) as caught:
            bench.open("instant_runner")
        assert caught.value.code == "ADB31" and str(other.pid) in caught.value.why
        other.kill()
        other.wait()
    assert bench.phone.setting("stay_on_while_plugged_in") != "0"
    with bench.open("instant_runner"):
        pass
    assert_left_as_found(bench)


def test_a_process_that_is_interrupted_leaves_the_phone_as_it_was(
    bench: DeviceBench, files: Callable[[int], list[ModelArtifact]]
) -> None:
    (model,) = files(1)
    bench.phone.lie("slow 30")
    with _started_elsewhere(bench, "lying_runner", model.path) as other:
        wait_until(lambda: any("--graph" in " ".join(one.command) for one in bench.phone.processes()), 30, "no launch")
        other.send_signal(signal.SIGINT)
        other.wait(60)
    assert_left_as_found(bench)


@contextmanager
def _started_elsewhere(
    bench: DeviceBench, program: str = "instant_runner", model: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Open a device in another process, and run a model there if one is given."""
    code = f"""
from pathlib import Path
from devices.adb.device import AdbDevice
from devices.adb.server import AdbServer
from devices.measurement import Visit
from devices.runners.library import RunnerLibrary
from devices.spec import DeviceSpec
from mnas.export.artifact import ModelArtifact
from mnas.jsonio import sha256_bytes

spec = DeviceSpec.parse("adb:{bench.serial}/tflite")
server = AdbServer("{bench.own.server.host}", {bench.own.server.port})
library = RunnerLibrary(Path({str(bench.library(program).folder)!r}))
with AdbDevice(spec, server=server, library=library, folder=Path({str(bench.folder / "state")!r})) as device:
    print("open", flush=True)
    path = Path({str(model or "")!r})
    if path.name:
        data = path.read_bytes()
        found = ModelArtifact(path, "tflite", "float32", (1, 8, 8, 3), sha256_bytes(data), len(data), "", "1")
        list(device.run([Visit(found, 1, 0)]))
    input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "open\n"
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda phone: phone.set_setting("low_power", "1"), "ADB67"),
        (lambda phone: phone.set_battery(level=3, status=3), "ADB67"),
    ],
)
def test_a_phone_that_is_not_fit_is_refused_with_a_remedy(
    bench: DeviceBench, spoil: Callable[[SoftwarePhone], None], code: str
) -> None:
    spoil(bench.phone)
    bench.phone.write("battery/usb", "false")
    with pytest.raises(DeviceError) as caught:
        bench.open("instant_runner")
    assert caught.value.code == code and caught.value.fix


def test_a_missing_phone_and_runner_are_told(bench: DeviceBench, tmp_path: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        AdbDevice(DeviceSpec("adb", "tflite", "NOSUCHPHONE"), server=bench.own.server, folder=tmp_path)
    assert caught.value.code == "ADB37"
    with pytest.raises(DeviceError) as missing:
        AdbDevice(
            DeviceSpec("adb", "litert", bench.serial),
            server=bench.own.server,
            library=bench.library("instant_runner"),
            folder=tmp_path,
        )
    assert missing.value.code == "RNR02"


def test_a_phone_is_found_by_its_own_serial(bench: DeviceBench, files: Callable[[int], list[ModelArtifact]]) -> None:
    (model,) = files(1)
    spec = DeviceSpec("adb", "tflite", bench.phone.serial)
    library = bench.library("instant_runner")
    with AdbDevice(spec, server=bench.own.server, library=library, folder=bench.folder / "state") as device:
        assert_each_once(list(device.run([Visit(model, 3, 0)])), [Visit(model, 3, 0)])
