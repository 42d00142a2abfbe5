"""Runners that misbehave and phones that get hot: an error or another launch, never a wrong number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_kit import Trap
from software_phone.adb_server import OwnAdbServer
from software_phone.open_device import (
    DeviceBench,
    assert_each_once,
    assert_left_as_found,
    device_bench,
    pretended_models,
)
from software_phone.phone import SoftwarePhone
from software_phone.state import COOL

from devices.adb.heat import HeatLimits
from devices.measurement import Visit
from devices.stability import judge_heat, tell_repeats
from mnas.export.artifact import ModelArtifact

pytestmark = pytest.mark.software_phone


@pytest.fixture
def bench(clean_phone: SoftwarePhone, own_adb: OwnAdbServer, tmp_path: Path) -> Iterator[DeviceBench]:
    with device_bench(clean_phone, own_adb, tmp_path) as made:
        yield made


@pytest.fixture
def files(tmp_path: Path) -> Callable[[int], list[ModelArtifact]]:
    return lambda count: pretended_models(tmp_path, count)


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ("wrong_count 3", "3 timed runs instead of 5"),
        ("fail", "exit code 1"),
        ("early_fail", "exit code"),
        ("crash", "SIGSEGV"),
        ("truncated", "broken off"),
        ("garbage", "its output says nothing"),
        ("silent", "output"),
        ("unconsumed", "flags"),
        ("partial", "only parts"),
        ("undelegated", "was not run by the delegate"),
        ("nan", ""),
        ("zero", "no time"),
        ("chatty 4", "more than a runner has to say"),
        ("endless", "more than a runner has to say"),
        ("hang", "hung"),
        ("stubborn", "hung"),
    ],
)
def test_a_runner_that_misbehaves_gives_an_error_and_no_number(
    bench: DeviceBench, files: Callable[[int], list[ModelArtifact]], lie: str, words: str
) -> None:
    first, second = files(2)
    with bench.open("lying_runner", deadline_s=2.0) as device:
        bench.phone.lie(lie)
        (bad,) = device.run([Visit(first, 5, 0)])
        # A launch that hangs costs its deadline once; any other is made twice again before it counts as failed.
        assert device.rejections.failed == (0 if words == "hung" else 2)
        (again,) = device.run([Visit(first, 5, 0)])
        assert device.rejections.failed == (0 if words == "hung" else 2), "its repeats were in vain: no more of them"
        bench.phone.lie("honest")
        good = list(device.run([Visit(one, 5, 0) for one in (second, first)]))
    for one in (bad, again):
        assert one.samples == () and one.error and words in one.error and "\n" not in one.error
    assert_each_once(good, [Visit(one, 5, 0) for one in (second, first)])
    assert_left_as_found(bench)


@pytest.mark.parametrize("lie", ["wrong_count 3", "early_fail", "crash", "truncated", "garbage", "nan"])
def test_a_launch_that_fails_once_is_made_again_and_told(
    bench: DeviceBench, files: Callable[[int], list[ModelArtifact]], lie: str
) -> None:
    visits = [Visit(model, 5, 0) for model in files(4)]
    with bench.open("lying_runner") as device:
        before = device.conditions()
        bench.phone.lie(lie, once=True)
        assert_each_once(list(device.run(visits)), visits)
        (told,) = tell_repeats([before, device.conditions()])
    assert told == "1 launch was thrown away and made again: 1 without a number"
    assert_left_as_found(bench)


def test_parts_that_a_delegate_leaves_are_refused_unless_they_are_allowed(
    bench: DeviceBench, files: Callable[[int], list[ModelArtifact]]
) -> None:
    (model,) = files(1)
    bench.phone.lie("partial")
    with bench.open("lying_runner") as device:
        refused = device.try_model(model)
        assert refused.how == "refused" and "only parts" in refused.error and "partial=allow" in refused.error
        whole = device.info
    with bench.open("lying_runner", options=",partial=allow") as device:
        allowed = device.try_model(model)
        assert allowed.how == "ok" and any("only parts" in note for note in allowed.notes)
        assert_each_once(list(device.run([Visit(model, 5, 0)])), [Visit(model, 5, 0)])
        assert device.info.delegate == f"{whole.delegate}+cpu" and device.info.device_key != whole.device_key


@pytest.mark.parametrize(("size_mb", "is_good"), [(64, True), (300, False)])
def test_shared_memory_is_limited_only_far_above_what_models_need(
    bench: DeviceBench, files: Callable[[int], list[ModelArtifact]], size_mb: int, is_good: bool
) -> None:
    visits = [Visit(model, 5, 0) for model in files(2)]
    with bench.open("lying_runner") as device:
        bench.phone.lie(f"shared {size_mb}", once=is_good)
        (first,) = device.run(visits[:1])
        bench.phone.lie("honest")
        assert_each_once(list(device.run(visits[1:])), visits[1:])
    if is_good:
        assert_each_once([first], visits[:1])
    else:
        assert first.samples == () and "shared memory" in first.error
    assert_left_as_found(bench)


def test_a_child_that_a_launch_leaves_is_ended(bench: DeviceBench, files: Callable[[int], list[ModelArtifact]]) -> None:
    visits = [Visit(model, 2, 0) for model in files(3)]
    with bench.open("lying_runner") as device:
        bench.phone.lie("fork", once=True)
        events = list(device.run(visits))
        assert bench.phone.processes() == []
    assert_each_once(events, visits)


@pytest.mark.parametrize(("lie", "how"), [("crash", "crashed"), ("hang", "hung"), ("early_fail", "refused")])
def test_a_trial_tells_how_a_model_failed(
    bench: DeviceBench, files: Callable[[int], list[ModelArtifact]], lie: str, how: str
) -> None:
    (model,) = files(1)
    with bench.open("lying_runner", deadline_s=1.0) as device:
        bench.phone.lie(lie)
        trial = device.try_model(model)
        bench.phone.lie("honest")
        assert trial.how == how and trial.error and trial.first_run_ms is None
        good = device.try_model(model)
    assert good.how == "ok" and good.load_ms == 1.5 and good.peak_memory_bytes


def test_launches_of_a_phone_that_got_hot_are_made_again(
    bench: DeviceBench, files: Callable[[int], list[ModelArtifact]]
) -> None:
    phone = bench.phone
    visits = [Visit(model, 2, 0) for model in files(6)]
    with bench.open("lying_runner") as device:
        phone.lie("slow 1")
        phone.play(
            [(1.5, lambda: phone.set_thermal(2, {**COOL, "skin": 44.0})), (6.0, lambda: phone.set_thermal(0, COOL))]
        )
        events = list(device.run(visits))
        assert device.rejections.hot >= 1 and device.rejections.cool_downs >= 1 and device.rejections.kept_hot == 0
        assert device.conditions()["rejected_launches"]["hot"] == device.rejections.hot
    assert_each_once(events, visits)


def test_launches_under_a_cap_are_made_again(bench: DeviceBench, files: Callable[[int], list[ModelArtifact]]) -> None:
    phone = bench.phone
    core = max(phone.capacities)
    visits = [Visit(model, 2, 0) for model in files(4)]
    with bench.open("lying_runner") as device:
        phone.lie("slow 1")
        cap = lambda: phone.set_frequency_cap(core, phone.max_khz(core) // 2)  # noqa: E731
        phone.play([(1.3, cap), (3.5, lambda: phone.set_frequency_cap(core, None))])
        events = list(device.run(visits))
        assert device.rejections.capped >= 1 and device.rejections.kept_hot == 0
    assert_each_once(events, visits)


def test_launches_of_which_the_heat_is_not_told_are_made_again(
    bench: DeviceBench, files: Callable[[int], list[ModelArtifact]]
) -> None:
    phone = bench.phone
    visits = [Visit(model, 2, 0) for model in files(6)]
    with bench.open("lying_runner") as device:
        before = device.conditions()
        phone.lie("slow 1")
        events = device.run(visits)
        first = next(events)
        phone.silence_service("thermalservice")
        with Trap(lambda: device.rejections.unread > 0, lambda: phone.restore_service("thermalservice")):
            assert_each_once([first, *events], visits)
        assert device.rejections.unread >= 1 and device.rejections.kept_unread == 0
        assert judge_heat([before, device.conditions()]) == ()


def test_a_phone_that_no_longer_tells_its_heat_is_measured_in_the_end_and_that_is_said(
    bench: DeviceBench, files: Callable[[int], list[ModelArtifact]]
) -> None:
    visits = [Visit(model, 2, 0) for model in files(3)]
    with bench.open("instant_runner", sleep=lambda seconds: None) as device:
        before = device.conditions()
        bench.phone.silence_service("thermalservice")
        device.phone.refresh()
        assert_each_once(list(device.run(visits)), visits)
        after = device.conditions()
        assert device.rejections.kept_unread == after["unread_heat_count"] == 3
        (reason,) = judge_heat([before, after])
        assert "during 3 launches the device did not tell" in reason
        bench.phone.restore_service("thermalservice")
        assert_each_once(list(device.run(visits)), visits)
        assert device.rejections.kept_unread == 3


def test_a_phone_that_does_not_tell_its_heat_from_the_start_is_warned_of(
    bench: DeviceBench, files: Callable[[int], list[ModelArtifact]]
) -> None:
    visits = [Visit(model, 2, 0) for model in files(2)]
    bench.phone.silence_service("thermalservice")
    with bench.open("instant_runner", sleep=lambda seconds: None) as device:
        assert any("does not say how hot" in text for text in device.warnings)
        assert_each_once(list(device.run(visits)), visits)
        assert device.rejections.kept_unread == 2 and device.conditions()["thermal_status_unread"]


def test_a_phone_that_stays_hot_is_measured_in_the_end_and_called_throttled(
    bench: DeviceBench, files: Callable[[int], list[ModelArtifact]]
) -> None:
    visits = [Visit(model, 2, 0) for model in files(3)]
    with bench.open("instant_runner", heat=HeatLimits(budget_s=1.0, interval_s=0.2)) as device:
        before = device.conditions()
        bench.phone.set_thermal(3, {**COOL, "skin": 50.0})
        assert_each_once(list(device.run(visits)), visits)
        after = {**before, "throttle_count": device.conditions()["throttle_count"], "thermal_status": 0}
        assert device.rejections.kept_hot == 3 and device.rejections.waited_s >= 1.0
        assert "slowed itself down 3 times" in judge_heat([before, after])[0]
