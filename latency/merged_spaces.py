"""The spaces of tables that are merged: presets and users' own, at the resolutions of one table or of all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from latency.coverage import own_space
from latency.importers.yaml_table import resolutions_px
from latency.table import LatencyTable
from mnas.errors import SpaceError
from mnas.space import SearchSpace
from mnas.spaces.definition import SpaceDefinition
from mnas.spaces.presets import open_space, with_resolutions
from mnas.spaces.staged import StagedSpace
from mnas.spaces.toml_file import definition_to_json


class MergedSpaces:
    """Opens the spaces of tables by name.

    A user's own space is known by the definition that its tables carry. Definitions of one name must agree in all but
    their resolutions; otherwise they are two spaces, and neither is known here.

    Args:
        tables: That are merged.
    """

    def __init__(self, tables: Sequence[LatencyTable]) -> None:
        self._sides = {px for table in tables for px in resolutions_px(table)}
        self._names = tuple(dict.fromkeys(name for table in tables for name in names_of(table)))
        self._own = _definitions(tables)

    def of(self, table: LatencyTable, name: str) -> SearchSpace | None:
        """Return a space at the resolutions of one table; ``None`` where it is not known."""
        return self._open(name, resolutions_px(table))

    def merged(self, name: str) -> SearchSpace | None:
        """Return a space at the resolutions of all tables; ``None`` where it is not known."""
        return self._open(name, self._sides)

    def all(self) -> list[SearchSpace]:
        """Return each that is known, at the resolutions of all tables."""
        return [space for name in self._names if (space := self.merged(name))]

    def setting(self) -> dict[str, Any]:
        """Return the setting by which the merged table carries a user's own space, where it is of that space alone."""
        own = self._own.get(self._names[0]) if len(self._names) == 1 else None
        return {"space_definition": definition_to_json(own)} if own else {}

    def _open(self, name: str, sides: Iterable[int]) -> SearchSpace | None:
        own = self._own.get(name)
        if own is not None:
            kept = tuple(px for px in own.resolutions_px if px in set(sides))
            return StagedSpace(with_resolutions(own, kept)) if kept else None
        known = tuple(px for px in sorted(sides) if _preset(name, px))
        return _preset(name, *known) if known else None


def names_of(table: LatencyTable) -> list[str]:
    """Return the names of a table's spaces; a merged table may have several."""
    return table.space.split(" + ")


def _preset(name: str, *px: int) -> SearchSpace | None:
    family, _, preset = name.partition("/")
    try:
        return open_space(family, preset, px)
    except SpaceError:
        return None


def _definitions(tables: Sequence[LatencyTable]) -> dict[str, SpaceDefinition]:
    """Return each user's own space with the resolutions of all tables that carry it, unless they contradict."""
    carried: dict[str, list[SpaceDefinition]] = {}
    for table in tables:
        if space := own_space(table):
            carried.setdefault(space.name, []).append(space.definition)
    found = {}
    for name, definitions in carried.items():
        px = tuple(sorted({one for definition in definitions for one in definition.resolutions_px}))
        joined = [definition.model_copy(update={"resolutions_px": px}) for definition in definitions]
        if all(one == joined[0] for one in joined):
            found[name] = joined[0]
    return found
