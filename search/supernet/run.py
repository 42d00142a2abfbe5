"""A run of supernet training: from a request to a checkpoint, in one process or in several."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mnas.errors import ConfigError, MnasError, SupernetError
from mnas.jsonio import remove_unfinished
from mnas.spaces.staged import StagedSpace
from search.data.registry import open_dataset
from search.supernet.checkpoint import FILE_NAME, Checkpoint, Description, read_checkpoint, require_same
from search.supernet.network import Supernet
from search.supernet.parallel import Group, is_launched, joined, own_device
from search.supernet.schedule import SupernetSchedule
from search.supernet.trainer import SupernetTrainer
from search.training.trainer import reproducible, require_device

SAVE_PERIOD_S = 60.0
_END_S = 30.0
Progress = Callable[[int, int], None]
"""Told of steps done and of all steps, in the first process."""
Warn = Callable[[str], None]
"""Told what a person must not miss, in the first process."""


@dataclass(frozen=True)
class SupernetRequest:
    """What is to be trained, and for how long.

    Attributes:
        space: The space.
        dataset_name: As `search.data.registry` knows it.
        dataset_folder: Where its files lie; None for the usual places.
        schedule: How.
        seed: Of everything random.
        out: Folder of the checkpoint.
        minutes: At most so many in this run; infinite for all of it.
        is_resumed: Whether to go on with the checkpoint that is there.
        processes: That train together on this machine; what torchrun starts counts itself.
        device: Of torch; ``cpu``, or ``cuda``, which is a GPU for each process.
    """

    space: StagedSpace
    dataset_name: str
    dataset_folder: str | None
    schedule: SupernetSchedule
    seed: int
    out: Path
    minutes: float = float("inf")
    is_resumed: bool = False
    processes: int = 1
    device: str = "cpu"

    @property
    def path(self) -> Path:
        """The checkpoint's file."""
        return self.out / FILE_NAME


def train_supernet(
    request: SupernetRequest, on_progress: Progress = lambda done, steps: None, warn: Warn = lambda text: None
) -> Checkpoint:
    """Train until the schedule's end or the end of the minutes, and return what is on the disk then.

    Raises:
        ConfigError: ``CFG45``: it cannot be trained in this way here.
        SpaceError: ``SPC12``: the space holds a kind of block that has no elastic form.
        SupernetError: ``SUP01``: there is nothing to go on with; ``SUP02``: that was begun otherwise; ``SUP03``: there
            is one already.
        TrainingError: ``TRN01``: the loss became infinite or NaN. ``TRN12``: no such device. ``TRN20``: another process
            is gone.
    """
    _require_ready(request)
    if request.processes == 1 or is_launched():
        with joined(own_device(request.device)) as group:
            return _train(request, group, on_progress, warn)
    with tempfile.TemporaryDirectory(prefix="mnas-meeting-") as folder:
        meeting = f"file://{folder}/store"
        device = own_device(request.device, 0, request.processes)
        with _others(request, meeting), joined(device, 0, request.processes, meeting) as group:
            return _train(request, group, on_progress, warn)


def _require_ready(request: SupernetRequest) -> None:
    """Refuse what cannot work, before other processes start."""
    if request.processes < 1 or not request.minutes > 0:
        value = {"processes": request.processes, "minutes": request.minutes}
        raise ConfigError("CFG45", "nothing would be trained", value=value, why="both are above 0", fix="give more")
    for rank in range(1 if is_launched() else request.processes):
        require_device(own_device(request.device, rank, request.processes))
    Supernet(request.space)
    if request.is_resumed:
        read_checkpoint(request.path)
    elif request.path.exists():
        raise SupernetError(
            "SUP03",
            "there is a supernet already",
            value=str(request.path),
            why="it would be overwritten",
            fix="go on with --resume, or give another --out",
        )


@contextmanager
def _others(request: SupernetRequest, meeting: str) -> Iterator[None]:
    """Start the processes of rank 1 and above; none outlives the block."""
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_serve, args=(request, rank, meeting), daemon=True, name="mnas-supernet")
        for rank in range(1, request.processes)
    ]
    for process in processes:
        process.start()
    try:
        yield
        for process in processes:
            process.join(_END_S)
    finally:
        for process in processes:
            process.kill()
            process.join()
            process.close()


def _serve(request: SupernetRequest, rank: int, meeting: str) -> None:
    """Be one of the other processes. Ctrl-C reaches the first one, whose end closes the connection and ends this.

    What is wrong with the request or the training is wrong in the first process as well, which says so once for all.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    device = own_device(request.device, rank, request.processes)
    with suppress(MnasError), joined(device, rank, request.processes, meeting) as group:
        _train(request, group, lambda done, steps: None, lambda text: None)


def _train(request: SupernetRequest, group: Group, on_progress: Progress, warn: Warn) -> Checkpoint:
    dataset = open_dataset(request.dataset_name, Path(request.dataset_folder) if request.dataset_folder else None)
    if dataset.left_out and group.rank == 0:
        warn(dataset.left_out)
    description = Description(
        request.space.definition, dataset.name, dataset.fingerprint, request.schedule, request.seed, group.size
    )
    stored = read_checkpoint(request.path) if request.is_resumed else None
    if stored is not None:
        require_same(stored.description, description)
    with reproducible():
        device = own_device(request.device, group.rank, group.size)
        trainer = SupernetTrainer(description, dataset, group, device, stored)
        keeper = _Keeper(trainer, request, group, on_progress, warn)
        trainer.run(keeper.is_over, keeper.on_step)
    return keeper.keep()


class _Keeper:
    """Saves now and then, and watches time and memory."""

    def __init__(
        self, trainer: SupernetTrainer, request: SupernetRequest, group: Group, on_progress: Progress, warn: Warn
    ) -> None:
        self._trainer, self._path, self._is_first = trainer, request.path, group.rank == 0
        self._on_progress, self._warn, self._parts = on_progress, warn, 1
        self._saved_at = time.monotonic()
        self._end = self._saved_at + 60 * request.minutes
        if self._is_first:
            remove_unfinished(self._path)

    def is_over(self) -> bool:
        """Return whether the minutes are."""
        return time.monotonic() > self._end

    def on_step(self) -> None:
        """Save when it is time to, and tell of the progress."""
        if not self._is_first:
            return
        self._on_progress(self._trainer.step, self._trainer.steps)
        if self._trainer.batch_parts > self._parts:
            self._parts = self._trainer.batch_parts
            self._warn(f"memory is too small for whole batches: they are computed in {self._parts} parts")
        if time.monotonic() - self._saved_at > SAVE_PERIOD_S:
            self.keep()

    def keep(self) -> Checkpoint:
        """Save in the first process, and return what there is."""
        checkpoint = self._trainer.checkpoint()
        if self._is_first:
            checkpoint.save(self._path)
        self._saved_at = time.monotonic()
        return checkpoint
