"""What is measured beside the session: operators with the profiler on, and models that run for minutes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from devices.contenders import Contender, Progress
from devices.device import Device
from devices.profiling.profile import OpProfile
from devices.profiling.run import profile_model
from devices.spec import DeviceSpec
from devices.sustained import Window, judge_sustained, run_sustained
from mnas.errors import ConfigError, MeasurementError
from mnas.export.artifact import ModelArtifact

Keep = Callable[[str, Mapping[str, Any]], None]


@runtime_checkable
class Profiler(Protocol):
    """A device that profiles models itself, as a phone's runner does; the host has a process of its own for that."""

    def profile(self, artifact: ModelArtifact) -> OpProfile:
        """Return a profile by operator.

        Raises:
            MeasurementError: The model cannot be profiled.
        """


def profile_on(device: Device, artifact: ModelArtifact) -> OpProfile:
    """Return a profile of a model by operator, apart from anything that is timed.

    Raises:
        ConfigError: Nothing on this device makes profiles.
        MeasurementError: The model cannot be profiled.
    """
    if isinstance(device, Profiler):
        return device.profile(artifact)
    return profile_model(DeviceSpec.parse(device.info.device_id), artifact)


class Extras:
    """Profiles and sustained runs of the models of a run, one after the other, after its session.

    Args:
        device: Open; its session is over.
        contenders: Fit ones.
        progress: Called as it goes on.
        keep: Told a kind and what is there of it by now, label -> document, so that a kill costs little.

    Attributes:
        warnings: Why something is missing.
    """

    def __init__(self, device: Device, contenders: Sequence[Contender], progress: Progress, keep: Keep) -> None:
        self._device = device
        self._contenders = tuple(contenders)
        self._progress = progress
        self._keep = keep
        self.warnings: list[str] = []

    def measure(self, *, per_op: bool, sustained_s: float) -> dict[str, Any]:
        """Return ``per_op`` and ``sustained``, each label -> document; what was not asked for is absent.

        Raises:
            DeviceError: The device itself is gone.
        """
        found: dict[str, Any] = {}
        if per_op:
            found["per_op"] = self._profiles()
        if sustained_s:
            found["sustained"] = self._sustained(sustained_s)
        return found

    def _profiles(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for place, one in enumerate(self._contenders):
            self._progress("profiling", place, len(self._contenders))
            document = self._profile(one)
            if document is not None:
                found[one.model.label] = document
                self._keep("per_op", found)
        self._progress("profiling", len(self._contenders), len(self._contenders))
        return found

    def _profile(self, one: Contender) -> dict[str, Any] | None:
        assert one.artifact is not None
        try:
            return profile_on(self._device, one.artifact).to_json()
        except (ConfigError, MeasurementError, OSError) as error:
            self.warnings.append(f"no profile of {one.model.label}: {error}")
            return None

    def _sustained(self, seconds: float) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for one in self._contenders:
            assert one.artifact is not None
            label, windows = one.model.label, list[Window]()

            def keep(window: Window, label: str = label, windows: list[Window] = windows) -> None:
                windows.append(window)
                self._keep("sustained", {**found, label: judge_sustained(windows, ended="interrupted").to_json()})

            def tell(done_s: float, total_s: float, label: str = label) -> None:
                self._progress(f"running {label} on, seconds", int(done_s), int(total_s))

            done = run_sustained(self._device, one.artifact, seconds=seconds, progress=tell, on_window=keep)
            found[label] = done.to_json()
        return found
