"""Measuring whole networks on another machine, the one that a phone hangs on, as single calls with bytes in them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from devices.adb.host_state import state_folder
from devices.adb.privacy import public_serial
from devices.device import DeviceInfo as DeviceInfo  # handed on to searches
from devices.registry import open_device
from devices.spec import DeviceSpec
from latency.on_device import COMPONENTS, MeasuringSession, OnDevice
from mnas.export.artifact import ModelArtifact
from mnas.store import FILE_NAME, Store

_FOLDER = "measuring"


@dataclass(frozen=True, slots=True)
class DeviceOnHost:
    """What another machine says of a device of its own.

    Attributes:
        info: The device's identity.
        model_format: Format of the models that it runs.
    """

    info: DeviceInfo
    model_format: str


def needs_of(device: str) -> tuple[str, ...]:
    """Return what a host must have to measure on a device, by the names that ``mnas worker`` gives to a node.

    A phone's is its public name, never its serial; a device spec may name a phone by it too. A runtime of the host
    itself needs nothing, as every host has its own.

    Raises:
        ConfigError: ``CFG10``: not a device spec.
    """
    spec = DeviceSpec.parse(device)
    return (public_serial(spec.serial),) if spec.kind == "adb" else ()


@dataclass(frozen=True, slots=True)
class MeasuringRequest:
    """Networks to be measured in one session, with everything that another machine needs.

    Attributes:
        device: Device spec, as the host of the device takes it.
        models: By the caller's key: what is known of a model file, and its bytes.
        seed: Draws the order of the visits.
        rounds: Visits of each network.
    """

    device: str
    models: dict[str, tuple[ModelArtifact, bytes]]
    seed: int
    rounds: int = 20

    @classmethod
    def of(
        cls, device: str, artifacts: Mapping[str, ModelArtifact], *, seed: int, rounds: int = 20
    ) -> MeasuringRequest:
        """Return a request with the bytes of model files of this machine.

        Raises:
            OSError: A file cannot be read.
        """
        models = {key: (artifact, artifact.path.read_bytes()) for key, artifact in artifacts.items()}
        return cls(device, models, seed, rounds)


def describe_on_host(device: str) -> DeviceOnHost:
    """Open a device of the machine that this runs on, and say what it is.

    Raises:
        ConfigError: Not a device spec.
        DeviceError: The device cannot be opened.
    """
    with closing(open_device(device)) as opened:
        return DeviceOnHost(opened.info, opened.model_format)


def measure_on_host(request: MeasuringRequest) -> MeasuringSession:
    """Open a device of the machine that this runs on, and measure networks on it.

    Nominals of the reference networks are kept in this machine's state folder, as those of every device are kept once.

    Raises:
        ConfigError: Not a device spec.
        DeviceError: The device cannot be opened, or is gone.
        MeasurementError: The reference networks could not be measured.
    """
    with (
        tempfile.TemporaryDirectory(prefix="mnas-measuring-") as folder,
        Store(state_folder() / _FOLDER / FILE_NAME, COMPONENTS) as store,
        OnDevice(request.device, store) as device,
    ):
        artifacts = {}
        for number, (key, (artifact, content)) in enumerate(request.models.items()):
            path = Path(folder) / f"{number}-{artifact.path.name}"
            path.write_bytes(content)
            artifacts[key] = replace(artifact, path=path)
        return device.measure(artifacts, seed=request.seed, rounds=request.rounds)
