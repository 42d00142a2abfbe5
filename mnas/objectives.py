"""What a search minimises, in words: ``error,latency,params``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from mnas.errors import ConfigError

Name = Literal["error", "latency", "macs", "params", "size", "peak_memory"]
Source = Literal["lut", "measured"]

UNITS = {"error": "", "latency": "ms", "macs": "", "params": "", "size": "bytes", "peak_memory": "bytes"}
"""Every objective that there is, and its unit."""
_FORM = re.compile(r"(?P<name>[a-z_]+)(?:@(?P<device>[0-9]+))?(?:=(?P<source>[a-z]+))?(?::(?P<direction>min|max))?")
_FIX = "write them like error,latency,params; latency@2 is that of the second device, latency=measured is measured"


@dataclass(frozen=True, slots=True)
class Objective:
    """One thing that is to be small, or large.

    Attributes:
        name: One of `UNITS`.
        device: Of a latency: number of the device, from 1; 0 for all devices combined, or the only one.
        source: Of a latency: ``lut`` or ``measured``; "" of anything else.
        is_maximised: Large is good.
    """

    name: Name
    device: int = 0
    source: Source | Literal[""] = ""
    is_maximised: bool = False

    @property
    def key(self) -> str:
        """Its name in records and columns, e.g. ``error``, ``latency@2``, ``params:max``."""
        return f"{self.name}{f'@{self.device}' if self.device else ''}{':max' if self.is_maximised else ''}"

    def minimised(self, value: float) -> float:
        """Return a value as something to minimise: itself, or negated where large is good."""
        return -value if self.is_maximised else value


def read_objectives(text: str, devices: int = 1) -> tuple[Objective, ...]:
    """Read objectives such as ``error,latency@1,latency@2=measured,params``.

    They come in one order, whatever that of the text: the error first, latencies last, and among these the combined one
    last, so that the last is what an algorithm may spread over.

    Args:
        text: ``NAME[@DEVICE][=SOURCE][:min|max]``, with commas between.
        devices: How many devices there are.

    Raises:
        ConfigError: ``CFG40``: a part that is no objective; ``CFG41``: without the error, fewer than two, or one twice;
            ``CFG42``: no such device.
    """
    found = [_read(part.strip(), devices) for part in text.split(",")]
    keys = [one.key.removesuffix(":max") for one in found]
    if twice := next((key for key in keys if keys.count(key) > 1), ""):
        raise _refused("CFG41", "an objective is there twice", twice, "each counts once")
    if "error" not in keys:
        raise _refused("CFG41", "the error is no objective", text, "without it nothing needs a search")
    if len(found) < 2:
        raise _refused("CFG41", "there is one objective alone", text, "a front needs two or more")
    return tuple(sorted(found, key=_place))


def _place(objective: Objective) -> tuple[int, int]:
    rank = {"error": 0, "latency": 2}.get(objective.name, 1)
    return rank, (objective.device or 1_000_000) if objective.name == "latency" else 0


def _read(part: str, devices: int) -> Objective:
    found = _FORM.fullmatch(part)
    if found is None or found["name"] not in UNITS:
        raise _refused("CFG40", "this is no objective", part, f"known are {', '.join(UNITS)}")
    name, device, source, direction = found.group("name", "device", "source", "direction")
    if name != "latency" and (device or source):
        raise _refused("CFG40", "this is no objective", part, "a latency alone has a device and a source")
    if source not in (None, "lut", "measured"):
        raise _refused("CFG40", "this is no objective", part, "a latency comes from lut or measured")
    if direction == "max" and name in ("error", "latency"):
        raise _refused("CFG40", "this is no objective", part, "nobody searches for the worst or the slowest network")
    if device is not None and not 1 <= int(device) <= devices:
        raise _refused("CFG42", "there is no such device", part, f"devices are numbered from 1; there are {devices}")
    number = int(device or 0) if devices > 1 else 0
    is_latency = name == "latency"
    return Objective(cast(Name, name), number, _source(source) if is_latency else "", direction == "max")


def _source(text: str | None) -> Source:
    return "measured" if text == "measured" else "lut"


def is_reward(objectives: Sequence[Objective]) -> bool:
    """Tell whether these are error and one latency, all devices combined: what a reward is made of."""
    return [one.key for one in objectives] == ["error", "latency"]


def _refused(code: str, what: str, value: object, why: str) -> ConfigError:
    return ConfigError(code, what, value=value, why=why, fix=_FIX)
