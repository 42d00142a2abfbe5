"""Sustained runs on simulated time, and one short real one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from devices.measurement import SampleEvent, Visit
from devices.runtimes.host import HostDevice
from devices.spec import DeviceSpec
from devices.sustained import Sustained, Window, judge_sustained, run_sustained, sustained_windows
from devices.testing import SimulatedDevice, simulated_artifact
from mnas.errors import ConfigError, DeviceError
from mnas.export.artifact import ModelArtifact

NET = simulated_artifact("net", 20_000_000)


def run(device: SimulatedDevice, seconds: float, **options: object) -> Sustained:
    return run_sustained(device, NET, seconds=seconds, clock=device.clock, **options)  # type: ignore[arg-type]


def windows_of(medians: Iterable[float], window_s: float = 5.0) -> list[Window]:
    return [
        Window(place * window_s, (place + 1) * window_s, 100, value, value, None, 1.0, {})
        for place, value in enumerate(medians)
    ]


def test_a_steady_model_is_ok_and_its_windows_cover_the_time() -> None:
    result = run(SimulatedDevice(), 180.0)
    assert (result.verdict, result.ended, result.reasons) == ("ok", "done", ())
    assert result.compared == "first minute against last minute"
    assert result.ratio == pytest.approx(1.0, abs=0.02)
    assert result.interval is not None and result.interval[0] <= 1.0 <= result.interval[1]
    assert result.windows[0].start_s == 0.0
    assert all(one.end_s == two.start_s for one, two in itertools.pairwise(result.windows))
    assert 180.0 <= result.windows[-1].end_s < 181.0
    assert all(5.0 <= one.end_s - one.start_s < 6.0 for one in result.windows[:-1])
    assert sum(one.runs for one in result.windows) == pytest.approx(180.0 / 0.0203, rel=0.02)
    assert all(one.busy_fraction == pytest.approx(1.0) for one in result.windows)
    assert all(one.q20_ms < one.p50_ms < (one.p95_ms or 0.0) for one in result.windows)


def test_a_model_that_becomes_slower_is_throttled_by_what_it_lost() -> None:
    result = run(SimulatedDevice(slow_windows_ms=[(90_000, 1e9, 1.4)]), 180.0)
    assert result.verdict == "throttled"
    assert result.ratio == pytest.approx(1.4, rel=0.01)
    assert result.first_minute_ms is not None and result.last_minute_ms is not None
    assert result.last_minute_ms / result.first_minute_ms == pytest.approx(result.ratio)
    assert "slower" in result.reasons[0] and "+40" in result.reasons[0]


def test_slower_by_less_than_a_twentieth_is_not_throttled() -> None:
    result = run(SimulatedDevice(slow_windows_ms=[(90_000, 1e9, 1.03)]), 180.0)
    assert result.verdict == "ok"
    assert result.interval is not None and result.interval[0] > 1.0


def test_a_slow_spell_in_the_middle_is_not_throttling() -> None:
    assert run(SimulatedDevice(slow_windows_ms=[(70_000, 100_000, 2.0)]), 180.0).verdict == "ok"


def test_windows_that_disagree_are_noisy_and_faster_is_told() -> None:
    medians = [1.0, 1.6] * 12 + [1.1, 1.7] * 12
    assert judge_sustained(windows_of(medians)).verdict == "noisy"
    faster = judge_sustained(windows_of([2.0] * 24 + [1.0] * 24))
    assert faster.verdict == "ok" and "faster" in faster.reasons[0]


def test_a_short_run_compares_thirds_and_says_so() -> None:
    result = run(SimulatedDevice(slow_windows_ms=[(9_000, 1e9, 1.5)]), 12.0)
    assert result.compared == "first third against last third"
    assert result.verdict == "throttled"
    assert "less than two minutes" in result.reasons[0]
    assert len(result.windows) >= 9


def test_a_model_that_fails_midway_keeps_what_was_measured() -> None:
    class Failing(SimulatedDevice):
        def run(self, batch: Iterable[Visit]) -> Iterator[SampleEvent]:
            for event in super().run(batch):
                yield replace(event, samples=(), error="it broke") if self.time_ms > 100_000 else event

    told: list[Window] = []
    result = run(Failing(), 180.0, on_window=told.append)
    assert result.ended == "failed"
    assert "it broke" in result.reasons[0]
    assert result.windows[-1].end_s == pytest.approx(100.0, abs=1.0)
    assert result.ratio == pytest.approx(1.0, abs=0.02)
    assert tuple(told) == result.windows


@pytest.mark.parametrize("how", ["failing", "unloadable", "not_finite"])
def test_a_model_that_never_runs_has_a_reason_and_no_number(how: str) -> None:
    result = run(SimulatedDevice(**{how: [NET.sha256]}), 60.0)  # type: ignore[arg-type]
    assert (result.verdict, result.ended, result.windows, result.ratio) == ("invalid", "failed", (), None)
    assert "MEA22" in result.reasons[0]


def test_a_device_that_is_gone_keeps_what_was_measured() -> None:
    device = SimulatedDevice()
    result = run(device, 60.0, on_window=lambda window: device.close() if window.end_s > 30 else None)
    assert result.ended == "failed" and "DEV04" in result.reasons[0]
    assert len(result.windows) == 6


def test_an_interruption_leaves_the_windows_with_the_caller() -> None:
    device, told = SimulatedDevice(), list[Window]()

    def interrupt(done_s: float, _all_s: float) -> None:
        if done_s > 150:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(device, 600.0, on_window=told.append, progress=interrupt)
    assert told[-1].end_s == pytest.approx(150.0, abs=5.5)
    result = judge_sustained(told, ended="interrupted")
    assert (result.ended, result.verdict, result.reasons) == ("interrupted", "ok", ("interrupted",))


def test_windows_come_one_by_one() -> None:
    device = SimulatedDevice()
    windows = sustained_windows(device, NET, seconds=600.0, clock=device.clock)
    assert next(windows).end_s == pytest.approx(device.clock())
    assert device.clock() < 6.0


def test_progress_rises_to_the_end() -> None:
    told: list[tuple[float, float]] = []
    run(SimulatedDevice(), 20.0, progress=lambda done, all_: told.append((done, all_)))
    assert told == sorted(told)
    assert told[-1] == (20.0, 20.0)


def test_a_clock_that_stands_still_does_not_hang_it() -> None:
    result = run_sustained(SimulatedDevice(), NET, seconds=30.0, clock=lambda: 0.0)
    assert result.ended == "done"
    assert result.windows[-1].end_s >= 30.0


def test_it_survives_json() -> None:
    result = run(SimulatedDevice(slow_windows_ms=[(5_000, 9_000, 3.0)]), 13.0)
    assert Sustained.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False))) == result
    nothing = judge_sustained([])
    assert nothing.verdict == "invalid"
    assert Sustained.from_json(json.loads(json.dumps(nothing.to_json(), allow_nan=False))) == nothing


@pytest.mark.parametrize(("seconds", "window_s"), [(0, 5), (-1, 5), (float("nan"), 5), (10, 0), (float("inf"), 5)])
def test_lengths_that_are_none_are_refused(seconds: float, window_s: float) -> None:
    with pytest.raises(ConfigError, match="CFG17"):
        run(SimulatedDevice(), seconds, window_s=window_s)


def test_few_false_alarms_among_noisy_runs() -> None:
    rng = np.random.default_rng(0)
    verdicts = [judge_sustained(windows_of(rng.normal(1.0, 0.04, 120))).verdict for _ in range(100)]
    assert verdicts.count("throttled") <= 2


def test_a_real_model_runs_back_to_back(make_net: Callable[[str, int], ModelArtifact]) -> None:
    with HostDevice(DeviceSpec("host", "ort")) as device:
        result = run_sustained(device, make_net("onnx", 8), seconds=2.0, window_s=0.2)
        assert device.conditions()
    assert result.ended == "done"
    assert 2 <= len(result.windows) <= 11
    assert all(one.runs >= 1 and one.p50_ms > 0 and "capabilities" in one.conditions for one in result.windows)
    assert all(0.0 < one.busy_fraction <= 1.0 for one in result.windows)


def test_an_unreadable_file_is_a_failure(make_net: Callable[[str, int], ModelArtifact]) -> None:
    with HostDevice(DeviceSpec("host", "ort")) as device:
        gone = replace(make_net("onnx", 8), path=NET.path)
        with pytest.raises(DeviceError, match="MEA22"):
            next(sustained_windows(device, gone, seconds=1.0))
