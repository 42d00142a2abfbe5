"""One device at work on a table: it writes models, has them visited, and keeps every visit as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devices.calibration import ready_harness
from devices.device import Device
from devices.harness import Harness
from latency.plan import NETWORK_ROUNDS, LutPlan
from latency.probes import Probe, write_network, write_probe
from latency.progress import BuildProgress
from latency.records import open_sitting, rounds_done, store_visit
from mnas.errors import ExportError
from mnas.export.artifact import ModelArtifact
from mnas.space import Genome
from mnas.store import Store

_LOT = 32
"""Models that are written, and then loaded while the next ones are written: neither disturbs a measurement."""

Item = Probe | Genome
"""What is measured for a table: a probe, or a whole network."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Models that are measured in one sitting.

    Attributes:
        number: Of the piece, from 0.
        items: The models.
        is_common: Every device measures all of it, whatever the others did.
    """

    number: int
    items: tuple[Item, ...]
    is_common: bool = False


def items_of(plan: LutPlan) -> list[Item]:
    """Return everything that a table needs measured, probes first."""
    return [*plan.probes, *plan.networks]


def pieces_of(plan: LutPlan, size: int) -> list[Piece]:
    """Return a table's models in pieces of ``size`` at most; none holds probes and whole networks."""
    parts: list[tuple[Item, ...]] = []
    for items in (plan.probes, tuple(plan.networks)):
        parts += [tuple(items[start : start + size]) for start in range(0, len(items), size)]
    return [Piece(number, part) for number, part in enumerate(parts)]


def rounds_of(plan: LutPlan, item: Item) -> int:
    """Return in how many rounds a model is to be visited."""
    rounds = plan.settings.protocol.rounds
    return rounds if isinstance(item, Probe) else rounds * NETWORK_ROUNDS


@contextmanager
def _writing_into(folder: Path) -> Iterator[None]:
    """Tell of a folder that takes no more files; sittings go on where they stood once it does."""
    try:
        yield
    except OSError as error:
        raise ExportError(
            "EXP02",
            "a model that is to be measured cannot be written",
            value=str(folder),
            why=error.strerror or str(error),
            fix="make room there, or name another place by $TMPDIR; what was measured is kept",
        ) from error


class TableWorker:
    """A device that measures a table's models.

    Args:
        store: Opened with the components of devices and latency.
        lut_id: The table.
        plan: Of the table.
        device: Open; it stays open.
        folder: Of this worker's own, for model files.
        rng: Draws the order of the visits.

    Raises:
        DeviceError: The device is gone.
        ExportError: ``EXP02``: no model can be written, e.g. on a full disk.
        MeasurementError: The reference networks cannot be measured.
    """

    def __init__(
        self, store: Store, lut_id: str, plan: LutPlan, device: Device, folder: Path, rng: np.random.Generator
    ) -> None:
        self._store = store
        self._lut_id = lut_id
        self._plan = plan
        self._device = device
        self._folder = folder
        self.sha256s: dict[Item, str] = {}
        with _writing_into(folder):
            self.harness: Harness = ready_harness(device, store, folder, plan.settings.protocol, rng=rng).harness
        settings = plan.settings.network_protocol
        self._network_harness = Harness(device, self.harness.references, self.harness.nominals_ms, settings, rng=rng)

    def measure(self, piece: Piece, progress: BuildProgress, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Make the visits of a piece that nobody made yet; each is kept the moment it is done.

        Args:
            piece: The models.
            progress: Told of every visit.
            is_stopped: Asked after every visit whether to leave the rest.

        Raises:
            DeviceError: The device is gone.
            ExportError: ``EXP02``: a model cannot be written.
            StoreError: A visit cannot be kept.
        """
        device_id = self._device.info.device_id if piece.is_common else None
        done = rounds_done(self._store, self._lut_id, device_id)
        artifacts, left = dict[Item, ModelArtifact](), dict[str, int]()
        with ThreadPoolExecutor(1) as writer:
            lots = [piece.items[start : start + _LOT] for start in range(0, len(piece.items), _LOT)]
            coming = writer.submit(self._write, lots[0])
            for place in range(len(lots)):
                lot = coming.result()
                if place + 1 < len(lots):
                    coming = writer.submit(self._write, lots[place + 1])
                artifacts |= lot
                progress.writing(len(artifacts), len(piece.items))
                left |= {one.sha256: self._left(item, one, done) for item, one in lot.items()}
                self.harness.load_ahead([one for one in lot.values() if left[one.sha256]])
                if is_stopped():
                    return
        if any(left.values()):
            self._visit(piece, artifacts, left, progress, is_stopped)

    def _left(self, item: Item, artifact: ModelArtifact, done: Mapping[str, int]) -> int:
        return max(0, rounds_of(self._plan, item) - done.get(artifact.sha256, 0))

    def close(self) -> None:
        """Close the device."""
        self._device.close()

    def _write(self, items: Sequence[Item]) -> dict[Item, ModelArtifact]:
        written: dict[Item, ModelArtifact] = {}
        with _writing_into(self._folder):
            for item in items:
                written[item] = self._write_one(item)
                self.sha256s[item] = written[item].sha256
        return written

    def _write_one(self, item: Item) -> ModelArtifact:
        if isinstance(item, Probe):
            return write_probe(item, self._folder, self._device.model_format)
        return write_network(self._plan.space.decode(item), self._folder, self._device.model_format)

    def _visit(
        self,
        piece: Piece,
        artifacts: Mapping[Item, ModelArtifact],
        left: Mapping[str, int],
        progress: BuildProgress,
        is_stopped: Callable[[], bool],
    ) -> None:
        sitting = open_sitting(self._store, self._lut_id, piece.number, self.harness, self._device.conditions())
        harness = self.harness if isinstance(piece.items[0], Probe) else self._network_harness
        for record in harness.visits(artifacts.values(), left):
            is_good = store_visit(self._store, sitting, record)
            if is_good and not record.is_reference:
                progress.visited()
            if is_stopped():
                break
        self._device.unload([artifact.sha256 for artifact in artifacts.values()])
