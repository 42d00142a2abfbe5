"""What an accuracy estimator is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mnas.config import StudyConfig
from mnas.space import SearchSpace
from search.accuracy.proxy_schedule import schedule_of
from search.data.dataset import Dataset
from search.training.schedule import TrainingSchedule

if TYPE_CHECKING:
    from search.context import StudyContext


@dataclass(frozen=True, slots=True)
class AccuracySetting:
    """All that a factory of estimators is told.

    Attributes:
        space: The search space.
        dataset_name: As `search.data.registry` knows it.
        dataset_folder: Where its files lie; None for the usual places.
        train_size: Images of the training split.
        schedule: Of proxy training.
        study_seed: The study's seed.
        command: The user's trainer, or "".
        timeout_s: Seconds for one call of it.
        fingerprint: Of the data.
    """

    space: SearchSpace
    dataset_name: str
    dataset_folder: str | None
    train_size: int
    schedule: TrainingSchedule
    study_seed: int
    command: str = ""
    timeout_s: float = 3600.0
    fingerprint: str = ""


def accuracy_setting(context: StudyContext) -> AccuracySetting:
    """Return what a study's estimator is made from."""
    return setting_of(context.config, context.space, context.dataset)


def setting_of(config: StudyConfig, space: SearchSpace, dataset: Dataset) -> AccuracySetting:
    """Return what an estimator is made from.

    Args:
        config: Resolved.
        space: The search space.
        dataset: The configuration's data.
    """
    return AccuracySetting(
        space=space,
        dataset_name=config.data,
        dataset_folder=config.data_dir or None,
        train_size=dataset.size("train"),
        schedule=schedule_of(config, "proxy", dataset.size("train")),
        study_seed=config.seed,
        fingerprint=dataset.fingerprint,
        command=config.accuracy_cmd,
        timeout_s=config.accuracy_timeout,
    )
