"""From what was asked for to a configuration that a study can begin with."""

from __future__ import annotations

from pathlib import Path

from latency.on_device import require_device
from mnas.config import StudyConfig
from mnas.errors import ConfigError, DataError
from mnas.spaces.presets import chosen_space
from search.accuracy.registry import require_accuracy
from search.algorithms.registry import require_algorithm
from search.context import Reporter
from search.data.registry import open_dataset


def resolve(config: StudyConfig, reporter: Reporter) -> StudyConfig:
    """Replace every ``auto`` and check what can be checked before a study is begun.

    Raises:
        ConfigError: ``CFG06``: the preset's networks do not fit the data; ``CFG08``: a foreign table is allowed and
            none is named; ``CFG09``: no such algorithm; or not a device spec.
        DataError: The data set is not to be had, or damaged.
        DeviceError: The device cannot be opened.
        SpaceError: No such space or preset, or its file is wrong.
    """
    if config.allow_foreign_lut and not config.lut:
        raise ConfigError(
            "CFG08",
            "a foreign latency table is allowed and none is named",
            value="allow_foreign_lut without lut",
            why="a table that is built now is of this device",
            fix="name the table with --lut, or leave --allow-foreign-lut out",
        )
    require_algorithm(config.algorithm)
    require_accuracy(config.accuracy, config.accuracy_cmd)
    require_device(config.device)
    folder = Path(config.data_dir) if config.data_dir else None
    try:
        dataset = open_dataset("fashion" if config.data == "auto" else config.data, folder)
    except DataError as failure:
        if config.data != "auto" or folder is not None or failure.code != "DAT01":
            raise
        reporter.warn(f"Fashion-MNIST cannot be had, so the embedded digits take its place: {failure}")
        dataset = open_dataset("digits")
    preset = config.preset_for(dataset.name)
    network = chosen_space(config.space, preset)
    smallest = network.decode(network.extremes()[0])
    if (smallest.input_shape_chw[0], smallest.classes) != (dataset.channels, dataset.classes):
        raise ConfigError(
            "CFG06",
            f"the networks of {network.name} do not fit the data {dataset.name}",
            value=f"{smallest.input_shape_chw[0]} channels and {smallest.classes} classes, data has "
            f"{dataset.channels} and {dataset.classes}",
            why="not one of them could be trained",
            fix=f"use --preset {dataset.name}" if preset else "set in_channels and classes in the file of the space",
        )
    return config.model_copy(update={"data": dataset.name, "preset": preset})
