"""Builds one table on several devices of one kind at once: they share a queue of pieces, and some probes are common.

Each device is normalised by its own readings of the reference networks, against nominals that belong to the device key.
A device that is lost gives its piece back, and another goes on with it where it stood.
"""

from __future__ import annotations

import math
import tempfile
import threading
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from devices.device import Device, differing_fields
from devices.team import Report, Team
from latency.builder import CHUNK, begin_table, find_table, finish, progress_of
from latency.consistency import common_probes
from latency.lock import BuildLock
from latency.plan import LutPlan
from latency.progress import BuildProgress, Progress
from latency.table import LatencyTable, load_table
from latency.worker import Item, Piece, TableWorker, pieces_of
from mnas.errors import ConfigError, DeviceError, LutError
from mnas.seeding import derive_seed
from mnas.store import Store

_PIECES_A_DEVICE, _SMALLEST_PIECE = 3, 25
"""Several pieces each, so that a slow device does not keep the others waiting for its last one."""
_COMMON = -1


def require_one_kind(devices: Sequence[Device]) -> None:
    """Check that devices may share a table.

    Raises:
        ConfigError: ``CFG10``: one of them is named twice.
        LutError: ``LUT03``: their keys differ; the message names the fields.
    """
    for first, second in combinations((device.info for device in devices), 2):
        if first.device_id == second.device_id:
            raise ConfigError(
                "CFG10",
                "a device is named twice",
                value=first.device_id,
                why="devices share a table in order to measure side by side",
                fix="name it once",
            )
        differing = differing_fields(first, second)
        if differing:
            raise LutError(
                "LUT03",
                f"{first.device_id} and {second.device_id} cannot share a latency table",
                value="; ".join(differing),
                why="a latency belongs to one kind of device, runtime and thread count",
                fix="build a table for each of them",
            )


class SharedBuild:
    """Builds one table on several devices.

    Args:
        store: Opened with the components of devices and latency.
        devices: Open, two or more of one device key; each is closed once it has done its part.
        plan: What to measure.
        progress: Called after each visit, by one thread at a time.
        tell: Told what a person should know, such as a device that was lost.

    Raises:
        ConfigError: ``CFG10``: a device is named twice.
        LutError: ``LUT03``: the devices are of different kinds.
    """

    def __init__(
        self,
        store: Store,
        devices: Sequence[Device],
        plan: LutPlan,
        progress: Progress,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        require_one_kind(devices)
        self._store = store
        self._devices = list(devices)
        self._plan = plan
        self._progress = progress
        self._tell = tell
        self._calibrating = threading.Lock()
        self._workers: list[TableWorker] = []
        self._team: Team[Piece, TableWorker, None] | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether the build is being given up, so that a device that waits for something need not."""
        return self._team is not None and self._team.is_stopped

    def build(self, *, anew: bool = False) -> LatencyTable:
        """Return the finished table, as `LutBuilder.build` does.

        Args:
            anew: Start a new table, whatever is there.

        Raises:
            DeviceError: Every device was lost.
            LutError: ``LUT05`` parts that could not be measured, ``LUT20`` another process builds the table, ``LUT21``
                the devices disagree.
            StoreError: A visit cannot be kept.
        """
        store, plan, info = self._store, self._plan, self._devices[0].info
        found = None if anew else find_table(store, plan, info)
        if found and found[1] == "ready":
            return load_table(store, found[0])
        with BuildLock(store, plan.identity(info)), tempfile.TemporaryDirectory(prefix="mnas-lut-") as folder:
            lut_id = begin_table(store, plan, info, anew=anew)
            self._measure(lut_id, Path(folder))
            sha256s: dict[Item, str] = {}
            for worker in self._workers:
                sha256s |= worker.sha256s
            return finish(store, lut_id, plan, sha256s, self._workers[0].harness)

    def _measure(self, lut_id: str, folder: Path) -> None:
        progress = progress_of(self._store, lut_id, self._plan, self._progress, len(self._devices))

        def work(worker: TableWorker, piece: Piece) -> None:
            worker.measure(piece, progress, lambda: self.is_stopped)

        def opener(place: int) -> Callable[[], TableWorker]:
            return lambda: self._open(place, lut_id, folder / str(place), progress)

        names = [device.info.device_id for device in self._devices]
        self._team = Team({name: opener(place) for place, name in enumerate(names)}, work, self._say_lost)
        try:
            _require_done(self._team.run(pieces_of(self._plan, self._piece_size())))
        finally:
            for device in self._devices:
                device.close()

    def _open(self, place: int, lut_id: str, folder: Path, progress: BuildProgress) -> TableWorker:
        """Make a device ready and have it measure the common probes, in the thread that it works in from then on."""
        device = self._devices[place]
        seed = derive_seed(self._plan.settings.seed, "visits", lut_id, device.info.device_id)
        with self._calibrating:  # devices of one key share their nominals, so one of them is enough to measure them
            worker = TableWorker(self._store, lut_id, self._plan, device, folder, np.random.default_rng(seed))
        common = Piece(_COMMON, common_probes(self._plan), is_common=True)
        worker.measure(common, progress, lambda: self.is_stopped)
        self._workers.append(worker)
        return worker

    def _piece_size(self) -> int:
        models = len(self._plan.probes) + len(self._plan.networks)
        wanted = math.ceil(models / (_PIECES_A_DEVICE * len(self._devices)))
        return min(CHUNK, max(wanted, _SMALLEST_PIECE))

    def _say_lost(self, name: str, error: DeviceError) -> None:
        self._tell(f"{name} was lost, and its part goes to the others: {error}")


def _require_done(report: Report[Piece, None]) -> None:
    """Check that a team did everything.

    Raises:
        DeviceError: Every device was lost.
        LutError: ``LUT05``: a piece took several devices down.
    """
    if report.left and report.lost:
        raise report.lost[-1].error
    if report.failed:
        raise LutError(
            "LUT05",
            f"{len(report.failed)} pieces of the table could not be measured",
            value="; ".join(report.failed.values()),
            why="what is under way as devices are lost may be what takes them down",
            fix="run the same command again: it goes on with what is left",
        )
