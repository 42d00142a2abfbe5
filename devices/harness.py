"""The one measuring protocol: models interleaved in random order with reference networks, over many rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from devices.device import Device
from devices.measurement import SampleEvent, Session, Visit
from devices.protocol import ProtocolSettings, VisitRecord
from devices.schedule import model_rounds, plan_round
from devices.summary import geometric_mean, summarise
from mnas.errors import MeasurementError
from mnas.export.artifact import ModelArtifact
from mnas.store import utc_now

__all__ = ["Harness", "ProtocolSettings", "SessionRecorder", "VisitRecord", "geometric_mean", "summarise"]


class Harness:
    """Measures models on a device by the protocol.

    Args:
        device: Open; it stays open.
        references: Name -> reference network. Without any, visits can be made but nothing can be summarised.
        nominals_ms: Name -> stored nominal of each reference; may be empty as long as only visits are made.
        settings: The protocol.
        rng: Draws the order of the visits.
        clock: Seconds on a clock that only runs forward.
    """

    def __init__(
        self,
        device: Device,
        references: Mapping[str, ModelArtifact],
        nominals_ms: Mapping[str, float],
        settings: ProtocolSettings | None = None,
        *,
        rng: np.random.Generator,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.device = device
        self.references = dict(references)
        self.nominals_ms = dict(nominals_ms)
        self.settings = settings or ProtocolSettings()
        self._rng = rng
        self._clock = clock

    def measure(
        self, artifacts: Iterable[ModelArtifact], rounds_wanted: Mapping[str, int] | int | None = None
    ) -> Session:
        """Measure models in one session; each sha256 once, however often it is given.

        A model that fails gets the verdict ``invalid``; the others are measured all the same.

        Args:
            artifacts: The models.
            rounds_wanted: Rounds of each; the settings' unless given.

        Raises:
            DeviceError: The device itself is gone.
            MeasurementError: The references cannot be measured, or have no nominals.
        """
        wanted = self.settings.rounds if rounds_wanted is None else rounds_wanted
        recorder = SessionRecorder(self)
        for record in self.visits(artifacts, wanted):
            recorder.add(record)
        return recorder.session(wanted)

    def visits(
        self,
        artifacts: Iterable[ModelArtifact],
        rounds_wanted: Mapping[str, int] | int,
        *,
        first_round: int = 0,
        enough: Callable[[int], bool] = lambda _: False,
    ) -> Iterator[VisitRecord]:
        """Visit models and yield a record the moment each visit is done.

        A model that cannot be loaded gives one record with the error. One that fails ``max_failures`` times in a row is
        not visited again. Every ``rounds_per_launch`` rounds the device loads all models anew in a fresh process.

        Args:
            artifacts: The models; the same sha256 given twice is one model.
            rounds_wanted: Rounds of each model by sha256 (0 for those not named), or of all. A model takes part in
                the first so many rounds. With no model at all and a number, the references alone are visited.
            first_round: Number of the first round, for a session that goes on after an interruption.
            enough: Asked after each round, with the rounds made by now, whether to stop.

        Raises:
            DeviceError: The device itself is gone.
            MeasurementError: ``MEA03``: a reference network cannot be loaded.
        """
        models = {artifact.identity: artifact for artifact in artifacts}
        wanted = model_rounds(list(models), rounds_wanted)
        models = {sha256: artifact for sha256, artifact in models.items() if wanted[sha256] > 0}
        launches = _Launches(self.settings, self._clock)
        self._load_references()
        for sha256, error in self.device.load(models.values()).items():
            yield VisitRecord(
                first_round, sha256, False, (), error=f"cannot be loaded: {error}", t_monotonic_s=self._clock()
            )
            del models[sha256]
        launches.loaded()
        rounds = max((wanted[sha256] for sha256 in models), default=0)
        if not wanted and isinstance(rounds_wanted, int):
            rounds = rounds_wanted
        state = _RunState(self.settings)
        for turn in range(rounds):
            if launches.is_due(turn):
                launches.begin(turn)
                self._require_references(self.device.renew())
                launches.loaded()
            present = [sha256 for sha256 in models if wanted[sha256] > turn and not state.is_given_up(sha256)]
            if wanted and not present and all(state.is_given_up(sha256) for sha256 in models):
                return
            if present or not wanted:
                yield from self._round((launches.number, first_round + turn), present, models, state)
            if enough(turn + 1):
                return

    def load_ahead(self, artifacts: Iterable[ModelArtifact]) -> None:
        """Load models before `visits` is asked for them, which tells of those that cannot be loaded.

        Args:
            artifacts: Some of the models to come.

        Raises:
            DeviceError: The device itself is gone.
            MeasurementError: ``MEA03``: a reference network cannot be loaded.
        """
        self._load_references()
        self.device.load(artifacts)

    def _load_references(self) -> None:
        self._require_references(self.device.load(self.references.values()))

    def _require_references(self, failed: Mapping[str, str]) -> None:
        failed = {
            name: failed[artifact.identity] for name, artifact in self.references.items() if artifact.identity in failed
        }
        if failed:
            raise MeasurementError(
                "MEA03",
                "a reference network cannot be loaded",
                value=failed,
                why="latencies are ratios to the references",
                fix="write the references anew and check the runtime",
            )

    def _round(
        self, place: tuple[int, int], present: list[str], models: Mapping[str, ModelArtifact], state: _RunState
    ) -> Iterator[VisitRecord]:
        by_sha = {artifact.identity: artifact for artifact in self.references.values()}
        repeats = state.model_visits(present, list(by_sha))
        plan = plan_round(present, list(by_sha), self.settings, self._rng, model_visits=repeats)
        batch = [
            Visit((by_sha if is_reference else models)[sha256], state.runs_of(sha256), self.settings.warmup)
            for sha256, is_reference in plan
        ]
        for (_, is_reference), event in zip(plan, self.device.run(batch), strict=True):
            record = _record_of(event, place, is_reference, self._clock())
            state.note(record)
            yield record


class SessionRecorder:
    """Gathers the records of one session, notes the device's conditions now and then, and works the session out.

    Args:
        harness: Whose visits it is given; conditions are read when a recorder is made.
    """

    _CONDITIONS_EVERY_S = 2.0

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self._started_at_utc = utc_now()
        self._before = harness.device.conditions()
        self._during: list[dict[str, Any]] = []
        self._start_s: float | None = None
        self._read_s = 0.0
        self.records: list[VisitRecord] = []

    def add(self, record: VisitRecord) -> None:
        """Take the next record; between two rounds the device's conditions may be read."""
        if self._start_s is None:
            self._start_s = self._read_s = record.t_monotonic_s
        is_new_round = bool(self.records) and self.records[-1].round != record.round
        if is_new_round and record.t_monotonic_s - self._read_s >= self._CONDITIONS_EVERY_S:
            self._read_s = record.t_monotonic_s
            place = {"round": record.round, "t_s": round(record.t_monotonic_s - self._start_s, 3)}
            self._during.append({**place, **self._harness.device.conditions()})
        self.records.append(record)

    def session(self, rounds_wanted: Mapping[str, int] | int | None = None) -> Session:
        """Return the session so far.

        Raises:
            MeasurementError: The references gave no runs, or have no nominals.
        """
        harness = self._harness
        return summarise(
            self.records,
            {name: artifact.identity for name, artifact in harness.references.items()},
            harness.nominals_ms,
            harness.settings,
            rounds_wanted=rounds_wanted,
            device_key=harness.device.info.device_key,
            started_at_utc=self._started_at_utc,
            conditions_before=self._before,
            conditions_during=self._during,
            conditions_after=harness.device.conditions(),
        )


class _Launches:
    """When the device starts afresh: after so many rounds, as long as loading anew keeps to its share of the time."""

    _RELOAD_SHARE = 2 / 3
    """Of the first loading's time, as a first guess of what a later one takes: files are checked, models tried once."""

    def __init__(self, settings: ProtocolSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._first_turn = 0
        self._session_s = self._began_s = clock()
        self._reloads_s = self._next_s = 0.0
        self.number = 0

    def begin(self, turn: int) -> None:
        self.number += 1
        self._first_turn = turn
        self._began_s = self._clock()

    def loaded(self) -> None:
        took_s = self._clock() - self._began_s
        self._next_s = took_s if self.number else took_s * self._RELOAD_SHARE
        self._reloads_s += took_s if self.number else 0.0

    def is_due(self, turn: int) -> bool:
        if turn - self._first_turn < self._settings.rounds_per_launch:
            return False
        elapsed_s = self._clock() - self._session_s
        return self._reloads_s + self._next_s <= self._settings.relaunch_share * elapsed_s


class _RunState:
    """What is known of each model within one session: how long it takes, how often it failed in a row."""

    def __init__(self, settings: ProtocolSettings) -> None:
        self._settings = settings
        self._runs: dict[str, int] = {}
        self._visit_ms: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def runs_of(self, sha256: str) -> int:
        """Timed runs of the next visit; the first visit is the pilot and has the fewest."""
        return self._runs.get(sha256, self._settings.min_runs)

    def model_visits(self, models: list[str], references: list[str]) -> int:
        """How often each model is visited in the next round: once, until it is known how long all take."""
        known = all(sha256 in self._visit_ms for sha256 in (*models, *references))
        if not (known and models):
            return 1
        models_ms, references_ms = (sum(self._visit_ms[one] for one in group) for group in (models, references))
        if not models_ms > 0:
            return 1
        return int(min(max(2 * references_ms // models_ms, 1), self._settings.max_model_visits))

    def is_given_up(self, sha256: str) -> bool:
        return self._failures.get(sha256, 0) >= self._settings.max_failures

    def note(self, record: VisitRecord) -> None:
        if record.error:
            self._failures[record.sha256] = self._failures.get(record.sha256, 0) + 1
            return
        self._failures[record.sha256] = 0
        if record.sha256 not in self._runs and record.samples_ms:
            # The fastest, since a pilot is half cold and its middle varies more than its end.
            run_ms = float(np.min(record.samples_ms))
            self._runs[record.sha256] = self._settings.runs_for(run_ms)
            self._visit_ms[record.sha256] = run_ms * (self._runs[record.sha256] + self._settings.warmup)


def _record_of(event: SampleEvent, place: tuple[int, int], is_reference: bool, time_s: float) -> VisitRecord:
    launch, number = place
    return VisitRecord(
        round=number,
        launch=launch,
        sha256=event.visit.artifact.identity,
        is_reference=is_reference,
        samples_ms=tuple(sample.value_ms for sample in event.samples),
        warmup_ms=tuple(sample.value_ms for sample in event.warmup_samples),
        involuntary_switches=event.involuntary_switches,
        error=event.error,
        t_monotonic_s=time_s,
        statistic=event.samples[0].statistic if event.samples else "run",
        runs=event.samples[0].runs if event.samples else 1,
    )
