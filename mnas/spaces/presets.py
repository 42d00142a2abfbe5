"""Search spaces by name, each in presets that are fitted to a data set."""

from __future__ import annotations

from collections.abc import Iterable
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


def open_space(family: str, preset: str, resolutions_px: tuple[int, ...] = ()) -> StagedSpace:
    """Return a search space by name.

    Args:
        family: One of `FAMILIES`.
        preset: ``fashion``, ``digits`` or ``imagenet``; ``fashion-wide`` of mobilenetv3.
        resolutions_px: Keep only these of the preset's resolutions; all of them when empty.

    Raises:
        SpaceError: ``SPC01``: no such family, preset or resolution.
    """
    if family not in FAMILIES:
        raise _unknown("no such search space", family, [*FAMILIES, "a .toml file"])
    presets = FAMILIES[family]
    if preset not in presets:
        raise _unknown(f"{family} has no such preset", preset, presets)
    return StagedSpace(with_resolutions(presets[preset], resolutions_px))


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
