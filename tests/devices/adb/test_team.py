"""Several devices at once: work shared, given back and never doubled; and how far two phones lie apart."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from software_phone.adb_server import OwnAdbServer
from software_phone.build import Image
from software_phone.open_device import device_bench
from software_phone.phone import SoftwarePhone

from devices.adb.device import AdbDevice
from devices.measurement import Visit
from devices.offset import offset_of
from devices.team import Team
from devices.testing import SimulatedDevice, simulated_artifact
from mnas.errors import DeviceError
from mnas.export.artifact import ModelArtifact, save_artifact

_MODELS = [simulated_artifact(f"m{number}", 1_000_000 * (number + 1)) for number in range(12)]


class _Phone(SimulatedDevice):
    """A simulated device that is lost for good at its n-th task, or at a task that takes it down."""

    def __init__(self, *, lost_at: int = 10**9, poison: Sequence[str] = ()) -> None:
        super().__init__()
        self.lost_at, self.poison = lost_at, poison
        self.tasks: list[str] = []
        self.is_closed = False

    def measure(self, model: ModelArtifact) -> float:
        self.tasks.append(model.sha256)
        if len(self.tasks) >= self.lost_at or model.sha256 in self.poison:
            raise DeviceError("ADB62", "the phone was lost", value="x")
        (event,) = self.run([Visit(model, 1, 0)])
        return event.samples[0].value_ms

    def close(self) -> None:
        super().close()
        self.is_closed = True


def _team(phones: dict[str, _Phone]) -> Team[ModelArtifact, _Phone, float]:
    opens: dict[str, Callable[[], _Phone]] = {name: lambda phone=phone: phone for name, phone in phones.items()}  # type: ignore[misc]
    return Team(opens, _Phone.measure)


def test_every_model_has_one_result_and_every_device_is_closed() -> None:
    phones = {"a": _Phone(), "b": _Phone()}
    report = _team(phones).run(_MODELS)
    assert set(report.results) == set(_MODELS) and not (report.left or report.lost or report.failed)
    assert Counter(task for phone in phones.values() for task in phone.tasks) == Counter(m.sha256 for m in _MODELS)
    assert all(name in phones for _, name in report.results.values())
    assert all(phone.is_closed for phone in phones.values())


@given(st.lists(st.integers(1, 15), min_size=1, max_size=4))
def test_a_lost_phone_gives_its_work_back(lost_at: list[int]) -> None:
    phones = {f"p{place}": _Phone(lost_at=count) for place, count in enumerate(lost_at)}
    phones["sound"] = _Phone()
    report = _team(phones).run(_MODELS)
    assert set(report.results) == set(_MODELS) - set(report.failed) and not report.left
    # A task is given up only where it stood at three losses, and no phone here is lost by a task's fault.
    assert len(report.failed) <= len(lost_at) // 3
    assert {one.name for one in report.lost} <= {f"p{place}" for place in range(len(lost_at))}


def test_when_all_are_lost_what_is_left_is_told_in_order() -> None:
    report = _team({"a": _Phone(lost_at=4)}).run(_MODELS)
    assert list(report.results) == _MODELS[:3] and report.left == _MODELS[3:]
    assert [one.name for one in report.lost] == ["a"]


def test_a_task_that_takes_phones_down_is_given_up() -> None:
    poison = [_MODELS[2].sha256]
    phones = {f"p{place}": _Phone(poison=poison) for place in range(3)} | {"last": _Phone()}
    report = _team(phones).run(_MODELS)
    given_up = _MODELS[2] in report.failed
    assert given_up or report.results[_MODELS[2]][1] == "last"
    assert not report.left and set(report.results) | set(report.failed) == set(_MODELS)


def test_a_phone_that_cannot_be_opened_is_lost_and_the_others_go_on() -> None:
    def refuse() -> _Phone:
        raise DeviceError("ADB31", "the phone is in use", value="x")

    team: Team[ModelArtifact, _Phone, float] = Team({"a": refuse, "b": _Phone}, _Phone.measure)
    report = team.run(_MODELS)
    assert set(report.results) == set(_MODELS) and [one.error.code for one in report.lost] == ["ADB31"]


def test_another_error_ends_the_run_and_closes_every_device() -> None:
    phones = {"a": _Phone(), "b": _Phone()}
    started = threading.Barrier(2, timeout=20)

    def work(phone: _Phone, model: ModelArtifact) -> float:
        if model in _MODELS[:2]:
            started.wait()
        if model is _MODELS[0]:
            raise ValueError("a mistake of ours")
        return phone.measure(model)

    team: Team[ModelArtifact, _Phone, float] = Team(
        {name: lambda phone=phone: phone for name, phone in phones.items()}, work
    )  # type: ignore[misc]
    with pytest.raises(ValueError, match="a mistake of ours"):
        team.run(_MODELS)
    assert all(phone.is_closed for phone in phones.values())


def test_no_work_is_done_at_once() -> None:
    assert _team({"a": _Phone()}).run([]).results == {}


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0.01, 1e3), min_size=1), st.floats(0.2, 5.0))
def test_a_phone_that_is_slower_by_a_factor_is_off_by_that_factor(first: dict[str, float], factor: float) -> None:
    offset = offset_of("x", first, "y", {name: value * factor for name, value in first.items()})
    back = offset_of("y", {name: value * factor for name, value in first.items()}, "x", first)
    assert offset and back
    assert offset.ratio == pytest.approx(factor) == pytest.approx(1 / back.ratio)
    assert offset.networks == len(first) and (offset.interval is None) == (len(first) < 3)
    assert offset.low == pytest.approx(offset.high) == pytest.approx(factor)


def test_an_offset_rests_on_shared_networks_alone() -> None:
    first = {"a": 1.0, "b": 2.0, "c": 4.0, "only": 9.0, "none": float("nan")}
    second = {"a": 1.1, "b": 2.0, "c": 4.8, "none": 3.0}
    offset = offset_of("x", first, "y", second)
    assert offset is not None and offset.interval is not None and offset.networks == 3
    assert offset.ratio == pytest.approx((1.1 * 1.0 * 1.2) ** (1 / 3))
    assert offset.low == pytest.approx(1.0) and offset.high == pytest.approx(1.2)
    assert offset.interval[0] <= offset.ratio <= offset.interval[1]
    assert offset_of("x", {"a": 1.0}, "y", {"b": 1.0}) is None


@pytest.mark.software_phone
def test_a_real_phone_that_is_lost_gives_its_work_to_the_other(
    software_phone_build: Image,
    own_adb: OwnAdbServer,
    tmp_path: Path,
) -> None:
    models = [
        save_artifact(
            b"\x1c\0\0\0TFL3" + bytes(number),
            tmp_path / f"{number}.tflite",
            model_format="tflite",
            input_shape_chw=(3, 8, 8),
        )
        for number in range(12)
    ]

    def measure(device: AdbDevice, model: ModelArtifact) -> float:
        (event,) = device.run([Visit(model, 1, 0)])
        assert not event.error
        return event.samples[0].value_ms

    with ExitStack() as stack:
        benches = {}
        for name in ("first", "second"):
            phone = stack.enter_context(SoftwarePhone(software_phone_build))
            phone.lie("slow 1")
            benches[name] = stack.enter_context(device_bench(phone, own_adb, tmp_path / name))
        opens = {
            name: lambda bench=bench: bench.open("lying_runner", recovery_s=2.0)  # type: ignore[misc]
            for name, bench in benches.items()
        }
        benches["first"].phone.play([(4.0, benches["first"].phone.kill_adbd)])
        team: Team[ModelArtifact, AdbDevice, float] = Team(opens, measure)
        report = team.run(models)
        assert benches["second"].phone.processes() == []
    assert {one.path.name: value for one, (value, _) in report.results.items()} == {
        f"{number}.tflite": pytest.approx((1008 + number) / 1000, abs=2e-3) for number in range(12)
    }
    assert [one.name for one in report.lost] == ["first"] and report.lost[0].error.code == "ADB62"
    assert {name for _, name in report.results.values()} == {"first", "second"}
