"""What an accuracy estimator is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mnas.space import SearchSpace
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
    """

    space: SearchSpace
    dataset_name: str
    dataset_folder: str | None
    train_size: int
    schedule: TrainingSchedule
    study_seed: int
    command: str = ""
    timeout_s: float = 3600.0


def accuracy_setting(context: StudyContext) -> AccuracySetting:
    """Return what a study's estimator is made from."""
    config = context.config
    return AccuracySetting(
        space=context.space,
        dataset_name=config.data,
        dataset_folder=config.data_dir or None,
        train_size=context.dataset.size("train"),
        schedule=context.schedule("proxy"),
        study_seed=config.seed,
        command=config.accuracy_cmd,
        timeout_s=config.accuracy_timeout,
    )
