"""One device for as long as it is needed: builds its table, measures whole networks. All that a search sees of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from devices.adb.privacy import public_spec
from devices.calibration import ready_harness
from devices.device import Device, DeviceInfo
from devices.protocol import protocol_for
from devices.references import DEVICES
from devices.registry import open_device
from devices.spec import DeviceSpec
from latency.builder import LutBuilder, find_table
from latency.plan import LutPlan, LutSettings
from latency.probes import Mode
from latency.progress import Progress
from latency.schema import LATENCY
from latency.table import LatencyTable
from mnas.export.artifact import ModelArtifact
from mnas.export.network import Dtype, require_writer
from mnas.store import Store

COMPONENTS = (DEVICES, LATENCY)
"""What a store must be opened with for this module."""

_SHORT_VISITS: dict[str, Any] = {"visit_ms": 2.5, "reference_every": 12, "rounds_per_launch": 3}
"""Of a table's build on a host. A run knows little that its visit does not, so many short visits tell most; there are
whole networks in every round, so that references may be fewer; and its few rounds shall be of two processes."""


_USUAL: dict[Mode, tuple[int, int, int]] = {"accurate": (6, 12, 12), "fast": (3, 8, 8)}
"""Mode -> visits of each segment, networks to calibrate on and to validate on."""


def lut_settings(
    mode: Mode,
    rounds: int | None = None,
    calibration: int | None = None,
    validation: int | None = None,
    device: str = "host",
) -> LutSettings:
    """Return the settings of a table with the usual protocol of the device that a spec names.

    Args:
        mode: ``accurate`` or ``fast``.
        rounds: Visits of each segment; the mode's own, 6 or 3, unless given.
        calibration: Whole networks to calibrate on; the mode's own, 12 or 8, unless given.
        validation: Others to validate on; the mode's own, 12 or 8, unless given.
        device: Device spec.

    Raises:
        ConfigError: Not a device spec.
    """
    kind = DeviceSpec.parse(device).kind
    usual = zip((rounds, calibration, validation), _USUAL[mode], strict=True)
    visits, fitted, held_out = (own if asked is None else asked for asked, own in usual)
    protocol = replace(protocol_for(kind), rounds=visits, **(_SHORT_VISITS if kind == "host" else {}))
    return LutSettings(mode, protocol, fitted, held_out)


def require_device(spec: str, dtype: Dtype = "float32") -> None:
    """Open a device and close it again, to find out early whether it can be used.

    Raises:
        ConfigError: Not a device spec; ``CFG13``: it runs models of a format that cannot have this element type.
        DeviceError: The device cannot be opened.
    """
    device = open_device(spec)
    device.close()
    require_writer(device.model_format, dtype)


def public_device(spec: str) -> str:
    """Return a device spec as results may hold it: without the serial of a phone.

    Raises:
        ConfigError: Not a device spec.
    """
    return public_spec(spec)


@dataclass(frozen=True, slots=True)
class MeasuredLatency:
    """What a session says of one network.

    Attributes:
        ms: Latency; ``None`` when it could not be measured.
        low_ms: Lower end of the 95 % interval.
        high_ms: Upper end of the 95 % interval.
        verdict: ``ok``, ``noisy``, ``drifted``, ``throttled`` or ``invalid``.
        reasons: Why it is not ``ok``.
        samples_ms: Raw timed runs, in order of time.
        rounds: Round of each of them.
    """

    ms: float | None
    low_ms: float
    high_ms: float
    verdict: str
    reasons: tuple[str, ...]
    samples_ms: tuple[float, ...]
    rounds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MeasuringSession:
    """A session of whole networks.

    Attributes:
        networks: By the caller's key.
        about: Device key, start, references, conditions, protocol, verdict and reasons, as
            `devices.measurement.Session.describe` gives them.
    """

    networks: dict[str, MeasuredLatency]
    about: dict[str, Any]


class MeasuringDevice(Protocol):
    """Whatever whole networks are measured on."""

    @property
    def info(self) -> DeviceInfo:
        """The device's identity."""

    @property
    def model_format(self) -> str:
        """Format of the models that it runs."""

    def measure(self, artifacts: Mapping[str, ModelArtifact], *, seed: int, rounds: int = 20) -> MeasuringSession:
        """Measure whole networks in one session; see `OnDevice.measure`."""


class OnDevice:
    """An open device. Use it as a context manager.

    Args:
        device: Device spec, e.g. ``host:ort``, or a device that is open already; it is closed on leaving.
        store: Opened with `COMPONENTS`.

    Raises:
        ConfigError: Not a device spec.
        DeviceError: The device cannot be opened.
    """

    def __init__(self, device: str | Device, store: Store) -> None:
        self._store = store
        self._device = open_device(device) if isinstance(device, str) else device

    def __enter__(self) -> OnDevice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._device.close()

    @property
    def info(self) -> DeviceInfo:
        """The device's identity."""
        return self._device.info

    @property
    def model_format(self) -> str:
        """Format of the models that it runs."""
        return self._device.model_format

    def has_table(self, plan: LutPlan) -> bool:
        """Return whether the table of a plan is there and finished, so that nothing would be measured for it."""
        found = find_table(self._store, plan, self.info)
        return found is not None and found[1] == "ready"

    def build_table(self, plan: LutPlan, progress: Progress, *, anew: bool = False) -> LatencyTable:
        """Return the table of a plan: there already, gone on with, or built.

        Raises:
            DeviceError: The device is gone.
            LutError: Segments could not be measured.
        """
        return LutBuilder(self._store, self._device, plan, progress).build(anew=anew)

    def measure(self, artifacts: Mapping[str, ModelArtifact], *, seed: int, rounds: int = 20) -> MeasuringSession:
        """Measure whole networks interleaved with each other and the reference networks, in one session.

        Args:
            artifacts: Caller's key -> model file of this device's format.
            seed: Draws the order of the visits.
            rounds: Visits of each network.

        Raises:
            DeviceError: The device is gone.
            MeasurementError: The reference networks could not be measured.
        """
        rng = np.random.default_rng(seed)
        with tempfile.TemporaryDirectory(prefix="mnas-references-") as folder:
            settings = replace(protocol_for(self._device.info.kind), rounds=rounds)
            harness = ready_harness(self._device, self._store, Path(folder), settings, rng=rng).harness
            session = harness.measure(artifacts.values())
        networks = {}
        for key, artifact in artifacts.items():
            found = session.measurements[artifact.sha256]
            low, high = found.interval_ms or (0.0, 0.0)
            networks[key] = MeasuredLatency(
                ms=found.latency_ms,
                low_ms=low,
                high_ms=high,
                verdict=found.verdict,
                reasons=found.reasons,
                samples_ms=found.samples_ms,
                rounds=found.rounds,
            )
        return MeasuringSession(networks, session.describe())
