"""Phones that are hot, held back or still starting while they measure, and what others are told of it: 10 kinds.

======================  ===================================================================================
kinds                   what happens
======================  ===================================================================================
heat (6)                hot, or held back, before the first launch; the cable is pulled while it cools
                        down; a status set by hand; a phone that stays hot from the start; clocks held by
                        fixed performance
starts (2)              Android has not started yet, at the start and after a reboot in mid-run
other processes (2)     they are told what is done with the phone, in every state
======================  ===================================================================================

Phones that get hot, or no longer tell their heat, between launches are in `test_adb_faults`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_kit import Scene, Trap, assert_told
from software_phone.adb_server import OwnAdbServer
from software_phone.fixtures import clean_phone, software_phone, software_phone_build  # noqa: F401
from software_phone.open_device import assert_each_once, pretended_models
from software_phone.phone import SoftwarePhone
from software_phone.state import COOL

from devices.adb.activity import Telling, activity_of
from devices.adb.heat import HeatLimits, Rejections
from devices.adb.lease import holder_of
from devices.adb.states import HELD, PhoneState
from devices.measurement import Visit
from mnas.errors import DeviceError

pytestmark = pytest.mark.software_phone

_HOT = {**COOL, "skin": 46.0}


@pytest.fixture
def scene(clean_phone: SoftwarePhone, own_adb: OwnAdbServer, tmp_path: Path) -> Iterator[Scene]:  # noqa: F811
    made = Scene(clean_phone, own_adb, tmp_path / "scene")
    yield made
    made.close()


@pytest.fixture
def visits(tmp_path: Path) -> list[Visit]:
    return [Visit(model, 3, 0) for model in pretended_models(tmp_path, 3)]


def test_a_phone_that_is_hot_at_the_start_cools_down_first(scene: Scene, visits: list[Visit]) -> None:
    scene.phone.set_thermal(2, _HOT)
    with scene.open() as device:
        scene.phone.play([(1.0, lambda: scene.phone.set_thermal(0, COOL))])
        assert_each_once(list(device.run(visits)), visits)
        scene.phone.stop_playing()
        assert device.rejections.cool_downs == 1 and device.rejections.hot == device.rejections.kept_hot == 0
    scene.assert_left_as_found()


def test_a_link_that_breaks_while_the_phone_cools_down_loses_nothing(scene: Scene, visits: list[Visit]) -> None:
    scene.phone.set_thermal(2, _HOT)
    with scene.open() as device:
        cool = lambda: scene.phone.set_thermal(0, COOL)  # noqa: E731
        scene.phone.play([(0.5, scene.phone.kill_adbd), (1.0, scene.phone.restart_adbd), (1.5, cool)])
        assert_each_once(list(device.run(visits)), visits)
        scene.phone.stop_playing()
        assert device.phone.recovery.losses >= 1 and device.rejections.kept_hot == 0
    scene.assert_left_as_found()


def test_other_processes_are_told_what_is_done_with_the_phone(scene: Scene, visits: list[Visit]) -> None:
    seen: list[str] = []

    def note() -> None:
        holder = holder_of(scene.phone.serial, folder=scene.state)
        seen.append(str(activity_of(holder, folder=scene.state).state) if holder else "free")

    scene.phone.lie("slow 1", once=True)
    with scene.open("lying_runner") as device:
        device.load([visit.artifact for visit in visits])
        note()
        with Trap(lambda: bool(scene.launches()), note):
            list(device.run(visits))
        note()
        scene.phone.set_thermal(2, _HOT)

        def note_and_cool() -> None:
            note()
            scene.phone.set_thermal(0, COOL)

        with Trap(lambda: device.rejections.cool_downs > 0, note_and_cool):
            list(device.run(visits))
    note()
    assert seen == ["staged", "running", "staged", "cooling", "free"]
    assert list((scene.state / "phones/activities").iterdir()) == []


def test_a_held_phone_passes_every_state_and_others_can_read_each(
    scene: Scene, visits: list[Visit], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read back as another process would, each time that something is told, through a cut and through heat."""
    seen: list[PhoneState] = []
    tell = Telling.tell

    def tell_and_read(self: Telling, state: PhoneState, what: str = "") -> None:
        tell(self, state, what)
        holder = holder_of(scene.phone.serial, folder=scene.state)
        found = activity_of(holder, folder=scene.state).state if holder else PhoneState.READY
        assert found is state
        if seen[-1:] != [found]:
            seen.append(found)

    monkeypatch.setattr(Telling, "tell", tell_and_read)
    scene.phone.lie("slow 1", once=True)
    with scene.open("lying_runner") as device:
        with Trap(lambda: bool(scene.launches()), scene.cut):
            assert_each_once(list(device.run(visits)), visits)
        scene.phone.set_thermal(2, _HOT)
        with Trap(lambda: device.rejections.cool_downs > 0, lambda: scene.phone.set_thermal(0, COOL)):
            assert_each_once(list(device.run(visits)), visits)
    assert holder_of(scene.phone.serial, folder=scene.state) is None
    made_ready = [PhoneState.LEASED, PhoneState.STAGED]
    cut = [PhoneState.RUNNING, PhoneState.LOST, PhoneState.RUNNING, PhoneState.COLLECTING, PhoneState.STAGED]
    heat = [PhoneState.RUNNING, PhoneState.COLLECTING, PhoneState.COOLING]
    heat += [PhoneState.RUNNING, PhoneState.COLLECTING, PhoneState.STAGED]
    assert seen == [*made_ready, *cut, *heat, PhoneState.CLEAN]
    assert HELD | {PhoneState.LOST} == set(seen)


def test_a_status_that_was_set_by_hand_is_refused(scene: Scene) -> None:
    scene.phone.set_thermal(3, COOL, is_override=True)
    with pytest.raises(DeviceError) as caught:
        scene.open()
    assert_told(caught.value, "ADB67")
    assert "cmd thermalservice reset" in caught.value.fix
    scene.assert_left_as_found()


def test_a_phone_that_is_hot_from_start_to_end_is_measured_and_called_so(scene: Scene, visits: list[Visit]) -> None:
    scene.phone.set_thermal(3, _HOT)
    with scene.bench.open("instant_runner", heat=HeatLimits(budget_s=0.5, interval_s=0.2)) as device:
        assert_each_once(list(device.run(visits)), visits)
        assert device.rejections.kept_hot == len(visits) and device.conditions()["throttle_count"] == len(visits)
    scene.assert_left_as_found()


@pytest.mark.parametrize("is_warm", [True, False])
def test_a_phone_that_is_capped_at_the_start_cools_down_first(scene: Scene, visits: list[Visit], is_warm: bool) -> None:
    """Not a cool one: its clocks are held back for another reason, for which no waiting helps."""
    phone, core = scene.phone, max(scene.phone.capacities)
    phone.write("power/no_fixed_performance", "")
    phone.set_frequency_cap(core, phone.max_khz(core) // 2)
    phone.set_thermal(0, {**COOL, "skin": 40.0 if is_warm else 30.0})

    def cool() -> None:
        phone.set_frequency_cap(core, None)
        phone.set_thermal(0, COOL)

    with scene.open() as device:
        assert device.phone.is_capped
        if is_warm:
            phone.play([(1.0, cool)])
        assert_each_once(list(device.run(visits)), visits)
        phone.stop_playing()
        assert (device.rejections.waited_s >= 0.5) == is_warm and device.rejections.cool_downs == 1
        assert device.phone.is_capped != is_warm and device.rejections.kept_hot == 0
    scene.assert_left_as_found()


def test_clocks_that_fixed_performance_holds_are_no_caps(scene: Scene, visits: list[Visit]) -> None:
    scene.phone.hold_clocks_by_fixed_performance(60)
    core = max(scene.phone.capacities)
    with scene.bench.open("lying_runner", heat=HeatLimits(budget_s=0.5, interval_s=0.2)) as device:
        assert device.phone.facts.caps[core][0] == scene.phone.max_khz(core) * 60 // 100
        assert_each_once(list(device.run(visits)), visits)
        assert device.rejections == Rejections()
        # Below what fixed performance holds it is a cap all the same.
        scene.phone.set_frequency_cap(core, scene.phone.max_khz(core) // 2)
        assert_each_once(list(device.run(visits)), visits)
        assert device.rejections.capped and device.rejections.kept_hot == len(visits)
    scene.assert_left_as_found()


def _unstarted(phone: SoftwarePhone) -> Callable[[], None]:
    """Let Android not have started, as adbd sees it; return what lets it be so."""
    properties = phone.read("properties")
    phone.write("properties", properties.replace("sys.boot_completed=1", "sys.boot_completed=0"))
    phone.remove_service("thermalservice")

    def start() -> None:
        phone.restore_service("thermalservice")
        phone.write("properties", properties)

    return start


def test_a_phone_that_is_still_starting_is_refused_and_later_measured_with_its_heat(scene: Scene) -> None:
    start = _unstarted(scene.phone)
    with pytest.raises(DeviceError) as caught:
        scene.open()
    start()
    assert_told(caught.value, "ADB67")
    assert "has not started" in caught.value.why
    scene.assert_left_as_found()
    scene.assert_usable()


def test_a_phone_that_starts_anew_is_not_measured_before_its_services_are_there(
    scene: Scene, visits: list[Visit]
) -> None:
    scene.phone.lie("slow 1", once=True)
    with scene.open("lying_runner") as device:

        def reboot() -> None:
            start = _unstarted(scene.phone)
            scene.reboot()
            # Hot as well, which only one who waits for the thermal service learns.
            scene.phone.set_thermal(2, _HOT)
            scene.phone.play([(2.0, start)])

        cools = Trap(lambda: device.rejections.cool_downs > 0, lambda: scene.phone.set_thermal(0, COOL))
        with Trap(lambda: bool(scene.launches()), reboot) as trap, cools:
            assert_each_once(list(device.run(visits)), visits)
        scene.phone.stop_playing()
        assert trap.has_struck and device.phone.facts.is_booted
        assert device.phone.facts.thermal is not None and device.phone.facts.thermal.status == 0
        assert device.rejections.cool_downs >= 1 and device.rejections.kept_hot == 0
    scene.assert_left_as_found()
