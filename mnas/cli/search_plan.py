"""What ``mnas search`` would do: counts and rough minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mnas.cli.output import Result

if TYPE_CHECKING:
    from mnas.config import StudyConfig
    from mnas.space import SearchSpace

_MS_PER_IMAGE, _MS_PER_IMAGE_AND_MMAC = 0.08, 0.2
"""Training on one core of a 2025 server CPU, evaluation included; other machines differ by their speed."""


def plan_result(given: dict[str, Any], workers: int) -> Result:
    """Work out what a search would do; nothing is decoded, fetched or measured."""
    from latency.on_device import lut_settings
    from latency.plan import LutPlan
    from mnas.config import make_config
    from search.data.registry import data_shape
    from search.fitting import fitting_space

    asked = make_config(given)
    data = "fashion" if asked.data == "auto" else asked.data
    preset, space = fitting_space(asked.space, asked.preset, data, data_shape(data))
    config = asked.model_copy(update={"data": data, "preset": preset})
    luts = {}
    for spec in config.devices:
        settings = lut_settings(config.lut_mode, config.lut_rounds, config.lut_calibration, config.lut_validation, spec)
        luts[spec] = LutPlan(space, settings, config.dtype).counts()
    counts, training = luts[config.device], _training_plan(config, space, workers)
    document = {"config": config.model_dump(), "space_size": str(space.size()), "lut": counts, **training}
    rows: list[list[object]] = [["networks in the space", f"{space.size():.3g}"]]
    rows += [[f"latency table: {name.replace('_', ' ')}", value] for name, value in counts.items()]
    rows += [[f"training: {name.replace('_', ' ')}", value] for name, value in training.items()]
    if config.other_devices:
        document["luts"] = luts
        rows.append(["latency tables", f"{len(luts)}, one for each device; the counts are of {config.device}"])
    return Result(("what", "value"), rows, document, title=f"plan of a search on {' and '.join(config.devices)}")


def _search_minutes(config: StudyConfig) -> float:
    """Return the minutes that the search may use where its budget is time alone."""
    limits = config.limits
    return (limits.time_s or 0.0) / 60 if limits.evaluations is None else 0.0


def _training_plan(config: StudyConfig, space: SearchSpace, workers: int) -> dict[str, Any]:
    """Return counts and rough minutes of training, for networks of the space's mean size."""
    import numpy as np

    from mnas.counts import total_macs
    from mnas.layers import layers_of
    from search.accuracy.proxy_schedule import schedule_of
    from search.accuracy.registry import require_accuracy
    from search.accuracy.work import planned_work, seen_images
    from search.data.registry import train_images

    require_accuracy(config.accuracy, config.accuracy_cmd)
    size = train_images(config.data)
    final, work = schedule_of(config, "final", size), planned_work(config, size)
    rng = np.random.default_rng(0)
    mmacs = np.mean([total_macs(layers_of(space.decode(space.draw(rng)))) for _ in range(50)]) / 1e6
    trainings = config.finalists * config.finalist_seeds
    candidates = config.limits.evaluations
    images = (candidates or 0) * (work.images or 0) + trainings * seen_images(final, size)
    ms = images * (_MS_PER_IMAGE + _MS_PER_IMAGE_AND_MMAC * mmacs)
    is_told = candidates is None or work.images is not None
    return {
        "candidates": candidates if candidates is not None else f"as many as fit into {config.budget}",
        "accuracy": work.text,
        "schedule": work.fidelity or None,
        "finalist_trainings": trainings,
        "final_schedule": final.fidelity,
        "estimated_minutes": round(float(ms) / 60_000 / workers + _search_minutes(config), 1),
        "estimated_of": "candidates and finalists" if is_told else "finalists alone",
    }
