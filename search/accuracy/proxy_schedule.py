"""The schedule of proxy training as a study wants it: its own, or one made cheaper or longer."""

from __future__ import annotations

from dataclasses import replace

from mnas.config import StudyConfig
from search.training.schedule import TrainingSchedule

PRESET_EPOCHS = {"": 0, "mnasnet5": 5}
"""Preset -> epochs. Source of mnasnet5: Tan et al., MnasNet (arXiv 1807.11626), section 5: 5 epochs a sampled model."""


def with_fidelities(schedule: TrainingSchedule, config: StudyConfig, train_size: int) -> TrainingSchedule:
    """Return a schedule with the epochs, images, resolution and width that a configuration asks for.

    A configuration that asks for nothing leaves it as it is, and so its fidelity and every seed.

    Args:
        schedule: Of proxy training.
        config: The study's.
        train_size: Images of the training split, for a fraction of a schedule that takes all; 0 where not known.
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
