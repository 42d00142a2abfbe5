"""What every stage of a study works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mnas.architecture import Architecture
from mnas.config import StudyConfig
from mnas.space import Genome, SearchSpace
from mnas.store import Store
from search.accuracy.proxy_schedule import schedule_of
from search.data.dataset import Dataset
from search.events import EventLog
from search.executors.executor import Executor
from search.training.schedule import TrainingSchedule


class Reporter(Protocol):
    """Tells a person how a study gets on."""

    def line(self, text: str) -> None:
        """Say something once."""

    def warn(self, text: str) -> None:
        """Say something that a person must not miss."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Say how much of something is done."""


@dataclass(frozen=True)
class StudyContext:
    """A running study.

    Attributes:
        study_id: Its id.
        config: Resolved: nothing is ``auto``.
        store: Open.
        log: Its events.
        space: Its space.
        dataset: Its data.
        executor: Where networks are trained.
        out: The output folder.
        reporter: Who is told.
    """

    study_id: str
    config: StudyConfig
    store: Store
    log: EventLog
    space: SearchSpace
    dataset: Dataset
    executor: Executor
    out: Path
    reporter: Reporter

    @property
    def exports(self) -> Path:
        """Folder of all exports."""
        return self.out / "exports"

    @property
    def work(self) -> Path:
        """Folder of this study's unfinished things; it goes when the study is finished."""
        return self.out / "work" / self.study_id

    def schedule(self, purpose: str) -> TrainingSchedule:
        """Return the training schedule for ``proxy`` or ``final``."""
        return schedule_of(self.config, purpose, self.dataset.size("train"))

    def architecture(self, genome: Genome) -> Architecture:
        """Return the architecture of a genome."""
        return self.space.decode(genome)
