"""What the words on the command line of ``mnas bench`` mean."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mnas.errors import ConfigError, MnasError

if TYPE_CHECKING:
    from devices.contenders import Entrant
    from devices.run import BenchedModel
    from devices.spec import DeviceSpec
    from mnas.store import Store

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h)?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
ALL = "all"


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """One device and who is measured on it.

    Attributes:
        spec: The device.
        entrants: In the order asked for, baselines last.
    """

    spec: DeviceSpec
    entrants: tuple[Entrant, ...]


def duration_s(text: str, option: str) -> float:
    """Return the seconds of ``90``, ``90s``, ``10m`` or ``1.5h``.

    Raises:
        ConfigError: ``CFG19``: it is no such text, or no time at all.
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS[match[2] or "s"] if match else 0.0
    if not 0 < seconds < 1e7:
        raise ConfigError(
            "CFG19", f"{option} is no duration", value=text, why="it must be above zero", fix="write 90s, 10m or 1h"
        )
    return seconds


def share(text: str, option: str) -> float:
    """Return the fraction that ``5%`` or ``0.05`` means.

    Raises:
        ConfigError: ``CFG19``: it is neither.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%?)", text.strip())
    if not match or (not match[2] and float(match[1]) > 1):
        raise ConfigError(
            "CFG19",
            f"{option} is no share",
            value=text,
            why="a number above 1 without a % could mean either",
            fix="write 5% or 0.05",
        )
    return float(match[1]) / (100 if match[2] else 1)


def fills(texts: Sequence[str]) -> dict[str, float]:
    """Return input name -> number of texts such as ``sr=8000``.

    Raises:
        ConfigError: ``CFG19``: it is none.
    """
    found = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            found[name] = math.nan
        if not name or not math.isfinite(found[name]):
            raise ConfigError(
                "CFG19", "--fill is not NAME=NUMBER", value=text, why="an input is filled with one number",
                fix="write --fill sr=8000",
            )  # fmt: skip
    return found


def raw_percentile(text: str) -> int:
    """Return the percentile that ``p90`` means; 0 for nothing.

    Raises:
        ConfigError: ``CFG19``: none of p50, p90 and p95.
    """
    if text and text not in ("p50", "p90", "p95"):
        raise ConfigError(
            "CFG19", "no such percentile", value=text, why="known are p50, p90 and p95", fix="write --gate-raw p90"
        )
    return int(text[1:]) if text else 0


def plan_devices(models: Sequence[Entrant], given: Sequence[str], threads: int | None) -> list[DevicePlan]:
    """Return the devices that are meant, each with the models that it is to measure.

    Without ``--device``, the files say which runtimes are needed; networks by name run on each of these, or on
    host:ort. With ``all``, each runtime of this machine measures what can be given in its format.

    Args:
        models: What was asked for.
        given: Device specs, or ``all``.
        threads: For devices whose spec does not say.

    Raises:
        ConfigError: Not a device spec, or a device twice.
    """
    from devices.spec import DeviceSpec

    specs = []
    for text in _specs(models, given):
        spec = DeviceSpec.parse(text)
        specs.append(replace(spec, threads=threads) if threads is not None and "threads=" not in text else spec)
    if len(set(specs)) < len(specs):
        raise ConfigError(
            "CFG19", "a device is named twice", value=", ".join(given), why="it is measured once", fix="leave one out"
        )
    is_chosen = not given or ALL in given
    plans = []
    for place, spec in enumerate(specs):
        kept = [one for one in models if not is_chosen or _fits(one, spec, is_first=place == 0)]
        if any(one.role == "model" for one in kept):
            plans.append(DevicePlan(spec, tuple(kept)))
    measured = {one for plan in plans for one in plan.entrants}
    left = [one.text for one in models if one not in measured]
    if left or not plans:
        raise ConfigError(
            "CFG19",
            "a model or baseline can be measured beside nothing",
            value=", ".join(left),
            why="its format is that of another runtime than the models have",
            fix="name the device with --device, or give it in the same format",
        )
    return plans


def baseline_entrants(texts: Sequence[str], store: Store) -> list[Entrant]:
    """Return the models to compare with: files and names as they are, runs as the models that they measured.

    Raises:
        ConfigError: ``CFG19``: it is neither a model nor a run.
    """
    from devices.contenders import Entrant
    from devices.models.source import natural_formats
    from devices.runs import load_run

    found: list[Entrant] = []
    for text in texts:
        try:
            natural_formats(text)
            found.append(Entrant(text, "baseline"))
            continue
        except MnasError as error:
            no_model = error
        try:
            run = load_run(store, text)
        except MnasError as error:
            raise ConfigError(
                "CFG19",
                "--against names neither a model nor a run",
                value=text,
                why=f"{no_model}; {error}",
                fix="name a model file, a network or a run of 'mnas runs list'",
            ) from error
        measured = [model for model in run.models if model.role == "model" and model.latency_ms is not None]
        if not measured:
            raise ConfigError(
                "CFG19", "the run has no model with a number", value=run.run_id, why="nothing to compare with",
                fix="name another of 'mnas runs list'",
            )  # fmt: skip
        found += map(_measured_before, measured)
    return found


def _measured_before(model: BenchedModel) -> Entrant:
    """Return a model of an earlier run as a baseline: its file, wherever this command is run, with the same sizes."""
    from devices.contenders import Entrant

    is_file = model.source.lower().endswith((".onnx", ".tflite", ".pt2"))
    inputs = model.description.inputs if model.description and is_file else ()
    return Entrant(
        model.path if is_file else model.source,
        "baseline",
        model.sha256,
        model.format,
        tuple((one.name, tuple(size for size in one.shape if size is not None)) for one in inputs),
    )


def _specs(models: Sequence[Entrant], given: Sequence[str]) -> list[str]:
    from devices.models.source import DEVICES_OF
    from devices.registry import list_host_devices

    if ALL in given:
        here = [one.spec for one in list_host_devices() if one.is_available]
        return list(dict.fromkeys([*here, *(one for one in given if one != ALL)]))
    if given:
        return list(given)
    bound = [formats[0] for formats in map(_formats, models) if len(formats) == 1]
    return list(dict.fromkeys(DEVICES_OF[one] for one in bound)) or ["host:ort"]


def _fits(entrant: Entrant, spec: DeviceSpec, *, is_first: bool) -> bool:
    """Say whether a model can be given in a device's format; one that is no model is reported by the first device."""
    from devices.models.source import DEVICES_OF

    formats = _formats(entrant)
    if not formats:
        return is_first
    devices = {DEVICES_OF[one] for one in formats}
    return spec.kind != "host" or f"host:{spec.runtime}" in devices


def _formats(entrant: Entrant) -> tuple[str, ...]:
    from devices.models.source import natural_formats

    try:
        return natural_formats(entrant.text)
    except MnasError:
        return ()
