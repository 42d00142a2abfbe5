"""What estimates of accuracy take, told before any is made."""

from __future__ import annotations

from dataclasses import dataclass

from mnas.config import StudyConfig
from search.accuracy.proxy_schedule import schedule_of
from search.training.schedule import TrainingSchedule

_FORWARD_ALONE = 1 / 3
"""Of the cost of training on an image: the backward pass takes about twice the forward one."""


@dataclass(frozen=True, slots=True)
class PlannedWork:
    """What is done for one candidate.

    Attributes:
        text: In words.
        images: Training images that it costs as much as, the mean over a generation; None where there is no telling.
        fidelity: Of the longest training; "" where nothing is trained.
    """

    text: str
    images: float | None
    fidelity: str = ""


def seen_images(schedule: TrainingSchedule, train_size: int) -> int:
    """Return how many images a training sees, each as often as it does.

    Args:
        schedule: How.
        train_size: Images of the training split.
    """
    return min(schedule.train_images or train_size, train_size) * schedule.epochs


def planned_work(config: StudyConfig, train_size: int) -> PlannedWork:
    """Return what the estimator of a configuration does for a candidate; nothing is opened.

    Args:
        config: Resolved.
        train_size: Images of the training split.

    Raises:
        ConfigError: ``CFG50``: too many rungs of halving for the images.
    """
    proxy = schedule_of(config, "proxy", train_size)
    images, kind = seen_images(proxy, train_size), config.accuracy.partition(":")[0]
    if kind == "proxy":
        return PlannedWork(f"trained with {proxy.fidelity}", images, proxy.fidelity)
    if kind == "curves":
        return PlannedWork(
            f"trained with {proxy.fidelity} at most, stopped where that is enough", images, proxy.fidelity
        )
    if kind in ("halving", "halving-async"):
        return _halving(config, proxy, train_size)
    if kind == "zero-cost":
        from search.accuracy.score_estimator import BATCH, REFERENCES

        return PlannedWork(f"scored untrained on {BATCH} images, once beside {REFERENCES} random networks", BATCH)
    if kind == "supernet":
        from search.supernet.estimator import EVAL_IMAGES
        from search.supernet.network import CALIBRATION_BATCH

        text = f"evaluated with inherited weights on {EVAL_IMAGES:,} images, norms calibrated on {CALIBRATION_BATCH}"
        return PlannedWork(text, _FORWARD_ALONE * (EVAL_IMAGES + CALIBRATION_BATCH))
    return PlannedWork(f"by {config.accuracy}: what that takes is not estimated", None)


def _halving(config: StudyConfig, proxy: TrainingSchedule, train_size: int) -> PlannedWork:
    from search.accuracy.halving import rungs_of
    from search.accuracy.proxy import ProxyTraining
    from search.accuracy.registry import HALVING_ETA, HALVING_RUNGS

    full = ProxyTraining(config.data, config.data_dir or None, proxy, config.seed)
    schedules = [one.schedule for one in rungs_of(full, HALVING_ETA, HALVING_RUNGS, train_size)]
    counts = [config.population]
    while len(counts) < len(schedules):
        counts.append(max(1, counts[-1] // HALVING_ETA))
    parts = [f"{count} with {one.fidelity}" for count, one in zip(counts, schedules, strict=True)]
    images = sum(count * seen_images(one, train_size) for count, one in zip(counts, schedules, strict=True))
    text = f"trained, of {config.population}: {', then '.join(parts)}"
    return PlannedWork(text, images / config.population, proxy.fidelity)
