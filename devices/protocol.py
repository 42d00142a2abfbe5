"""The settings of the one measuring protocol, and the record that each visit leaves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from devices.measurement import Statistic
from mnas.errors import ConfigError

_DECIMALS_OF_MS = 6
"""A nanosecond: what the clock gives."""


@dataclass(frozen=True, slots=True)
class ProtocolSettings:
    """How models are measured and when a number is distrusted.

    Attributes:
        rounds: Visits of each model; all models are visited once a round, in random order.
        calibration_rounds: Rounds of a calibration, which visits the references alone: cheap, and all rests on it.
        rounds_per_launch: After so many rounds all models are loaded anew in a fresh process. Where weights and buffers
            happen to lie moves a network by about a percent, for as long as the process lives.
        relaunch_share: But loading may take this share of the time at most.
        warmup: Discarded runs at the start of a visit (two are cold after every change of model).
        min_runs: Fewest timed runs of a visit; a model's first visit of a session has that many.
        max_runs: Most timed runs of a visit.
        visit_ms: Timed runs of a visit should take about this long together. Networks of well under a millisecond get
            faster over some five runs after a change of model, as their weights come into the cache; in short visits
            the share of such runs, and with it the estimate, would hang on the pilot.
        quantile: Of the pooled timed runs, 0..1; low, since whatever disturbs a run makes it longer.
        reference_every: At most this many models are visited between two reference visits.
        max_model_visits: Few short models are visited up to so often a round, as long as that takes no more than twice
            as long as the references do. What is wanted are visits: a run knows little that its visit does not.
        reference_visits: Fewest visits of each reference network in a round.
        max_failures: A model that failed this often in a row is not visited again.
        resamples: Of the bootstrap.
        bootstrap_seed: Of the bootstrap, so that the same records give the same interval.
        noisy_fraction: Half-width of the interval over the estimate beyond which a measurement is noisy.
        drift_fraction: Disagreement of the two halves of a session beyond which a measurement may have drifted.
        profile_fraction: A reference's share among the references may be off its stored one by this much.
        level_fraction: All references together may be off their stored nominals by this much.

    Raises:
        ConfigError: ``CFG12``: a setting is out of range.
    """

    rounds: int = 15
    calibration_rounds: int = 60
    rounds_per_launch: int = 5
    relaunch_share: float = 0.08
    warmup: int = 2
    min_runs: int = 3
    max_runs: int = 50
    visit_ms: float = 4.0
    quantile: float = 0.2
    reference_every: int = 8
    max_model_visits: int = 1
    reference_visits: int = 1
    max_failures: int = 2
    resamples: int = 500
    bootstrap_seed: int = 0
    noisy_fraction: float = 0.05
    drift_fraction: float = 0.02
    profile_fraction: float = 0.05
    level_fraction: float = 0.2

    def __post_init__(self) -> None:
        whole = (
            "rounds",
            "calibration_rounds",
            "rounds_per_launch",
            "min_runs",
            "reference_every",
            "max_model_visits",
            "reference_visits",
            "max_failures",
            "resamples",
        )
        good = all(getattr(self, name) >= 1 for name in whole)
        good = good and self.warmup >= 0 and self.max_runs >= self.min_runs and self.visit_ms > 0
        good = good and 0 <= self.quantile <= 1 and self.relaunch_share > 0
        if not good:
            raise ConfigError(
                "CFG12",
                "a setting of the measuring protocol is out of range",
                value=str(self.to_json()),
                why="counts are 1 or more, max_runs >= min_runs, the quantile lies in 0..1, shares are positive",
                fix="change it",
            )

    def runs_for(self, run_ms: float) -> int:
        """Return the timed runs of a visit for a model that takes ``run_ms``."""
        if not (math.isfinite(run_ms) and run_ms > 0):
            return self.min_runs
        return int(min(max(math.ceil(self.visit_ms / run_ms), self.min_runs), self.max_runs))

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON."""
        return asdict(self)


_PHONE = ProtocolSettings(
    rounds=12,
    calibration_rounds=20,
    # Every launch is a process of its own, so every round is a launch, and nothing is loaded anew.
    rounds_per_launch=1,
    relaunch_share=1e6,
    # Within the launch. A phone's governor takes some tens of milliseconds to raise the clock.
    warmup=5,
    min_runs=5,
    max_runs=200,
    visit_ms=100.0,
)


def protocol_for(kind: str) -> ProtocolSettings:
    """Return how models are measured on a kind of device unless something else is asked for.

    On phones a visit is a launch of the runner, which takes tens of milliseconds before its first inference, so a visit
    holds more runs there, and gives one aggregate of them.

    Args:
        kind: ``host``, ``adb`` or that of a plug-in.
    """
    return _PHONE if kind == "adb" else ProtocolSettings()


@dataclass(frozen=True, slots=True)
class VisitRecord:
    """What one visit gave: the unit that is stored, and from which a session is worked out.

    Attributes:
        round: Round of the session.
        sha256: Of the model file.
        is_reference: It was visited as a reference network.
        samples_ms: Timed, in order; empty when it failed.
        warmup_ms: Discarded, in order.
        involuntary_switches: How often the scheduler took the CPU away; -1 where unknown.
        error: Why it failed, or "".
        t_monotonic_s: Time at its end, on a clock that only runs forward.
        statistic: What each sample is.
        launch: Which process of the session ran it, counted from 0.
        runs: Inferences that each sample stands for.
    """

    round: int
    sha256: str
    is_reference: bool
    samples_ms: tuple[float, ...]
    warmup_ms: tuple[float, ...] = ()
    involuntary_switches: int = -1
    error: str = ""
    t_monotonic_s: float = 0.0
    statistic: Statistic = "run"
    launch: int = 0
    runs: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return it as compact JSON: short keys, times to the nanosecond, and nothing that has its default."""
        value: dict[str, Any] = {"r": self.round, "s": self.sha256, "t": round(self.t_monotonic_s, 3)}
        value["ms"] = [_rounded(sample) for sample in self.samples_ms]
        if self.is_reference:
            value["ref"] = 1
        if self.warmup_ms:
            value["w"] = [_rounded(sample) for sample in self.warmup_ms]
        if self.involuntary_switches != -1:
            value["sw"] = self.involuntary_switches
        if self.error:
            value["e"] = self.error
        if self.statistic != "run":
            value["st"] = self.statistic
        if self.launch:
            value["l"] = self.launch
        if self.runs != 1:
            value["n"] = self.runs
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> VisitRecord:
        """Read what `to_json` wrote; a sample that was not finite comes back as NaN."""
        return cls(
            round=int(value["r"]),
            sha256=str(value["s"]),
            is_reference=bool(value.get("ref", 0)),
            samples_ms=_read_samples(value["ms"]),
            warmup_ms=_read_samples(value.get("w", ())),
            involuntary_switches=int(value.get("sw", -1)),
            error=str(value.get("e", "")),
            t_monotonic_s=float(value["t"]),
            statistic=value.get("st", "run"),
            launch=int(value.get("l", 0)),
            runs=int(value.get("n", 1)),
        )


def statistic_of(records: Iterable[VisitRecord], sha256: str) -> Statistic:
    """Return what the samples of a model are; of a model without any, single runs."""
    return next((one.statistic for one in records if one.sha256 == sha256 and one.samples_ms), "run")


def _rounded(value_ms: float) -> float | None:
    return round(value_ms, _DECIMALS_OF_MS) if math.isfinite(value_ms) else None


def _read_samples(values: Any) -> tuple[float, ...]:
    return tuple(math.nan if value is None else float(value) for value in values)
