"""The one measuring protocol: models interleaved in random order with reference networks, over many rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from devices.device import Device
from devices.measurement import SampleEvent, Session, Visit
from devices.protocol import ProtocolSettings, VisitRecord
from devices.schedule import model_rounds, plan_round
from devices.summary import geometric_mean, summarise
from mnas.errors import MeasurementError
from mnas.export.artifact import ModelArtifact
from mnas.store import utc_now

__all__ = ["Harness", "ProtocolSettings", "VisitRecord", "geometric_mean", "summarise"]


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
        started, before = utc_now(), self.device.conditions()
        records = list(self.visits(artifacts, wanted))
        return summarise(
            records,
            {name: artifact.sha256 for name, artifact in self.references.items()},
            self.nominals_ms,
            self.settings,
            rounds_wanted=wanted,
            device_key=self.device.info.device_key,
            started_at_utc=started,
            conditions_before=before,
            conditions_after=self.device.conditions(),
        )

    def visits(
        self, artifacts: Iterable[ModelArtifact], rounds_wanted: Mapping[str, int] | int, *, first_round: int = 0
    ) -> Iterator[VisitRecord]:
        """Visit models and yield a record the moment each visit is done.

        A model that cannot be loaded gives one record with the error. One that fails ``max_failures`` times in a row is
        not visited again.

        Args:
            artifacts: The models; the same sha256 given twice is one model.
            rounds_wanted: Rounds of each model by sha256 (0 for those not named), or of all. A model takes part in
                the first so many rounds. With no model at all and a number, the references alone are visited.
            first_round: Number of the first round, for a session that goes on after an interruption.

        Raises:
            DeviceError: The device itself is gone.
            MeasurementError: ``MEA03``: a reference network cannot be loaded.
        """
        models = {artifact.sha256: artifact for artifact in artifacts}
        wanted = model_rounds(list(models), rounds_wanted)
        models = {sha256: artifact for sha256, artifact in models.items() if wanted[sha256] > 0}
        self._load_references()
        for sha256, error in self.device.load(models.values()).items():
            yield VisitRecord(
                first_round, sha256, False, (), error=f"cannot be loaded: {error}", t_monotonic_s=self._clock()
            )
            del models[sha256]
        rounds = max((wanted[sha256] for sha256 in models), default=0)
        if not wanted and isinstance(rounds_wanted, int):
            rounds = rounds_wanted
        state = _RunState(self.settings)
        for turn in range(rounds):
            present = [sha256 for sha256 in models if wanted[sha256] > turn and not state.is_given_up(sha256)]
            if present or not wanted:
                yield from self._round(first_round + turn, present, models, state)

    def _load_references(self) -> None:
        failed = self.device.load(self.references.values())
        if failed:
            raise MeasurementError(
                "MEA03",
                "a reference network cannot be loaded",
                value=failed,
                why="latencies are ratios to the references",
                fix="write the references anew and check the runtime",
            )

    def _round(
        self, number: int, present: list[str], models: Mapping[str, ModelArtifact], state: _RunState
    ) -> Iterator[VisitRecord]:
        by_sha = {artifact.sha256: artifact for artifact in self.references.values()}
        plan = plan_round(present, list(by_sha), self.settings, self._rng)
        batch = [
            Visit((by_sha if is_reference else models)[sha256], state.runs_of(sha256), self.settings.warmup)
            for sha256, is_reference in plan
        ]
        for (_, is_reference), event in zip(plan, self.device.run(batch), strict=True):
            record = _record_of(event, number, is_reference, self._clock())
            state.note(record)
            yield record


class _RunState:
    """What is known of each model within one session: how long it takes, how often it failed in a row."""

    def __init__(self, settings: ProtocolSettings) -> None:
        self._settings = settings
        self._runs: dict[str, int] = {}
        self._failures: dict[str, int] = {}

    def runs_of(self, sha256: str) -> int:
        """Timed runs of the next visit; the first visit is the pilot and has the fewest."""
        return self._runs.get(sha256, self._settings.min_runs)

    def is_given_up(self, sha256: str) -> bool:
        return self._failures.get(sha256, 0) >= self._settings.max_failures

    def note(self, record: VisitRecord) -> None:
        if record.error:
            self._failures[record.sha256] = self._failures.get(record.sha256, 0) + 1
            return
        self._failures[record.sha256] = 0
        if record.sha256 not in self._runs and record.samples_ms:
            # The fastest, since a pilot is half cold and its middle varies more than its end.
            self._runs[record.sha256] = self._settings.runs_for(float(np.min(record.samples_ms)))


def _record_of(event: SampleEvent, number: int, is_reference: bool, time_s: float) -> VisitRecord:
    return VisitRecord(
        round=number,
        sha256=event.visit.artifact.sha256,
        is_reference=is_reference,
        samples_ms=tuple(sample.value_ms for sample in event.samples),
        warmup_ms=tuple(sample.value_ms for sample in event.warmup_samples),
        involuntary_switches=event.involuntary_switches,
        error=event.error,
        t_monotonic_s=time_s,
        statistic=event.samples[0].statistic if event.samples else "run",
    )
