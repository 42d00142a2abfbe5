"""Phones that are misused while they measure, odd files and odd places: 25 kinds, end to end.

======================  ===================================================================================
kinds                   what happens
======================  ===================================================================================
processes (7)           the batch's shell is killed once, or each time; its watchdog is killed under a
                        hung runner; a runner is stopped; adbd is stopped for a while; a model takes the
                        link down each time; the link breaks each time before a launch is heard of
leftovers (2)           children that are deaf to HUP and TERM after every launch; a dead run's processes
storage (7)             it fills up before a batch, and under one; a cached model changes, vanishes, all
                        that is ours vanishes; a file, or somebody else's folder, lies in our place
holders (3)             five at once; one over another transport; a quarantine, which a reboot ends
this machine (3)        a state folder that is none; a journal of garbage; files that change after loading
names (2)               files and folders with odd names; a model that is a folder
another phone (1)       another phone comes back in the place of the lost one
======================  ===================================================================================

Heat and phones that start are in `test_faults_heat`; runners that lie, hang, crash and never stop talking in
`test_adb_faults`; phones that are not fit, full or without exec, interrupts and dead holders in `test_adb_device`;
links and what comes of them in `test_recovery`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from fault_kit import Scene, Trap, assert_told
from software_phone.adb_server import OwnAdbServer
from software_phone.build import Image
from software_phone.cutting_proxy import CuttingProxy
from software_phone.fixtures import clean_phone, software_phone, software_phone_build  # noqa: F401
from software_phone.open_device import assert_each_once, device_bench, pretended_models
from software_phone.phone import SoftwarePhone

from devices.adb.device import AdbDevice
from devices.adb.journal import Journal
from devices.adb.quarantine import put_in_quarantine
from devices.measurement import Visit
from devices.spec import DeviceSpec
from mnas.errors import DeviceError, MnasError, StateError
from mnas.export.artifact import ModelArtifact, save_artifact

pytestmark = pytest.mark.software_phone


@pytest.fixture
def scene(clean_phone: SoftwarePhone, own_adb: OwnAdbServer, tmp_path: Path) -> Iterator[Scene]:  # noqa: F811
    made = Scene(clean_phone, own_adb, tmp_path / "scene")
    yield made
    made.close()


@pytest.fixture
def visits(tmp_path: Path) -> list[Visit]:
    return [Visit(model, 3, 0) for model in pretended_models(tmp_path, 3)]


def _batch_shell(scene: Scene) -> int:
    """Return the process id, on this machine, of the shell that runs the batch; 0 where there is none."""
    for file in scene.phone.work_folder.glob("mnas/batch/*/pid"):
        text = file.read_text().strip()
        for one in scene.phone.processes():
            if text and one.pid == int(text):
                return one.host_pid
    return 0


def _send(pid: int, number: int) -> None:
    if pid:
        os.kill(pid, number)


def test_a_batch_whose_shell_is_killed_goes_on(scene: Scene, visits: list[Visit]) -> None:
    scene.phone.lie("slow 1", once=True)
    with scene.open("lying_runner") as device:
        with Trap(lambda: bool(scene.launches()), lambda: _send(_batch_shell(scene), signal.SIGKILL)) as trap:
            assert_each_once(list(device.run(visits)), visits)
        assert trap.has_struck and scene.phone.processes() == []
    scene.assert_left_as_found()


def test_a_shell_that_is_killed_each_time_ends_the_run(scene: Scene, visits: list[Visit]) -> None:
    scene.phone.lie("slow 30")
    kill = lambda: _send(_batch_shell(scene), signal.SIGKILL)  # noqa: E731
    with scene.open("lying_runner") as device:
        with Trap(lambda: bool(scene.launches()), kill, times=10_000), pytest.raises(DeviceError) as caught:
            list(device.run(visits))
        assert_told(caught.value, "ADB66")
    scene.assert_left_as_found()


def test_a_hung_runner_without_its_watchdog_costs_the_silence(scene: Scene, visits: list[Visit]) -> None:
    scene.phone.lie("hang", once=True)

    def kill_watchdog() -> None:
        shell, launched = _batch_shell(scene), {one.host_pid for one in scene.launches()}
        forks = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        for pid in {int(pid) for pid in forks} - launched:
            _send(pid, signal.SIGKILL)

    with scene.open("lying_runner") as device:
        with Trap(lambda: bool(scene.launches()), kill_watchdog) as trap:
            assert_each_once(list(device.run(visits)), visits)
        assert trap.has_struck and device.phone.recovery.losses == 1
    scene.assert_left_as_found()


def test_a_runner_that_is_stopped_counts_as_hung(scene: Scene, visits: list[Visit]) -> None:
    scene.phone.lie("slow 1", once=True)
    with scene.open("lying_runner") as device:
        stop = lambda: _send(scene.launches()[0].host_pid, signal.SIGSTOP)  # noqa: E731
        with Trap(lambda: bool(scene.launches()), stop):
            first, *rest = device.run(visits)
        assert first.samples == () and "hung" in first.error
        assert_each_once(rest, visits[1:])
    scene.assert_left_as_found()


def test_an_adbd_that_is_stopped_for_a_while_is_waited_for(scene: Scene, visits: list[Visit]) -> None:
    scene.phone.lie("slow 1", once=True)
    with scene.open("lying_runner") as device:
        with Trap(lambda: bool(scene.launches()), scene.phone.freeze):
            thaw = threading.Timer(6.0, scene.phone.thaw)
            thaw.start()
            assert_each_once(list(device.run(visits)), visits)
            thaw.join()
        assert device.phone.recovery.losses >= 1
    scene.assert_left_as_found()


def test_a_model_that_takes_the_link_down_each_time_is_given_up(scene: Scene, visits: list[Visit]) -> None:
    scene.phone.lie("slow 30")
    seen = set[int]()

    def is_new() -> bool:
        running = {one.host_pid for one in scene.launches()}
        is_first = not running <= seen
        seen.update(running)
        return is_first

    with scene.open("lying_runner") as device:
        device.load([visit.artifact for visit in visits])
        with Trap(is_new, scene.cut, times=10_000):
            events = device.run(visits)
            first = next(events)
        scene.phone.lie("honest")
        assert first.samples == () and "the link broke 10 times" in first.error
        events.close()  # type: ignore[attr-defined]
        assert_each_once(list(device.run(visits)), visits)
    scene.assert_left_as_found()


class _EarlyCuts(CuttingProxy):
    """Cuts a few times before the word that a batch's first launch has begun."""

    cuts_left = 0

    def _one(self, target: object, data: bytes, direction: str) -> None:
        if self.cuts_left and direction == "down" and b" begin 0 " in data:
            self.cuts_left -= 1
            return self.cut()
        super()._one(target, data, direction)  # type: ignore[arg-type]


def test_a_link_that_breaks_before_a_launch_is_heard_of_is_not_held_against_it(
    clean_phone: SoftwarePhone,  # noqa: F811
    own_adb: OwnAdbServer,
    tmp_path: Path,
    visits: list[Visit],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("software_phone.open_device.CuttingProxy", _EarlyCuts)
    scene = Scene(clean_phone, own_adb, tmp_path / "scene")
    proxy = scene.bench.proxy
    assert isinstance(proxy, _EarlyCuts)
    try:
        with scene.open() as device:
            device.load([visit.artifact for visit in visits])
            proxy.cuts_left = 12
            assert_each_once(list(device.run(visits)), visits)
            assert device.phone.recovery.losses >= 12 and proxy.cuts_left == 0
        scene.assert_left_as_found()
    finally:
        scene.close()


def test_children_that_nothing_but_kill_ends_do_not_outlive_a_batch(scene: Scene, visits: list[Visit]) -> None:
    with scene.open("lying_runner") as device:
        scene.phone.lie("fork")
        for _ in range(2):
            events = list(device.run(visits))
            assert [event.error for event in events] == [""] * len(visits)
            assert_each_once(events, visits)
            assert scene.phone.processes() == []
    scene.assert_left_as_found()


def test_what_a_dead_run_left_running_is_ended_before_anything_is_measured(scene: Scene, visits: list[Visit]) -> None:
    link = scene.own.server.link(scene.bench.serial)
    script = (
        "mkdir -p /data/local/tmp/mnas/batch/dead /data/local/tmp/mnas/scripts; cd /data/local/tmp/mnas/batch/dead\n"
        "echo x >pid; echo x >../../scripts/dead.sh\n"
        "sh -c 'trap \"\" HUP TERM; while :; do sleep 1; done' >o 2>&1 </dev/null &"
    )
    link.run_script(script, deadline_s=20, token="dead")
    assert scene.phone.processes()
    with scene.open() as device:
        assert scene.phone.processes() == []
        assert_each_once(list(device.run(visits)), visits)
    scene.assert_left_as_found()


@pytest.fixture
def small_scene(software_phone_build: Image, own_adb: OwnAdbServer, tmp_path: Path) -> Iterator[Scene]:  # noqa: F811
    """A phone with little room."""
    with SoftwarePhone(software_phone_build, storage_mb=8) as phone:
        made = Scene(phone, own_adb, tmp_path / "scene")
        yield made
        made.close()


def _fill(phone: SoftwarePhone) -> Path:
    """Fill the phone's storage to the last byte; return the file that does."""
    path = phone.work_folder / "full"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return path


def test_storage_that_fills_up_before_a_batch_is_told_and_later_forgotten(
    small_scene: Scene, visits: list[Visit]
) -> None:
    with small_scene.open() as device:
        device.load([visit.artifact for visit in visits])
        full = _fill(small_scene.phone)
        with pytest.raises(DeviceError) as caught:
            list(device.run(visits))
        assert_told(caught.value, "ADB65", "ADB20")
        full.unlink()
        assert_each_once(list(device.run(visits)), visits)
    small_scene.assert_left_as_found()


def test_storage_that_fills_up_under_a_batch_gives_no_wrong_number(small_scene: Scene, visits: list[Visit]) -> None:
    small_scene.phone.lie("slow 1", once=True)
    with small_scene.open("lying_runner") as device:
        device.load([visit.artifact for visit in visits])
        with Trap(lambda: bool(small_scene.launches()), lambda: _fill(small_scene.phone)) as trap:
            events = list(device.run(visits))
        assert trap.has_struck and [event.visit for event in events] == visits
        for event in events:
            if event.error:
                assert event.samples == () and "\n" not in event.error
            else:
                assert_each_once([event], [event.visit])
        (small_scene.phone.work_folder / "full").unlink()
        assert_each_once(list(device.run(visits)), visits)
    small_scene.assert_left_as_found()


def _cached(scene: Scene, model: ModelArtifact) -> Path:
    return scene.phone.work_folder / "mnas/cache" / model.sha256


def test_a_cached_model_that_was_changed_is_sent_again_by_the_next_run(scene: Scene, visits: list[Visit]) -> None:
    model = visits[0].artifact
    with scene.open() as device:
        device.load([model])
    _cached(scene, model).write_bytes(bytes(model.size_bytes))
    with scene.open() as device:
        assert device.load([model]) == {}
        assert _cached(scene, model).read_bytes() == model.path.read_bytes()
    scene.assert_left_as_found()


def test_a_cached_model_that_vanishes_gives_an_error_and_the_others_their_numbers(
    scene: Scene, visits: list[Visit]
) -> None:
    with scene.open() as device:
        device.load([visit.artifact for visit in visits])
        _cached(scene, visits[1].artifact).unlink()
        first, gone, last = device.run(visits)
    assert gone.samples == () and gone.error
    assert_each_once([first, last], [visits[0], visits[2]])
    scene.assert_left_as_found()
    scene.assert_usable()


def test_a_folder_that_is_removed_under_a_device_gives_errors_and_the_next_run_is_well(
    scene: Scene, visits: list[Visit]
) -> None:
    with scene.open() as device:
        device.load([visit.artifact for visit in visits])
        scene.own.server.link(scene.bench.serial).run(["rm", "-rf", "/data/local/tmp/mnas"], deadline_s=20)
        events = list(device.run(visits))
        assert [event.visit for event in events] == visits
        assert all(event.samples == () and event.error and "\n" not in event.error for event in events)
    scene.assert_usable()


@pytest.mark.parametrize("theirs", [Path.touch, Path.mkdir], ids=["a file", "a folder of root's"])
def test_something_else_in_our_place_is_told(scene: Scene, theirs: Callable[[Path], None]) -> None:
    place = scene.phone.work_folder / "mnas"
    theirs(place)
    with pytest.raises(DeviceError) as caught:
        scene.open()
    assert_told(caught.value, "ADB20", "ADB21", "ADB22", "ADB24", "ADB28")
    scene.assert_free()
    place.rmdir() if place.is_dir() else place.unlink()
    scene.assert_usable()


def test_of_five_at_once_one_gets_the_phone(scene: Scene) -> None:
    scene.bench.library("instant_runner")

    def open_one(_: int) -> AdbDevice | MnasError:
        try:
            return scene.open()
        except MnasError as error:
            return error

    with ThreadPoolExecutor(5) as pool:
        found = list(pool.map(open_one, range(5)))
    devices = [one for one in found if isinstance(one, AdbDevice)]
    for device in devices:
        device.close()
    assert len(devices) == 1
    for one in found:
        if isinstance(one, MnasError):
            assert_told(one, "ADB31")
    scene.assert_left_as_found()


def test_a_phone_is_one_over_all_its_transports(
    software_phone_build: Image,  # noqa: F811
    own_adb: OwnAdbServer,
    tmp_path: Path,
) -> None:
    with (
        SoftwarePhone(software_phone_build, transports=2) as phone,
        device_bench(phone, own_adb, tmp_path) as bench,
        bench.open("instant_runner"),
    ):
        own_adb.attach(phone.addresses[1])
        spec = DeviceSpec("adb", "tflite", phone.addresses[1])
        with pytest.raises(DeviceError) as caught:
            AdbDevice(spec, server=own_adb.server, library=bench.library("instant_runner"), folder=tmp_path / "state")
        assert_told(caught.value, "ADB31")
        own_adb.server.disconnect(phone.addresses[1])


def test_a_quarantine_holds_until_the_phone_starts_anew(scene: Scene) -> None:
    boot_id = (scene.phone.folder / "state/boot_id").read_text().strip()
    put_in_quarantine(scene.phone.serial, boot_id, "process 7 cannot be ended", folder=scene.state)
    with pytest.raises(DeviceError) as caught:
        scene.open()
    assert_told(caught.value, "ADB36")
    assert "process 7" in str(caught.value)
    scene.assert_free()
    scene.phone.reboot()
    scene.assert_usable()


def test_a_state_folder_that_is_none_is_told_before_the_phone_is_touched(scene: Scene) -> None:
    scene.state.write_text("a file")
    with pytest.raises(StateError) as caught:
        scene.open()
    assert_told(caught.value, "ADB38", exit_code=6)
    scene.state.unlink()
    scene.assert_left_as_found()
    scene.assert_usable()


def test_a_journal_of_garbage_hides_no_setting(scene: Scene) -> None:
    journal = Journal(scene.phone.serial, folder=scene.state)
    journal.record("stay_on", "0", "15")
    names = {change.setting for change in journal.pending()}
    journal.path.write_bytes(b"\xff\x00{]\n" + journal.path.read_bytes() + b'{"change": {"setti')
    assert {change.setting for change in journal.pending()} == names
    scene.phone.set_setting("stay_on_while_plugged_in", "15")
    scene.assert_usable()


def test_files_that_change_after_loading_do_not_reach_the_phone(scene: Scene, visits: list[Visit]) -> None:
    with scene.open() as device:
        device.load([visit.artifact for visit in visits])
        visits[0].artifact.path.write_bytes(b"\x1c\0\0\0TFL3 another")
        visits[1].artifact.path.unlink()
        events = list(device.run(visits))
    assert "changed" in events[0].error and "cannot be read" in events[1].error
    assert events[0].samples == events[1].samples == ()
    assert_each_once(events[2:], visits[2:])
    scene.assert_left_as_found()


_ODD = ["two words", 'it\'s "quoted"', "$(reboot)`reboot`;|&<>", "-rf", "naïve-ü-模型", "new\nline", "%s%n", "x" * 200]


def test_odd_names_of_files_and_folders_are_only_names(
    clean_phone: SoftwarePhone,  # noqa: F811
    own_adb: OwnAdbServer,
    tmp_path: Path,
) -> None:
    scene = Scene(clean_phone, own_adb, tmp_path / "it's a folder; $(x) ü")
    models = []
    for number, name in enumerate(_ODD):
        (source,) = pretended_models(tmp_path, number + 1)[number:]
        path = tmp_path / name / f"{name}.tflite"
        path.parent.mkdir()
        models.append(replace(source, path=path))
        path.write_bytes(source.path.read_bytes())
    visits = [Visit(model, 3, 0) for model in models]
    try:
        with scene.open() as device:
            assert device.load(models) == {}
            assert_each_once(list(device.run(visits)), visits)
        scene.assert_left_as_found()
    finally:
        scene.close()


def test_a_model_that_is_a_folder_has_a_reason(scene: Scene, visits: list[Visit], tmp_path: Path) -> None:
    folder = tmp_path / "folder.tflite"
    folder.mkdir()
    bad = replace(visits[0].artifact, path=folder)
    empty = save_artifact(b"", tmp_path / "empty.tflite", model_format="tflite", input_shape_chw=(3, 8, 8))
    with scene.open() as device:
        events = list(device.run([Visit(bad, 3, 0), Visit(empty, 3, 0), visits[1]]))
    assert "cannot be read" in events[0].error and events[1].error
    assert_each_once(events[2:], visits[1:2])


def test_another_phone_in_the_place_of_the_lost_one_gets_none_of_its_work(scene: Scene, visits: list[Visit]) -> None:
    properties = scene.phone.read("properties")
    serial = scene.phone.serial
    scene.phone.lie("slow 1")
    device = scene.open("lying_runner")
    device.load([visit.artifact for visit in visits])

    def swap() -> None:
        scene.phone.write("properties", properties.replace(serial, "ANOTHER1"))
        scene.phone.kill_adbd()
        scene.phone.restart_adbd()

    with Trap(lambda: bool(scene.launches()), swap), pytest.raises(DeviceError) as caught:
        list(device.run(visits))
    assert_told(caught.value, "ADB63")
    device.close()
    scene.phone.write("properties", properties)
    scene.assert_usable()
