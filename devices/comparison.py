"""Runs set beside each other: which models are the same, and whether their numbers may be compared at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from devices.run import BenchedModel, BenchRun

_NOT_IN_KEY = ("device.soc", "device.os_build", "device.is_simulated")
_Z = 1.959963984540054
"""Half of a 95 % interval in standard deviations of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How often the latency of one model goes into that of another.

    Attributes:
        value: Latency over that in the first run.
        low: Lower end of its 95 % interval, or ``None`` where a latency has none.
        high: Upper end.
    """

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One model in several runs.

    Attributes:
        label: What the first run that holds it calls it.
        models: In each run, ``None`` where it is not in one.
        ratios: To the first run; ``None`` for the first run itself and where a latency is missing.
    """

    label: str
    models: tuple[BenchedModel | None, ...]
    ratios: tuple[Ratio | None, ...]

    @property
    def is_one_file(self) -> bool:
        """Whether the same file was measured in all runs that hold it."""
        return len({model.sha256 for model in self.models if model is not None}) <= 1


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that should be equal in all runs and is not.

    Attributes:
        field: Such as ``device.threads``, ``protocol.quantile``, ``versions.numpy`` or ``nominal.pointwise``.
        values: In each run, ``None`` where it is absent.
    """

    field: str
    values: tuple[Any, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"field": self.field, "values": list(self.values)}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs beside each other.

    Attributes:
        runs: As they were given.
        models: In the first run's order, then those of later runs only.
        differences: Between the runs.
        same_device: Whether each run's device key is that of the first.
    """

    runs: tuple[BenchRun, ...]
    models: tuple[ComparedModel, ...]
    differences: tuple[Difference, ...]
    same_device: tuple[bool, ...]

    @property
    def key_fields(self) -> tuple[str, ...]:
        """Fields of the device key that differ."""
        fields = [one.field for one in self.differences]
        return tuple(field for field in fields if field.startswith("device.") and field not in _NOT_IN_KEY)


def compare_runs(runs: Sequence[BenchRun]) -> Comparison:
    """Set runs beside the first of them.

    Models are the same when they have one label, or else when they are one file.

    Args:
        runs: One or more.
    """
    groups: list[list[BenchedModel | None]] = []
    for place, run in enumerate(runs):
        _sort_in(groups, place, run.models)
    models = tuple(_compared(group + [None] * (len(runs) - len(group))) for group in groups)
    keys = [run.device.device_key for run in runs]
    return Comparison(tuple(runs), models, _differences(runs), tuple(key == keys[0] for key in keys))


def ratio_of(model: BenchedModel | None, first: BenchedModel | None) -> Ratio | None:
    """Return the ratio of two latencies that were measured apart, as if their logarithms were normal and independent.

    Returns:
        ``None`` where either has no latency.
    """
    if model is None or first is None or not model.latency_ms or not first.latency_ms:
        return None
    value = model.latency_ms / first.latency_ms
    spreads = [_log_spread(one) for one in (model, first)]
    if None in spreads:
        return Ratio(value, None, None)
    factor = math.exp(_Z * math.hypot(*(spread for spread in spreads if spread is not None)))
    return Ratio(value, value / factor, value * factor)


def _log_spread(model: BenchedModel) -> float | None:
    interval = model.measurement.interval_ms if model.measurement else None
    if not interval or not interval[0] > 0:
        return None
    return math.log(interval[1] / interval[0]) / 2 / _Z


def _sort_in(groups: list[list[BenchedModel | None]], place: int, models: Sequence[BenchedModel]) -> None:
    """Put a run's models where they belong: by label first, so that a file is no rival of the model of that name."""
    for group in groups:
        group.append(None)
    left = list(models)
    for by_label in (True, False):
        for model in tuple(left):
            for group in groups:
                if group[place] is None and _is_same(group, model, by_label):
                    group[place] = model
                    left.remove(model)
                    break
    groups += [[*[None] * place, model] for model in left]


def _is_same(group: Sequence[BenchedModel | None], model: BenchedModel, by_label: bool) -> bool:
    known = [one for one in group if one is not None]
    if by_label:
        return any(one.label == model.label for one in known)
    return bool(model.sha256) and any(one.sha256 == model.sha256 for one in known)


def _compared(models: Sequence[BenchedModel | None]) -> ComparedModel:
    label = next(model.label for model in models if model is not None)
    ratios = [None, *(ratio_of(model, models[0]) for model in models[1:])]
    return ComparedModel(label, tuple(models), tuple(ratios))


def _differences(runs: Sequence[BenchRun]) -> tuple[Difference, ...]:
    described = [_described(run) for run in runs]
    fields = dict.fromkeys(field for one in described for field in one)
    found = [Difference(field, tuple(one.get(field) for one in described)) for field in fields]
    return tuple(one for one in found if any(value != one.values[0] for value in one.values))


def _described(run: BenchRun) -> dict[str, Any]:
    """Return everything that should be equal before the latencies of two runs are compared."""
    device = {name: value for name, value in asdict(run.device).items() if name != "device_id"}
    parts: dict[str, Mapping[str, Any]] = {
        "device": device,
        "nominal": run.session.get("reference_nominals_ms") or {},
        "protocol": run.session.get("protocol") or {},
        "versions": run.versions,
    }
    return {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
