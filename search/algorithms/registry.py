"""Search algorithms by name: those that come with the tool, and those of other packages."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from operator import attrgetter
from typing import cast

from mnas.errors import ConfigError
from search.algorithms.algorithm import Algorithm
from search.algorithms.setting import SearchSetting

ENTRY_POINT_GROUP = "mnas.algorithms"
Factory = Callable[[SearchSetting], Algorithm]

# Name -> where its factory is; imported only when it is asked for.
_BUILT_IN = {
    "nsga2": "search.algorithms.nsga2:from_setting",
    "nsga3": "search.algorithms.nsga3:from_setting",
    "evolution": "search.algorithms.evolution:from_setting",
    "local": "search.algorithms.local_search:from_setting",
    "surrogate": "search.algorithms.surrogate:from_setting",
    "ppo": "search.algorithms.ppo:ppo_from_setting",
    "reinforce": "search.algorithms.ppo:reinforce_from_setting",
    "random": "search.algorithms.random_search:from_setting",
}


def algorithm_names() -> tuple[str, ...]:
    """Return the names of all algorithms: the tool's own, then those of installed packages."""
    others = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    return (*_BUILT_IN, *sorted(others - set(_BUILT_IN)))


def require_algorithm(name: str) -> None:
    """Check that there is an algorithm of a name, without importing it.

    Raises:
        ConfigError: ``CFG09``: there is none.
    """
    if name not in algorithm_names():
        raise ConfigError(
            "CFG09",
            "there is no such search algorithm",
            value=name,
            why=f"known are {', '.join(algorithm_names())}",
            fix=f"use one of them, or install a package with an entry point in the group {ENTRY_POINT_GROUP}",
        )


def open_algorithm(name: str, setting: SearchSetting) -> Algorithm:
    """Return an algorithm at its start.

    Those of other packages are looked up in the entry-point group ``mnas.algorithms``: a callable that takes the
    `SearchSetting` and returns an `Algorithm`. A name of the tool's own cannot be taken over.

    Args:
        name: One of `algorithm_names`.
        setting: What it is made from.

    Raises:
        ConfigError: ``CFG09`` there is none of this name; or the algorithm itself refuses the setting.
    """
    require_algorithm(name)
    module, _, attribute = _place(name).partition(":")
    return cast(Factory, attrgetter(attribute)(import_module(module)))(setting)


def algorithm_module(name: str) -> str:
    """Return the module of an algorithm's factory, without importing it.

    Raises:
        ConfigError: ``CFG09``: there is no such algorithm.
    """
    require_algorithm(name)
    return _place(name).partition(":")[0]


def _place(name: str) -> str:
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    (point, *_) = entry_points(group=ENTRY_POINT_GROUP, name=name)
    return point.value.partition("[")[0].strip()
