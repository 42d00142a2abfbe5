"""The space whose networks fit a data set: a preset by its name, the best one, or a user's own."""

from __future__ import annotations

from mnas.errors import ConfigError
from mnas.spaces.presets import chosen_space, fitted_preset
from mnas.spaces.staged import StagedSpace
from mnas.spaces.toml_file import is_space_file
from search.data.registry import DataShape

AUTO = "auto"


def fitting_space(space: str, preset: str, data: str, shape: DataShape) -> tuple[str, StagedSpace]:
    """Return the preset that is meant, "" for a space of a file, and the space.

    Args:
        space: Family, or the path of a ``.toml`` file.
        preset: Of the family; `AUTO` takes the one that fits the data best.
        data: As `search.data.registry` knows it.
        shape: Of the data.

    Raises:
        ConfigError: ``CFG06``: the space's networks do not fit the data.
        SpaceError: No such space or preset, or its file is wrong.
    """
    fitted = fitted_preset(space, data, shape.channels, shape.classes, shape.px)
    if preset == AUTO:
        preset = "" if is_space_file(space) else fitted
    network = chosen_space(space, preset)
    smallest = network.decode(network.extremes()[0])
    if (smallest.input_shape_chw[0], smallest.classes) != (shape.channels, shape.classes):
        raise ConfigError(
            "CFG06",
            f"the networks of {network.name} do not fit the data {data}",
            value=f"{smallest.input_shape_chw[0]} channels and {smallest.classes} classes, data has "
            f"{shape.channels} and {shape.classes}",
            why="not one of them could be trained",
            fix=f"use --preset {fitted}"
            if preset
            else f"set in_channels = {shape.channels} and classes = {shape.classes} in the file of the space",
        )
    return preset, network
