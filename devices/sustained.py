"""Sustained runs: one model back to back for minutes, window by window, and whether it became slower meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from devices.device import Device
from devices.measurement import Sample, Visit
from mnas.errors import ConfigError, DeviceError, MeasurementError
from mnas.export.artifact import ModelArtifact

SustainedVerdict = Literal["ok", "noisy", "throttled", "invalid"]
Ending = Literal["done", "failed", "interrupted"]

MIN_RUNS_P95 = 40
_QUANTILE = 0.2
_VISITS_A_WINDOW = 10
_MAX_RUNS = 10_000
_MIN_WINDOWS = 9
_MIN_WINDOWS_A_PART = 3
_MINUTE_S = 60.0
_THROTTLED = 0.05
_NOISY = 0.05
_RESAMPLES = 2000
_SEED = 0


@dataclass(frozen=True, slots=True)
class Window:
    """A few seconds of a sustained run.

    Attributes:
        start_s: Seconds since the run began.
        end_s: End of its last visit.
        runs: Inferences in it.
        p50_ms: Median.
        q20_ms: 0.2 quantile.
        p95_ms: ``None`` with fewer than 40 runs, or where the device gives no single ones.
        busy_fraction: Part of the window in which the model ran; the rest went to the device's own work and pauses.
        conditions: Of the device at its end.
    """

    start_s: float
    end_s: float
    runs: int
    p50_ms: float
    q20_ms: float
    p95_ms: float | None
    busy_fraction: float
    conditions: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return {**asdict(self), "conditions": dict(self.conditions)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Window:
        """Read what `to_json` wrote."""
        return cls(**value)


@dataclass(frozen=True, slots=True)
class Sustained:
    """What a sustained run says.

    Attributes:
        windows: In order of time.
        compared: What was compared, e.g. ``first minute against last minute``.
        first_minute_ms: Median of the medians of the windows of the first minute (or third).
        last_minute_ms: Of the last one.
        ratio: Last over first.
        interval: 95 % interval of the ratio, by bootstrap over windows; ``None`` with fewer than 3 windows in a part.
        verdict: ``throttled`` when the last part is slower beyond the interval and by more than 5 %; ``noisy`` without
            interval or when its half-width is over 5 %; ``invalid`` when there is nothing to compare.
        ended: ``done``, ``failed`` or ``interrupted``.
        reasons: Why the verdict is not ``ok``, why the run ended early, and what else one must know.
    """

    windows: tuple[Window, ...]
    compared: str
    first_minute_ms: float | None
    last_minute_ms: float | None
    ratio: float | None
    interval: tuple[float, float] | None
    verdict: SustainedVerdict
    ended: Ending
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            **plain,
            "windows": [window.to_json() for window in self.windows],
            "interval": list(self.interval) if self.interval else None,
            "reasons": list(self.reasons),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Sustained:
        """Read what `to_json` wrote."""
        made = {name: value[name] for name in cls.__dataclass_fields__}
        made["windows"] = tuple(Window.from_json(window) for window in value["windows"])
        made["interval"] = tuple(value["interval"]) if value["interval"] else None
        made["reasons"] = tuple(value["reasons"])
        return cls(**made)


def run_sustained(
    device: Device,
    artifact: ModelArtifact,
    *,
    seconds: float,
    window_s: float = 5.0,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[float, float], object] | None = None,
    on_window: Callable[[Window], object] | None = None,
) -> Sustained:
    """Run one model back to back and say whether it became slower.

    A model or device that fails midway ends the run; what was measured until then is judged. After an interruption,
    which is raised on, `judge_sustained` does the same with the windows that ``on_window`` was given.

    Args:
        device: Open; it stays open.
        artifact: The model.
        seconds: Length of the run, above 0.
        window_s: Length of a window, above 0; shorter ones are taken where fewer than nine would fit.
        clock: Seconds on a clock that only runs forward; a simulated device has its own.
        progress: Told the seconds that are over, and all.
        on_window: Told each window as soon as it ends.

    Raises:
        ConfigError: ``CFG17``: a length is not a positive number.
    """
    windows: list[Window] = []
    failure = ""
    try:
        for window in sustained_windows(
            device, artifact, seconds=seconds, window_s=window_s, clock=clock, progress=progress
        ):
            windows.append(window)
            if on_window is not None:
                on_window(window)
    except DeviceError as error:
        failure = str(error)
    return judge_sustained(windows, ended="failed" if failure else "done", why=failure)


def sustained_windows(
    device: Device,
    artifact: ModelArtifact,
    *,
    seconds: float,
    window_s: float = 5.0,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[float, float], object] | None = None,
) -> Iterator[Window]:
    """Run one model back to back and yield each window as soon as it ends; arguments as for `run_sustained`.

    Raises:
        ConfigError: ``CFG17``: a length is not a positive number.
        MeasurementError: ``MEA22``: the model failed, after its last window was given.
        DeviceError: The device itself is gone.
    """
    if not (0 < seconds < float("inf") and 0 < window_s < float("inf")):
        raise ConfigError(
            "CFG17",
            "a sustained run needs a length",
            value=f"{seconds} s in windows of {window_s} s",
            why="both must be positive and finite",
            fix="write for example --sustained 10m",
        )
    window_s = min(window_s, seconds / _MIN_WINDOWS)
    failed = device.load([artifact])
    if failed:
        raise _failed(artifact, f"cannot be loaded: {next(iter(failed.values()))}")
    maker = _WindowMaker(device, artifact, window_s, clock)
    while maker.now_s < seconds:
        error = maker.visit()
        if progress is not None:
            progress(min(maker.now_s, seconds), seconds)
        if error or maker.now_s - maker.start_s >= window_s or maker.now_s >= seconds:
            window = maker.take()
            if window is not None:
                yield window
        if error:
            raise _failed(artifact, f"after {maker.now_s:.1f} s: {error}")


def _failed(artifact: ModelArtifact, why: str) -> MeasurementError:
    fix = "check that the model runs on this device"
    return MeasurementError("MEA22", "the model failed in a sustained run", value=str(artifact.path), why=why, fix=fix)


class _WindowMaker:
    """Visits one model and gathers its runs into windows."""

    def __init__(self, device: Device, artifact: ModelArtifact, window_s: float, clock: Callable[[], float]) -> None:
        self._device, self._artifact, self._clock = device, artifact, clock
        self._visit_ms = window_s * 1000 / _VISITS_A_WINDOW
        self._runs = 1
        self._origin_s = clock()
        self._busy_ms = self._busy_before_ms = 0.0
        self._samples: list[Sample] = []
        self.start_s = 0.0

    @property
    def now_s(self) -> float:
        """Seconds since the run began, at least what the model itself took: a clock that stands still ends it too."""
        return max(self._clock() - self._origin_s, self._busy_ms / 1000)

    def visit(self) -> str:
        """Make one visit and return why it failed, or ""."""
        began_s = self._clock()
        event = next(iter(self._device.run([Visit(self._artifact, self._runs, 0)])))
        took_ms = (self._clock() - began_s) * 1000
        values = [sample.value_ms for sample in event.samples]
        if event.error:
            return event.error
        if not values or not all(np.isfinite(value) and value > 0 for value in values):
            return "a run gave no positive finite time"
        self._samples += event.samples
        self._busy_ms += sum(sample.value_ms * sample.runs for sample in event.samples)
        # By the latest visit, because a model that is throttled needs fewer runs for the same time; and by the clock,
        # because a run of microseconds costs more than itself.
        each_ms = max(float(np.median(values)), took_ms / self._runs)
        self._runs = min(_MAX_RUNS, max(1, round(self._visit_ms / each_ms)))
        return ""

    def take(self) -> Window | None:
        """Return the window that ends now and begin another; ``None`` when it has no runs."""
        samples, start, end = self._samples, self.start_s, self.now_s
        if not samples:
            return None
        values = np.array([sample.value_ms for sample in samples])
        busy_s = (self._busy_ms - self._busy_before_ms) / 1000
        is_raw = all(sample.statistic == "run" for sample in samples)
        self._samples, self.start_s, self._busy_before_ms = [], end, self._busy_ms
        return Window(
            start_s=start,
            end_s=end,
            runs=sum(sample.runs for sample in samples),
            p50_ms=float(np.quantile(values, 0.5)),
            q20_ms=float(np.quantile(values, _QUANTILE)),
            p95_ms=float(np.quantile(values, 0.95)) if is_raw and len(values) >= MIN_RUNS_P95 else None,
            busy_fraction=min(1.0, busy_s / (end - start)) if end > start else 1.0,
            conditions=self._device.conditions(),
        )


def judge_sustained(windows: Iterable[Window], *, ended: Ending = "done", why: str = "") -> Sustained:
    """Compare the end of a sustained run with its beginning.

    Runs of two minutes and more: the first minute against the last; shorter ones: the first third against the last.

    Args:
        windows: In order of time; may be empty.
        ended: How the run ended.
        why: Reason of an early end, or "".
    """
    kept = tuple(windows)
    compared, first, last = _parts(kept)
    early = [f"{ended}: {why}" if why else ended] if ended != "done" else []
    made = Sustained(kept, compared, None, None, None, None, "invalid", ended, tuple(early))
    if not first or not last:
        return replace(made, reasons=(*early, "there is nothing to compare: fewer than two windows"))
    before, after = np.array([one.p50_ms for one in first]), np.array([one.p50_ms for one in last])
    ratio = float(np.median(after) / np.median(before))
    interval = _interval(before, after)
    verdict, reasons = _verdict(ratio, interval, compared)
    return replace(
        made,
        first_minute_ms=float(np.median(before)),
        last_minute_ms=float(np.median(after)),
        ratio=ratio,
        interval=interval,
        verdict=verdict,
        reasons=(*early, *reasons),
    )


def _parts(windows: Sequence[Window]) -> tuple[str, list[Window], list[Window]]:
    if len(windows) < 2:
        return "nothing", [], []
    total_s = windows[-1].end_s
    # A rest at the end that is far shorter than the others says little about it.
    usual_s = float(np.median([one.end_s - one.start_s for one in windows]))
    whole = [one for one in windows if one.end_s - one.start_s >= usual_s / 2]
    is_long = total_s >= 2 * _MINUTE_S
    part_s, name = (_MINUTE_S, "minute") if is_long else (total_s / 3, "third")
    first = [one for one in whole if (one.start_s + one.end_s) / 2 < part_s]
    last = [one for one in whole if (one.start_s + one.end_s) / 2 > total_s - part_s]
    return f"first {name} against last {name}", first, last


def _interval(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> tuple[float, float] | None:
    if min(len(before), len(after)) < _MIN_WINDOWS_A_PART:
        return None
    rng = np.random.default_rng(_SEED)
    firsts = np.median(rng.choice(before, (_RESAMPLES, len(before))), axis=1)
    lasts = np.median(rng.choice(after, (_RESAMPLES, len(after))), axis=1)
    low, high = np.quantile(lasts / firsts, (0.025, 0.975))
    return float(low), float(high)


def _verdict(
    ratio: float, interval: tuple[float, float] | None, compared: str
) -> tuple[SustainedVerdict, tuple[str, ...]]:
    short = (f"compared {compared}, since the run took less than two minutes",) if "third" in compared else ()
    if interval is None:
        return "noisy", (*short, "no interval: fewer than 3 windows in the first or in the last part")
    low, high = interval
    seen = f"{ratio - 1:+.1%} ({low - 1:+.1%} to {high - 1:+.1%}), {compared}"
    if low > 1 and ratio > 1 + _THROTTLED:
        return "throttled", (*short, f"it became slower: {seen}")
    if (high - low) / 2 > _NOISY:
        return "noisy", (*short, f"the windows of a part disagree: {seen}")
    if high < 1 and ratio < 1 - _THROTTLED:
        return "ok", (*short, f"it became faster: {seen}")
    return "ok", short
