"""Search spaces by name, each in presets that are fitted to a data set."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from mnas.errors import SpaceError
from mnas.spaces import lightweight, mnasnet, mobilenetv3, proxylessnas
from mnas.spaces.definition import SpaceDefinition
from mnas.spaces.staged import StagedSpace
from mnas.spaces.toml_file import is_space_file, read_space

FAMILIES: dict[str, dict[str, SpaceDefinition]] = {
    "mobilenetv3": mobilenetv3.PRESETS,
    "mnasnet": mnasnet.PRESETS,
    "proxylessnas": proxylessnas.PRESETS,
    "lightweight": lightweight.PRESETS,
}

_FITTED = re.compile(r"(?P<preset>[a-z0-9-]+)-(?P<channels>[13])x(?P<classes>[1-9][0-9]{0,4})$")


def open_space(family: str, preset: str, resolutions_px: tuple[int, ...] = ()) -> StagedSpace:
    """Return a search space by name.

    Args:
        family: One of `FAMILIES`.
        preset: ``fashion``, ``digits``, ``cifar10`` or ``imagenet``, as they are or with other channels and classes:
            ``cifar10-3x37`` is for RGB images of 37 classes; ``fashion-wide`` of mobilenetv3.
        resolutions_px: Keep only these of the preset's resolutions; all of them when empty.

    Raises:
        SpaceError: ``SPC01``: no such family, preset or resolution.
    """
    if family not in FAMILIES:
        raise _unknown("no such search space", family, [*FAMILIES, "a .toml file"])
    presets = FAMILIES[family]
    definition = presets.get(preset) or _with_other_ends(presets, preset)
    if definition is None:
        raise _unknown(f"{family} has no such preset", preset, presets)
    return StagedSpace(with_resolutions(definition, resolutions_px))


def fitted_preset(family: str, data: str, channels: int, classes: int, px: int) -> str:
    """Return the preset of a family that networks for a data set are best taken from.

    Args:
        family: One of `FAMILIES`; of another the data set's name comes back.
        data: Name of the data set; a preset of the same name is taken as it is.
        channels: Of its images.
        classes: How many it has.
        px: Side of its images; the preset whose largest resolution is nearest is taken.
    """
    presets = FAMILIES.get(family, {})
    if not presets or data in presets:
        return data
    best = min(presets, key=lambda name: abs(math.log(max(presets[name].resolutions_px) / px)))
    fits = (presets[best].in_channels, presets[best].classes) == (channels, classes)
    return best if fits else f"{best}-{channels}x{classes}"


def _with_other_ends(presets: Mapping[str, SpaceDefinition], preset: str) -> SpaceDefinition | None:
    """Return a preset with the channels and classes that its name carries, or None."""
    found = _FITTED.match(preset)
    if found is None or found["preset"] not in presets:
        return None
    definition = presets[found["preset"]]
    ends = {"in_channels": int(found["channels"]), "classes": int(found["classes"])}
    name = f"{definition.name}-{found['channels']}x{found['classes']}"
    return SpaceDefinition.model_validate({**definition.model_dump(), **ends, "name": name})


def chosen_space(space: str, preset: str, resolutions_px: tuple[int, ...] = ()) -> StagedSpace:
    """Return the space that a person named: a family with a preset, or a TOML file of their own.

    Args:
        space: One of `FAMILIES`, or the path of a ``.toml`` file.
        preset: Of a family; "" for a file.
        resolutions_px: Keep only these of its resolutions; all of them when empty.

    Raises:
        SpaceError: ``SPC01``: no such family, preset or resolution, or a preset of a file; ``SPC04``, ``SPC10``,
            ``SPC11``: the file is wrong.
    """
    if not is_space_file(space):
        return open_space(space, preset, resolutions_px)
    if preset:
        raise SpaceError(
            "SPC01", "a space of a file has no presets", value=preset, why=f"{space} is one space", fix="name no preset"
        )
    own = read_space(Path(space))
    return StagedSpace(with_resolutions(own.definition, resolutions_px)) if resolutions_px else own


def with_resolutions(definition: SpaceDefinition, resolutions_px: tuple[int, ...]) -> SpaceDefinition:
    """Return a definition with some of its resolutions; with all of them where none are named.

    Raises:
        SpaceError: ``SPC01``: it has no such resolution.
    """
    if not resolutions_px:
        return definition
    foreign = sorted(set(resolutions_px) - set(definition.resolutions_px))
    if foreign:
        raise SpaceError(
            "SPC01",
            f"{definition.name} has no such resolution",
            value=foreign,
            why=f"known are {definition.resolutions_px} px",
            fix="use some of them",
        )
    kept = tuple(one for one in definition.resolutions_px if one in resolutions_px)
    return definition.model_copy(update={"resolutions_px": kept})


def _unknown(what: str, value: str, known: Iterable[str]) -> SpaceError:
    return SpaceError("SPC01", what, value=value, why=f"known are {', '.join(known)}", fix="use one of them")
