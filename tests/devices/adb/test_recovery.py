"""Links that are cut, stalled and taken away in the middle of a batch: every visit has one event, and nothing stays."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from software_phone.adb_server import OwnAdbServer, free_port, wait_until
from software_phone.open_device import DeviceBench, device_bench
from software_phone.phone import SoftwarePhone
from software_phone.python_adbd import Faults
from software_phone.small_phone import MakePhone

from devices.adb.failures import PhoneForbidden
from devices.adb.recovery import Identity, Recovery
from devices.adb.server import AdbServer
from devices.measurement import SampleEvent, Visit
from mnas.errors import DeviceError
from mnas.export.artifact import ModelArtifact, save_artifact

_SEED = 4
_SETTLE_S = 10.0


@pytest.fixture
def bench(clean_phone: SoftwarePhone, own_adb: OwnAdbServer, tmp_path: Path) -> Iterator[DeviceBench]:
    with device_bench(clean_phone, own_adb, tmp_path) as made:
        yield made


@pytest.fixture
def visits(tmp_path: Path) -> Callable[[int], list[Visit]]:
    """Make visits of files of different sizes, by which `instant_runner` tells them apart."""

    def make(count: int) -> list[Visit]:
        return [Visit(_file(tmp_path, number), 1 + number % 3, 0) for number in range(count)]

    return make


def _file(folder: Path, number: int) -> ModelArtifact:
    data = b"\x1c\0\0\0TFL3" + bytes(1000 + number)
    return save_artifact(data, folder / f"{number}.tflite", model_format="tflite", input_shape_chw=(3, 8, 8))


def _assert_whole(events: list[SampleEvent], visits: list[Visit]) -> None:
    assert [event.visit for event in events] == visits
    assert [event.error for event in events] == [""] * len(visits)
    for event in events:
        expected_ms = (1000 + event.visit.artifact.size_bytes % 9000) / 1000
        assert event.samples[0].value_ms == pytest.approx(expected_ms, abs=2e-3)


def _assert_nothing_left(bench: DeviceBench) -> None:
    # A question whose link was lost is answered to nobody, and its shell ends by itself.
    wait_until(lambda: bench.phone.processes() == [], _SETTLE_S, "something still runs")
    assert [name for name in bench.phone.files() if "/cache/" not in f"/{name}"] == []
    assert bench.phone.setting("stay_on_while_plugged_in") == "0"


class _Meddler:
    """Does something again and again while a block runs."""

    def __init__(self, act: Callable[[], None], pauses: Callable[[], float], most: int = 10**9) -> None:
        self._act, self._pauses, self._most = act, pauses, most
        self._ended = threading.Event()
        self.times = 0
        self._thread = threading.Thread(target=self._meddle, daemon=True)

    def _meddle(self) -> None:
        while self.times < self._most and not self._ended.wait(self._pauses()):
            self.times += 1
            self._act()

    def __enter__(self) -> _Meddler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


@pytest.mark.software_phone
def test_a_link_that_is_cut_again_and_again_loses_and_doubles_nothing(
    bench: DeviceBench, visits: Callable[[int], list[Visit]]
) -> None:
    asked, rng = visits(150), random.Random(_SEED)
    with bench.open("instant_runner") as device:
        device.load([visit.artifact for visit in asked])
        with _Meddler(bench.proxy.cut, lambda: rng.uniform(0.05, 0.6), most=12) as cuts:
            events = list(device.run(asked))
            while cuts.times < 3:
                events = list(device.run(asked))
        _assert_whole(events, asked)
        assert device.phone.recovery.losses >= 1
    _assert_nothing_left(bench)


@pytest.mark.software_phone
@pytest.mark.parametrize("at", [1, 40, 400, 4000])
def test_a_cut_after_so_many_bytes_of_a_batch_is_mended(
    bench: DeviceBench, visits: Callable[[int], list[Visit]], at: int
) -> None:
    asked = visits(10)
    with bench.open("instant_runner") as device:
        device.load([visit.artifact for visit in asked])
        bench.proxy.cut_after(at, "down")
        _assert_whole(list(device.run(asked)), asked)
        assert device.phone.recovery.losses == 1
    _assert_nothing_left(bench)


@pytest.mark.software_phone
def test_a_link_that_stalls_is_given_up_and_taken_anew(
    bench: DeviceBench, visits: Callable[[int], list[Visit]]
) -> None:
    asked = visits(10)
    with bench.open("instant_runner", deadline_s=1.0, silence_s=2.0) as device:
        device.load([visit.artifact for visit in asked])
        bench.proxy.stall_after(800, "down")
        timer = threading.Timer(6.0, lambda: (bench.proxy.resume(), bench.proxy.cut()))
        timer.start()
        try:
            _assert_whole(list(device.run(asked)), asked)
        finally:
            timer.cancel()
        assert device.phone.recovery.losses >= 1
    _assert_nothing_left(bench)


@pytest.mark.software_phone
def test_an_adbd_that_dies_and_comes_back_costs_the_launch_under_way(
    bench: DeviceBench, visits: Callable[[int], list[Visit]]
) -> None:
    asked = visits(4)
    with bench.open("lying_runner") as device:
        bench.phone.lie("slow 1")
        device.load([visit.artifact for visit in asked])
        bench.phone.play([(1.5, bench.phone.kill_adbd), (2.5, bench.phone.restart_adbd)])
        events = list(device.run(asked))
        bench.phone.stop_playing()
        _assert_whole(events, asked)
        assert device.phone.recovery.losses >= 1
    _assert_nothing_left(bench)


@pytest.mark.software_phone
def test_a_phone_that_starts_anew_is_made_ready_again(bench: DeviceBench, visits: Callable[[int], list[Visit]]) -> None:
    asked = visits(4)

    def restart() -> None:
        for file in bench.phone.work_folder.glob("mnas/cache/*"):
            file.unlink()
        bench.phone.set_setting("stay_on_while_plugged_in", "0")
        bench.phone.reboot(down_s=0.5)

    with bench.open("lying_runner") as device:
        bench.phone.lie("slow 1")
        device.load([visit.artifact for visit in asked])
        before = device.phone.facts.boot_id
        bench.phone.play([(1.5, restart)])
        _assert_whole(list(device.run(asked)), asked)
        bench.phone.stop_playing()
        assert device.phone.facts.boot_id != before
        assert bench.phone.setting("stay_on_while_plugged_in") != "0"
        assert any("started anew" in text for text in device.warnings)
    _assert_nothing_left(bench)


@pytest.mark.software_phone
def test_a_model_that_takes_the_phone_down_each_time_is_given_up(
    bench: DeviceBench, visits: Callable[[int], list[Visit]]
) -> None:
    asked = visits(2)
    with bench.open("lying_runner") as device:
        bench.phone.lie("slow 30")
        device.load([visit.artifact for visit in asked])
        ends = threading.Event()

        def restart_at_each_launch() -> None:
            restarts = 0
            while restarts < 2 and not ends.wait(0.02):
                if any("--graph" in " ".join(one.command) for one in bench.phone.processes()):
                    restarts += 1
                    if restarts == 2:
                        bench.phone.lie("honest")
                    with suppress(Exception):
                        bench.phone.reboot()

        thread = threading.Thread(target=restart_at_each_launch, daemon=True)
        thread.start()
        try:
            first, second = device.run(asked)
        finally:
            ends.set()
            thread.join()
    assert "restarted 2 times" in first.error and first.samples == ()
    _assert_whole([second], asked[1:])


@pytest.mark.software_phone
def test_a_phone_that_stays_away_ends_the_run_in_time_with_what_was_found(
    bench: DeviceBench, visits: Callable[[int], list[Visit]]
) -> None:
    asked = visits(5)
    device = bench.open("lying_runner", recovery_s=3.0)
    bench.phone.lie("slow 1")
    device.load([visit.artifact for visit in asked])
    bench.phone.play([(2.5, bench.phone.kill_adbd)])
    began = time.monotonic()
    with pytest.raises(DeviceError) as caught:
        list(device.run(asked))
    assert caught.value.code == "ADB62" and time.monotonic() - began < 60
    device.close()
    assert any("journal" in text for text in device.warnings)
    # Whoever holds the phone next puts back what this one could not.
    bench.phone.stop_playing()
    bench.phone.restart_adbd()
    bench.own.attach(bench.serial)
    with bench.open("instant_runner"):
        pass
    _assert_nothing_left(bench)


@pytest.mark.software_phone
def test_loading_goes_on_after_a_cut(bench: DeviceBench, tmp_path: Path) -> None:
    rng = random.Random(_SEED)
    models = [
        save_artifact(
            b"\x1c\0\0\0TFL3" + rng.randbytes(300_000),
            tmp_path / f"{number}.tflite",
            model_format="tflite",
            input_shape_chw=(3, 8, 8),
        )
        for number in range(5)
    ]
    with bench.open("instant_runner") as device:
        bench.proxy.cut_after(500_000, "up")
        assert device.load(models) == {}
        assert [event.error for event in device.run([Visit(model, 1, 0) for model in models])] == [""] * 5
        assert device.phone.recovery.losses == 1


# The waiting itself, on a small adbd that can show every state.


def test_the_phone_that_comes_back_must_be_the_one_that_was_lost(make_phone: MakePhone) -> None:
    phone = make_phone()
    recovery = Recovery(phone.own.server, phone.link.serial, budget_s=20.0)
    with pytest.raises(DeviceError) as caught:
        recovery.wait(Identity("ANOTHER", "boot"), "the link broke")
    assert caught.value.code == "ADB63"


def test_a_phone_that_asks_its_owner_is_not_waited_for(make_phone: MakePhone) -> None:
    phone = make_phone()
    phone.adbd.faults = Faults(unauthorized=True)
    phone.proxy.cut()
    recovery = Recovery(phone.own.server, phone.link.serial, budget_s=60.0)
    began = time.monotonic()
    with pytest.raises((DeviceError, PhoneForbidden)) as caught:
        recovery.wait(Identity("", ""), "the link broke")
    assert caught.value.code in ("ADB12", "ADB30") and "USB debugging" in caught.value.fix
    assert time.monotonic() - began < 50


def test_the_budget_is_spent_over_all_losses_and_whole_again_after_a_result() -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += max(seconds, 1.0)

    # An address of this machine that adb servers are not started on.
    recovery = Recovery(AdbServer("127.0.0.2", free_port()), "x", budget_s=4.0, clock=lambda: now[0], sleep=sleep)
    for longest in (6.0, 6.0, 0.0):
        before = now[0]
        with pytest.raises(DeviceError) as caught:
            recovery.wait(Identity("", ""), "the link broke")
        assert caught.value.code == "ADB62" and now[0] - before <= longest
        assert longest == 0.0 or now[0] - before >= 4.0
        if before == 0.0:
            recovery.progress()
