"""The schedules of a study: its own, and for proxy training one made cheaper or longer."""

from __future__ import annotations

from dataclasses import replace

from mnas.config import StudyConfig
from search.training.schedule import TrainingSchedule, schedule_for

PRESET_EPOCHS = {"": 0, "mnasnet5": 5}
"""Preset -> epochs. Source of mnasnet5: Tan et al., MnasNet (arXiv 1807.11626), section 5: 5 epochs a sampled model."""


def schedule_of(config: StudyConfig, purpose: str, train_size: int) -> TrainingSchedule:
    """Return the training schedule of a study.

    Args:
        config: The study's, with its data resolved.
        purpose: ``proxy`` or ``final``.
        train_size: As for `with_fidelities`.

    Raises:
        ConfigError: ``CFG01``: there is none for the data.
    """
    found = schedule_for(config.data, purpose, is_small=config.training == "small")
    return with_fidelities(found, config, train_size) if purpose == "proxy" else found


def with_fidelities(schedule: TrainingSchedule, config: StudyConfig, train_size: int) -> TrainingSchedule:
    """Return a schedule with the epochs, images, resolution and width that a configuration asks for.

    A configuration that asks for nothing leaves it as it is, and so its fidelity and every seed.

    Args:
        schedule: Of proxy training.
        config: The study's.
        train_size: Images of the training split, for a fraction of a schedule that takes all.
    """
    epochs = config.proxy_epochs or PRESET_EPOCHS[config.proxy_preset] or schedule.epochs
    images = schedule.train_images
    if config.proxy_fraction < 1:
        images = max(1, round((images or train_size) * config.proxy_fraction))
    return replace(
        schedule,
        epochs=epochs,
        train_images=images,
        resolution_px=config.proxy_resolution or schedule.resolution_px,
        width=schedule.width * config.proxy_width,
    )
