"""From what was asked for to a configuration that a study can begin with."""

from __future__ import annotations

from pathlib import Path

from mnas.config import StudyConfig
from mnas.errors import ConfigError, DataError
from mnas.objectives import is_reward
from search.accuracy.registry import open_accuracy, require_accuracy
from search.accuracy.setting import setting_of
from search.algorithms.registry import require_algorithm
from search.combination import Combination
from search.context import Reporter
from search.data.registry import DataShape, open_dataset
from search.executors.executor import Executor, InProcessExecutor
from search.fitting import AUTO, fitting_space
from search.study_device import require_study_device


def resolve(config: StudyConfig, reporter: Reporter, executor: Executor | None = None) -> StudyConfig:
    """Replace every ``auto`` and check what can be checked before a study is begun.

    Args:
        config: As asked for.
        reporter: Is told what takes whose place.
        executor: Of the study; without one all devices are of this machine.

    Raises:
        ConfigError: ``CFG06``: the preset's networks do not fit the data; ``CFG08``: a foreign table is allowed and
            none is named; ``CFG09``: no such algorithm; ``CFG13``: a device without int8; ``CFG23``, ``CFG44``: an
            algorithm for other objectives; ``CFG43``: weights of the devices; or not a device spec. ``CFG50`` to
            ``CFG53``: the accuracy estimator cannot be opened.
        DataError: The data set is not to be had, or damaged.
        DeviceError: The device cannot be opened.
        SpaceError: No such space or preset, or its file is wrong.
        SupernetError: ``SUP01``, ``SUP05``, ``SUP06``: a supernet cannot be read, or is of other data or another space.
    """
    _require_named_table(config)
    require_algorithm(config.algorithm)
    require_accuracy(config.accuracy, config.accuracy_cmd)
    _require_suited(config)
    Combination.of(config.combine, config.weights, len(config.devices))
    for spec in config.devices:
        require_study_device(spec, config.dtype, executor or InProcessExecutor())
    folder = Path(config.data_dir) if config.data_dir else None
    try:
        dataset = open_dataset("fashion" if config.data == AUTO else config.data, folder)
    except DataError as failure:
        if config.data != AUTO or folder is not None or failure.code != "DAT01":
            raise
        reporter.warn(f"Fashion-MNIST cannot be had, so the embedded digits take its place: {failure}")
        dataset = open_dataset("digits")
    data = dataset.name if config.data == AUTO else config.data
    preset, network = fitting_space(config.space, config.preset, data, DataShape.of(dataset))
    resolved = config.model_copy(update={"data": data, "preset": preset})
    open_accuracy(config.accuracy, setting_of(resolved, network, dataset))
    return resolved


def _require_suited(config: StudyConfig) -> None:
    """Refuse an algorithm that takes other objectives, before anything is built or trained."""
    if config.algorithm == "surrogate" and len(config.sought) != 2:
        raise ConfigError(
            "CFG23",
            "the surrogate-assisted search takes two objectives",
            value=config.objectives,
            why="its expected improvement is of an error over one cheap objective",
            fix="search with nsga3 or nsga2, or leave an objective out",
        )
    if config.algorithm in ("ppo", "reinforce") and not is_reward(config.sought):
        raise ConfigError(
            "CFG44",
            "a search for the greatest reward takes error and latency",
            value=config.objectives,
            why="the reward is ACC x (LAT/T)^w",
            fix="leave the other objectives out, or search with nsga3",
        )


def _require_named_table(config: StudyConfig) -> None:
    """Refuse a foreign table that is allowed where none is named, or where others stand beside it."""
    if config.allow_foreign_lut and not config.lut:
        raise ConfigError(
            "CFG08",
            "a foreign latency table is allowed and none is named",
            value="allow_foreign_lut without lut",
            why="a table that is built now is of this device",
            fix="name the table with --lut, or leave --allow-foreign-lut out",
        )
    if config.allow_foreign_lut and config.other_devices:
        raise ConfigError(
            "CFG08",
            "a foreign latency table is allowed for several devices",
            value=", ".join(config.devices),
            why="what is foreign is marked for one table alone",
            fix="search for one device, or build each device's own table",
        )
