"""Models on a phone: checked here, brought there by content, found again by what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from devices.adb.held import HeldPhone
from devices.adb.sending import Sending
from devices.adb.staging import CacheItem, stage
from devices.adb.states import PhoneState
from mnas.errors import ModelError
from mnas.export.artifact import ModelArtifact
from mnas.jsonio import sha256_bytes

_FEWEST_S = 60.0
_SLOWEST_BYTES_PER_S = 500_000
"""Of a poor Wi-Fi link; a deadline, no expectation."""

_TFLITE_MAGIC = slice(4, 8)
_WIRE_TYPES = (0, 2)


class ModelCache:
    """The models that a device may run.

    Args:
        phone: Held.
        model_format: That its runner reads.
        tell: Told how far a long push is.
    """

    def __init__(self, phone: HeldPhone, model_format: str, tell: Callable[[str], None] = lambda text: None) -> None:
        self._phone, self._format, self._tell = phone, model_format, tell
        self._paths: dict[str, str] = {}
        self._artifacts: dict[str, ModelArtifact] = {}
        self._checked: dict[Path, tuple[str, tuple[int, ...], str]] = {}

    def path_of(self, artifact: ModelArtifact) -> str:
        """Return where a model that was brought there lies on the phone."""
        return self._paths[artifact.sha256]

    def load(self, artifacts: Iterable[ModelArtifact]) -> dict[str, str]:
        """Bring models that are not there yet and return identity -> reason for each that cannot be run.

        Raises:
            DeviceError: The phone is gone, or takes no files.
        """
        errors: dict[str, str] = {}
        wanted: dict[str, ModelArtifact] = {}
        for artifact in artifacts:
            error = self._check(artifact)
            if error:
                errors[artifact.identity] = error
            elif artifact.sha256 not in self._paths:
                wanted[artifact.sha256] = artifact
        self._stage(wanted)
        return errors

    def forget(self, identities: Iterable[str]) -> None:
        """Forget models; those that are not known are passed over. Another load finds their files on the phone."""
        dropped = set(identities)
        for sha256, artifact in list(self._artifacts.items()):
            if artifact.identity in dropped:
                del self._artifacts[sha256], self._paths[sha256]

    def verify(self) -> None:
        """See that the files of all models are there and whole, and bring again those that are not.

        Raises:
            DeviceError: The phone is gone, or takes no files.
        """
        self._send(self._artifacts)

    def _stage(self, wanted: dict[str, ModelArtifact]) -> None:
        if wanted:
            self._phone.with_recovery(lambda: self._send(wanted))
            self._artifacts.update(wanted)

    def _send(self, wanted: dict[str, ModelArtifact]) -> None:
        size = sum(artifact.size_bytes for artifact in wanted.values())
        items = [CacheItem(artifact.path, sha256) for sha256, artifact in wanted.items()]
        self._phone.tell(PhoneState.LEASED, f"staging {_models(len(items))} ({size / 1e6:.1f} MB)")
        progress = Sending(_models(len(items)), self._tell)
        deadline_s = _FEWEST_S + size / _SLOWEST_BYTES_PER_S
        done = stage(self._phone.link, items, deadline_s=deadline_s, on_progress=progress)
        self._paths.update(zip(wanted, done.paths, strict=True))
        self._phone.recovery.progress()
        self._phone.tell(PhoneState.STAGED, f"{_models(len(self._paths))} there")

    def _check(self, artifact: ModelArtifact) -> str:
        """Return why a file cannot be run, or ""; one that was read before is not read again."""
        if artifact.format != self._format:
            return f"format is {artifact.format}, this runner reads {self._format}"
        if artifact.input_fill:
            names = ", ".join(name for name, _ in artifact.input_fill)
            return f"a runner on a phone feeds random numbers, so the input {names} cannot be filled with one"
        try:
            found = artifact.path.stat()
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
            known = self._checked.get(artifact.path)
            if known and known[:2] == (artifact.sha256, stamp):
                return known[2]
            data = artifact.path.read_bytes()
        except OSError as error:
            return f"cannot be read: {error}"
        if sha256_bytes(data) != artifact.sha256:
            return f"the file changed since it was described: its sha256 is not {artifact.sha256[:12]}..."
        fault = self._look_into(artifact, data)
        self._checked[artifact.path] = (artifact.sha256, stamp, fault)
        return fault

    def _look_into(self, artifact: ModelArtifact, data: bytes) -> str:
        is_whole = data[_TFLITE_MAGIC] == b"TFL3" if self._format == "tflite" else _may_be_protobuf(data)
        if not is_whole:
            return f"the file is no {self._format} model"
        # Our own writers leave no size open.
        return "" if artifact.writer_version else _open_sizes(artifact)


def _models(count: int) -> str:
    return f"{count} model{'' if count == 1 else 's'}"


def _may_be_protobuf(data: bytes) -> bool:
    return bool(data) and data[0] >> 3 > 0 and data[0] & 7 in _WIRE_TYPES


def _open_sizes(artifact: ModelArtifact) -> str:
    """Return why a foreign file cannot be run as it is: a runner takes 1 for a size that is open, and says nothing."""
    try:
        if artifact.format == "tflite":
            from devices.models.tflite_file import describe_tflite as describe
        else:
            from devices.models.onnx_file import describe_onnx as describe
        inputs = describe(artifact.path).inputs
    except ModelError as error:
        return f"{error.what}: {error.why}" if error.why else error.what
    names = [one.name for one in inputs if None in one.shape]
    if names:
        return f"sizes of the input {', '.join(names)} are open: convert the model with fixed sizes for a phone"
    return ""
