"""A phone behind adb as a device: one batch is one script on the phone, whatever the number of its launches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from devices.adb.campaign import Campaign
from devices.adb.conditions import ConditionsReader
from devices.adb.cooling import HeatReading
from devices.adb.heat import HeatKeeper, HeatLimits, Rejections
from devices.adb.held import HeldPhone, reach
from devices.adb.intake import Job, Launched
from devices.adb.launches import event_of, job_of, trial_of
from devices.adb.model_cache import ModelCache
from devices.adb.op_profile import profile_of
from devices.adb.pinning import resolve_mask
from devices.adb.privacy import public_serial
from devices.adb.recovery import RECOVERY_S, Recovery
from devices.adb.runner_place import place_runner
from devices.adb.server import AdbServer
from devices.adb.states import PhoneState
from devices.device import DeviceInfo
from devices.measurement import SampleEvent, Visit
from devices.profiling.profile import OpProfile
from devices.runners.dialect import dialect_of
from devices.runners.library import RunnerLibrary
from devices.spec import DeviceSpec
from devices.trial import Trial
from mnas.errors import DeviceError
from mnas.export.artifact import ModelArtifact

_PROFILE_BYTES = 64 << 20


class AdbDevice:
    """A runner on a phone. Use it as a context manager.

    Opening it takes the phone's lease, puts back what a dead process left changed, brings the runner there and keeps
    the phone awake; closing it undoes all that.

    Args:
        spec: ``adb:SERIAL/RUNNER`` with options; without ``cpus`` the strongest cluster.
        server: The adb server; the one that the environment names unless given.
        library: Runners; the user's own unless given.
        deadline_s: A launch of up to ten runs that takes longer counts as hung.
        recovery_s: Seconds without a link, and without a new result in between, after which the phone is given up.
        silence_s: A link on which nothing comes for so long, though something should, counts as lost.
        heat: When the phone must cool down, and for how long in all.
        folder: State folder of this machine; the user's own unless given.
        tell: Told what a person should know, as it happens.
        sleep: Waits, while the phone cools down or is away; what it raises ends the wait.

    Attributes:
        info: Who it is.
        warnings: What a person was told.

    Raises:
        ConfigError: ``ADB60``: cores that the phone does not have; ``RNR12``: a delegate that the runner does not have.
        DeviceError: The phone or the runner is not there, or not fit; the message says what to do.
    """

    def __init__(
        self,
        spec: DeviceSpec,
        *,
        server: AdbServer | None = None,
        library: RunnerLibrary | None = None,
        deadline_s: float = 60.0,
        recovery_s: float = RECOVERY_S,
        silence_s: float = 30.0,
        heat: HeatLimits | None = None,
        folder: Path | None = None,
        tell: Callable[[str], None] = lambda text: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.spec, self._deadline_s, self._tell = spec, deadline_s, tell
        self.warnings: list[str] = []
        self._is_closed = False
        self._dialect = dialect_of(spec.runtime)
        self._delegate = spec.delegate or self._dialect.default_delegate
        link = reach(server or AdbServer.find(), spec.serial, folder=folder)
        recovery = Recovery(link.server, link.serial, budget_s=recovery_s, sleep=sleep)
        self.phone = HeldPhone(link, recovery=recovery, folder=folder, warn=self._warn)
        try:
            self._cpu_mask = resolve_mask(spec, self.phone.facts)
            runner = (library or RunnerLibrary()).find(
                spec.runtime, self.phone.facts.abis, self.phone.facts.interpreters
            )
            self._place = self.phone.with_recovery(
                lambda: place_runner(self.phone.link, runner, self._dialect, tell=self._sending)
            )
            self._dialect.command(self._place.path, self._job("-", 1, 0).request)
            self._models = ModelCache(self.phone, self._dialect.model_format, self._sending)
            self._heat = HeatKeeper(heat, tell=self._cooling, sleep=sleep)
            self._campaign = Campaign(self.phone, self._place, self._cpu_mask, self._heat, silence_s=silence_s)
            self._conditions = ConditionsReader(self.phone)
        except BaseException:
            self.phone.release()
            raise
        self._runner = runner
        self.phone.on_return = self._came_back
        self.info = self._describe(runner.sha256)

    def __enter__(self) -> AdbDevice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def model_format(self) -> str:
        """Format of the models that it runs."""
        return self._dialect.model_format

    @property
    def rejections(self) -> Rejections:
        """Launches that were thrown away and made again, and what waiting cost."""
        return self._heat.rejections

    @property
    def round_trips(self) -> int:
        """Services that were opened on the phone since the device was."""
        return self.phone.link.round_trips

    def load(self, artifacts: Iterable[ModelArtifact]) -> dict[str, str]:
        """Bring models to the phone, all at once; see `devices.device.Device.load`.

        What lies there by content is not sent again. A model that is whole and of the right format may still fail when
        it runs.
        """
        self._check_open()
        return self._models.load(artifacts)

    def unload(self, sha256s: Iterable[str]) -> None:
        """Forget models; their files stay in the phone's cache until `mnas devices clean`."""
        self._models.forget(sha256s)

    def renew(self) -> dict[str, str]:
        """Do nothing: every launch is a process of its own."""
        self._check_open()
        return {}

    def run(self, batch: Iterable[Visit]) -> Iterator[SampleEvent]:
        """Take all visits, run them as one script and yield each one's event; see `devices.device.Device.run`.

        Raises:
            DeviceError: ``ADB68`` the device was closed; the phone is gone or cannot go on.
        """
        self._check_open()
        visits = list(batch)
        errors = self._models.load(visit.artifact for visit in visits)
        jobs = [
            self._job(self._models.path_of(visit.artifact), visit.runs, visit.warmup, place=place)
            for place, visit in enumerate(visits)
            if visit.artifact.identity not in errors
        ]
        launched = self._campaign.run(jobs)
        try:
            for visit in visits:
                error = errors.get(visit.artifact.identity)
                if error:
                    yield SampleEvent(visit, (), error=f"cannot be loaded: {error}")
                else:
                    yield event_of(visit, next(launched), self._dialect)
        finally:
            launched.close()

    def try_model(self, artifact: ModelArtifact) -> Trial:
        """Run a model once; see `devices.device.Device.try_model`. Nothing is known of its outputs.

        Raises:
            DeviceError: As for `run`.
        """
        self._check_open()
        error = self._models.load([artifact]).get(artifact.identity)
        if error:
            return Trial("refused", error)
        job = self._job(self._models.path_of(artifact), 1, 0, peak_memory=True)
        return trial_of(self._only(job), self._dialect)

    def profile(self, artifact: ModelArtifact, *, runs: int = 30, warmup: int = 3) -> OpProfile:
        """Profile a model operator by operator, in a launch of its own.

        Raises:
            MeasurementError: ``MEA20``: it cannot be profiled.
            DeviceError: As for `run`.
        """
        self._check_open()
        error = self._models.load([artifact]).get(artifact.identity, "")
        launched = None
        if not error:
            job = self._job(self._models.path_of(artifact), runs, warmup, per_op=True)
            launched = self._only(job, file_limit_bytes=_PROFILE_BYTES)
        return profile_of(artifact, launched, error, self._dialect)

    def conditions(self) -> dict[str, Any]:
        """Return the phone's state, what was rejected for it, and what was set for the session."""
        lowest = self._campaign.lowest_khz
        found = {
            **self._conditions.read(),
            "rejected_launches": self.rejections.to_json(),
            "throttle_count": self.rejections.kept_hot,
            "unread_heat_count": self.rejections.kept_unread,
            "link_losses": self.phone.recovery.losses,
            "settings": {one.name: one.now or one.note for one in self.phone.settings},
        }
        return found if lowest is None else {**found, "lowest_pinned_mhz": lowest / 1000}

    def close(self) -> None:
        """Put the phone's settings back and release it; a second call does nothing."""
        self._is_closed = True
        self.phone.release()

    def _job(self, model_path: str, runs: int, warmup: int, place: int = 0, **wishes: bool) -> Job:
        return job_of(
            model_path,
            runs,
            warmup,
            place=place,
            dialect=self._dialect,
            threads=self.spec.threads,
            delegate=self._delegate,
            deadline_s=self._deadline_s,
            allow_partial=bool(self.spec.partial),
            **wishes,
        )

    def _only(self, job: Job, **options: int) -> Launched:
        (launched,) = self._campaign.run([job], **options)
        return launched

    def _came_back(self, is_new_boot: bool) -> None:
        self._warn("the phone was lost and came back" + (" after it started anew" if is_new_boot else ""))
        if is_new_boot:
            place_runner(self.phone.link, self._runner, self._dialect, tell=self._sending)
            self._models.verify()

    def _describe(self, runner_sha256: str) -> DeviceInfo:
        facts = self.phone.facts
        return DeviceInfo(
            # By the phone's own serial, so that it is one phone over USB and Wi-Fi, and never with the serial itself.
            device_id=str(replace(self.spec, serial=public_serial(facts.serialno or self.phone.link.serial))),
            kind="adb",
            model=" ".join(dict.fromkeys(part for part in (facts.manufacturer, facts.model) if part)) or "unknown",
            soc=facts.soc,
            os_build=facts.build_fingerprint or f"Android {facts.android_version}",
            runtime=self.spec.runtime,
            runtime_version="",
            runner_sha256=runner_sha256,
            # With parts left to the CPU it is another thing to measure, and another key.
            delegate=self._delegate + ("+cpu" if self.spec.partial else ""),
            threads=self.spec.threads,
            cpu_mask=self._cpu_mask,
            is_simulated=facts.is_simulated,
        )

    def _cooling(self, reading: HeatReading) -> None:
        self._tell(f"cooling down: {reading}")
        self.phone.tell(PhoneState.COOLING, f"cooling down: {reading}")

    def _sending(self, text: str) -> None:
        self._tell(text)
        self.phone.tell(PhoneState.LEASED, text)

    def _warn(self, text: str) -> None:
        self.warnings.append(text)
        self._tell(text)

    def _check_open(self) -> None:
        if self._is_closed:
            raise DeviceError(
                "ADB68", "the device was closed", value=self.phone.link.serial, why="its phone was given back",
                fix="open another",
            )  # fmt: skip
