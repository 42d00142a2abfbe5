"""Accuracy estimators by name: those that come with the tool, and those of other packages."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from mnas.errors import ConfigError
from search.accuracy.estimator import AccuracyEstimator
from search.accuracy.setting import AccuracySetting

ENTRY_POINT_GROUP = "mnas.accuracy"
Factory = Callable[[AccuracySetting, str], AccuracyEstimator]
"""Takes the setting and what stands behind the colon of the name."""

HALVING_ETA, HALVING_RUNGS = 3, 3
_SUPERNET = "search.supernet.estimator"


def _proxy(setting: AccuracySetting, argument: str) -> AccuracyEstimator:
    from search.accuracy.proxy import ProxyTraining

    words = setting.dataset_name, setting.dataset_folder, setting.schedule, setting.study_seed
    return ProxyTraining(*words, fingerprint=setting.fingerprint)


def _halving(setting: AccuracySetting, argument: str) -> AccuracyEstimator:
    from search.accuracy.halving import SuccessiveHalving, rungs_of
    from search.accuracy.proxy import ProxyTraining

    proxy = cast(ProxyTraining, _proxy(setting, ""))
    return SuccessiveHalving(rungs_of(proxy, HALVING_ETA, HALVING_RUNGS, setting.train_size), HALVING_ETA)


def _async_halving(setting: AccuracySetting, argument: str) -> AccuracyEstimator:
    from search.accuracy.async_halving import AsyncHalving

    halving: Any = _halving(setting, argument)
    return AsyncHalving(halving.rungs, halving.eta)


def _curves(setting: AccuracySetting, argument: str) -> AccuracyEstimator:
    from search.accuracy.curve_stopping import CurveStopping
    from search.accuracy.proxy import ProxyTraining

    return CurveStopping(cast(ProxyTraining, _proxy(setting, "")))


def _zero_cost(setting: AccuracySetting, argument: str) -> AccuracyEstimator:
    from search.accuracy.score_estimator import ScoreEstimator

    words = setting.space, setting.dataset_name, setting.dataset_folder, setting.study_seed
    return ScoreEstimator(argument, *words, setting.fingerprint)


def _command(setting: AccuracySetting, argument: str) -> AccuracyEstimator:
    from search.accuracy.command import CommandEstimator

    return CommandEstimator(setting.command, setting.study_seed, setting.timeout_s)


def _supernet(setting: AccuracySetting, argument: str) -> AccuracyEstimator:
    opener: Any = import_module(_SUPERNET).open_supernet_estimator
    return cast(AccuracyEstimator, opener(Path(argument), setting))


_BUILT_IN: dict[str, tuple[Factory, str]] = {
    "proxy": (_proxy, ""),
    "halving": (_halving, ""),
    "halving-async": (_async_halving, ""),
    "curves": (_curves, ""),
    "zero-cost": (_zero_cost, "NAME"),
    "command": (_command, ""),
    "supernet": (_supernet, "PATH"),
}
"""Name -> factory, and what must stand behind its colon."""


def accuracy_names() -> tuple[str, ...]:
    """Return the names of all estimators: the tool's own, then those of installed packages."""
    others = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    return (*_BUILT_IN, *sorted(others - set(_BUILT_IN)))


def require_accuracy(name: str, command: str = "") -> None:
    """Check that there is an estimator of a name and that what it needs is there, without opening it.

    Args:
        name: E.g. ``proxy`` or ``zero-cost:synflow``.
        command: The user's trainer, for ``command``.

    Raises:
        ConfigError: ``CFG51`` the command cannot be used; ``CFG52`` there is no such estimator; ``CFG53`` what stands
            behind its colon is not there.
    """
    kind, _, argument = name.partition(":")
    if kind not in accuracy_names():
        raise ConfigError(
            "CFG52",
            "there is no such accuracy estimator",
            value=name,
            why=f"known are {', '.join(_written(one) for one in accuracy_names())}",
            fix=f"use one of them, or install a package with an entry point in the group {ENTRY_POINT_GROUP}",
        )
    if kind in _BUILT_IN and bool(argument) != bool(_BUILT_IN[kind][1]):
        raise _bad_argument(name, f"it is written {_written(kind)}")
    if kind == "zero-cost":
        _require_score(name, argument)
    elif kind == "supernet" and not Path(argument).exists():
        raise _bad_argument(name, f"there is no {argument}")
    elif kind == "command":
        from search.accuracy.command import CommandEstimator

        CommandEstimator(command, 0).require_command()


def open_accuracy(name: str, setting: AccuracySetting) -> AccuracyEstimator:
    """Return an estimator.

    Those of other packages are looked up in the entry-point group ``mnas.accuracy``: a callable that takes the
    `AccuracySetting` and what stands behind the colon, and returns an `AccuracyEstimator`. A name of the tool's own
    cannot be taken over.

    Args:
        name: E.g. ``proxy`` or ``zero-cost:synflow``.
        setting: What it is made from.

    Raises:
        ConfigError: As `require_accuracy`; or the estimator itself refuses the setting.
    """
    require_accuracy(name, setting.command)
    kind, _, argument = name.partition(":")
    if kind in _BUILT_IN:
        return _BUILT_IN[kind][0](setting, argument)
    (point, *_) = entry_points(group=ENTRY_POINT_GROUP, name=kind)
    return cast(Factory, point.load())(setting, argument)


def _written(kind: str) -> str:
    argument = _BUILT_IN[kind][1] if kind in _BUILT_IN else ""
    return f"{kind}:{argument}" if argument else kind


def _require_score(name: str, argument: str) -> None:
    from search.accuracy.zero_cost import SCORES

    if argument not in SCORES:
        raise _bad_argument(name, f"known scores are {', '.join(SCORES)}")


def _bad_argument(name: str, why: str) -> ConfigError:
    return ConfigError("CFG53", "the accuracy estimator cannot be opened", value=name, why=why, fix="correct its name")
