"""What a device is: its identity, and the one thing that it can do, which is to run a batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from devices.measurement import SampleEvent, Visit
from devices.trial import Trial
from mnas.export.artifact import ModelArtifact
from mnas.jsonio import sha256_json

_KEY_FIELDS = ("kind", "model", "runtime", "runtime_version", "runner_sha256", "delegate", "threads", "cpu_mask")


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device together with the runtime that runs models on it.

    Attributes:
        device_id: A device spec that opens it, e.g. ``host:ort,threads=1``; for phones with a hash in the place of the
            serial, which never leaves the machine.
        kind: ``host`` or ``adb``.
        model: CPU or phone model.
        soc: System on chip, or "".
        os_build: Operating system and build.
        runtime: ``onnxruntime``, ``litert`` ...
        runtime_version: Version of the runtime's package, or "" where a binary does not tell.
        runner_sha256: Of the runner binary, or "" where the runtime is a package.
        delegate: ``cpu``, ``xnnpack``, ``none`` ...
        threads: Threads of the runtime.
        cpu_mask: Hexadecimal mask of the CPUs that it is pinned to, or "" when not pinned.
        is_simulated: Numbers of this device are not of a real one.
    """

    device_id: str
    kind: str
    model: str
    soc: str
    os_build: str
    runtime: str
    runtime_version: str
    runner_sha256: str
    delegate: str
    threads: int
    cpu_mask: str
    is_simulated: bool = False

    @property
    def device_key(self) -> str:
        """Hash of what a latency depends on; serial and OS build are left out."""
        return sha256_json({name: getattr(self, name) for name in _KEY_FIELDS})

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DeviceInfo:
        """Read what `to_json` wrote."""
        return cls(**value)


def differing_fields(first: DeviceInfo, second: DeviceInfo) -> list[str]:
    """Return the fields that make two devices' keys differ, with both values; none where the keys are equal."""
    pairs = ((name, getattr(first, name), getattr(second, name)) for name in _KEY_FIELDS)
    return [f"{name}: {one!r} and {other!r}" for name, one, other in pairs if one != other]


class Device(Protocol):
    """Runs models. How often, in which order and what to make of it is the harness's business."""

    @property
    def info(self) -> DeviceInfo:
        """Who it is."""

    @property
    def model_format(self) -> str:
        """Format of the models that it runs: ``onnx``, ``tflite`` or ``pt2``."""

    def load(self, artifacts: Iterable[ModelArtifact]) -> dict[str, str]:
        """Make models ready, so that no visit pays for loading.

        Returns:
            sha256 -> reason for each model that cannot be run; the others are ready.

        Raises:
            DeviceError: The device itself is gone.
        """

    def unload(self, sha256s: Iterable[str]) -> None:
        """Give back what loaded models hold; those that are not loaded are passed over."""

    def renew(self) -> dict[str, str]:
        """Load every loaded model anew in a fresh process, so that its weights and buffers lie elsewhere in memory.

        Returns:
            sha256 -> reason for each model that cannot be run any more.

        Raises:
            DeviceError: The device itself is gone.
        """

    def try_model(self, artifact: ModelArtifact) -> Trial:
        """Load a model and run it once, apart from all that is loaded, so that a bad one costs this and nothing else.

        Raises:
            DeviceError: The device itself is gone.
        """

    def run(self, batch: Iterable[Visit]) -> Iterator[SampleEvent]:
        """Run visits in the order given and yield one event for each, as soon as it is done.

        A model that fails gives an event with an error, never a number.

        Raises:
            DeviceError: The device itself is gone.
        """

    def conditions(self) -> dict[str, Any]:
        """Return what can be read of the device's state: load, frequency, temperature ..."""

    def close(self) -> None:
        """Release the device; a second call does nothing."""
