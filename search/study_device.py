"""A device of a study, at this machine or at another host of its cluster."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self, TypeVar

from latency.host_job import DeviceInfo, DeviceOnHost, MeasuringRequest, describe_on_host, measure_on_host, needs_of
from latency.on_device import MeasuringDevice, MeasuringSession, OnDevice, public_device, require_device
from latency.plan import LutPlan
from latency.progress import Progress
from latency.table import LatencyTable
from mnas.errors import DeviceError, LutError
from mnas.export.artifact import ModelArtifact
from mnas.export.network import Dtype, require_writer
from mnas.store import Store
from search.executors.executor import Executor, Job

Value = TypeVar("Value")


class StudyDevice(MeasuringDevice, Protocol):
    """What a study does with a device."""

    def __enter__(self) -> Self:
        """Make ready."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it."""

    def has_table(self, plan: LutPlan) -> bool:
        """Return whether the table of a plan is there and finished."""

    def build_table(self, plan: LutPlan, progress: Progress) -> LatencyTable:
        """Return the table of a plan, built where it is not there."""


class DeviceElsewhere:
    """A device of another host: each session is a job that only that host can take, and that has the device alone.

    Use it as a context manager. The host keeps the nominals of the reference networks.

    Args:
        spec: Device spec.
        executor: Offers what the device needs.
    """

    def __init__(self, spec: str, executor: Executor) -> None:
        self._spec, self._executor = spec, executor
        self._found: DeviceOnHost | None = None

    def __enter__(self) -> Self:
        """Ask its host what it is.

        Raises:
            ClusterError: Its host is gone.
            DeviceError: ``DEV61``: it cannot be used.
        """
        self._found = self._ask(Job(describe_on_host, (self._spec,), needs_of(self._spec)), DeviceOnHost)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to let go of: each job of it has ended."""

    @property
    def info(self) -> DeviceInfo:
        """The device's identity."""
        return self._described.info

    @property
    def model_format(self) -> str:
        """Format of the models that it runs."""
        return self._described.model_format

    @property
    def _described(self) -> DeviceOnHost:
        assert self._found is not None, "used outside of its with statement"
        return self._found

    def has_table(self, plan: LutPlan) -> bool:
        """Return False: what tables its host has is not asked for."""
        return False

    def build_table(self, plan: LutPlan, progress: Progress) -> LatencyTable:
        """Refuse: tables are built at the device's own host.

        Raises:
            LutError: ``LUT11``.
        """
        public = public_device(self._spec)
        raise LutError(
            "LUT11",
            "there is no latency table of a device at another host",
            value=public,
            why="a build takes the device for many minutes, and its measurements are kept where it hangs",
            fix=f"there: mnas lut build --device {public} and mnas lut export ID --to json; here: mnas lut import FILE "
            "and --lut ID",
        )

    def measure(self, artifacts: Mapping[str, ModelArtifact], *, seed: int, rounds: int = 20) -> MeasuringSession:
        """Measure whole networks in one session at the device's host; see `latency.on_device.OnDevice.measure`.

        Raises:
            ClusterError: Its host is gone.
            DeviceError: ``DEV61``: the session failed.
        """
        request = MeasuringRequest.of(self._spec, artifacts, seed=seed, rounds=rounds)
        return self._ask(Job(measure_on_host, (request,), needs_of(self._spec)), MeasuringSession)

    def _ask(self, job: Job, kind: type[Value]) -> Value:
        (outcome,) = self._executor.map_in_order([job])
        if not outcome.is_ok:
            raise DeviceError(
                "DEV61",
                "a device at another host cannot be used",
                value=public_device(self._spec),
                why=outcome.error_message,
                fix="look there: mnas devices list, mnas doctor --device; then go on with --resume",
            )
        assert isinstance(outcome.value, kind)
        return outcome.value


def is_elsewhere(spec: str, executor: Executor) -> bool:
    """Return whether a device is one that another host offers to this study."""
    return executor.offers(needs_of(spec))


def open_study_device(spec: str, store: Store, executor: Executor) -> StudyDevice:
    """Return a device: of another host where one offers it, else of this machine, opened.

    Args:
        spec: Device spec; a phone may go by its public name.
        store: Opened with `latency.on_device.COMPONENTS`; of a device elsewhere it keeps nothing.
        executor: Of the study.

    Raises:
        ConfigError: Not a device spec.
        DeviceError: The device cannot be opened.
    """
    return DeviceElsewhere(spec, executor) if is_elsewhere(spec, executor) else OnDevice(spec, store)


def require_study_device(spec: str, dtype: Dtype, executor: Executor) -> None:
    """Find out early whether a device can be used.

    Raises:
        ConfigError: Not a device spec; ``CFG13``: it runs models of a format that cannot have this element type.
        DeviceError: The device cannot be opened.
    """
    if not is_elsewhere(spec, executor):
        require_device(spec, dtype)
        return
    with DeviceElsewhere(spec, executor) as device:
        require_writer(device.model_format, dtype)
