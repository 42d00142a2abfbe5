"""What a search is after: the target latency and the reference point, fixed before accuracy is paid for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from latency.table import LatencyTable
from mnas.errors import ConfigError, LutError
from mnas.seeding import named_rng
from mnas.space import SearchSpace

_MEDIAN_OF = 200


@dataclass(frozen=True, slots=True)
class Goal:
    """Fixed once a study.

    Attributes:
        target_ms: T of the reward, and the mark on the front.
        target_source: ``asked``, or ``median`` of uniform draws of the space.
        least_ms: Least latency that a network of the space can have, by the table.
        greatest_ms: Greatest.
        reference_point: Error and latency of the hypervolume: chance level and ``greatest_ms``.
    """

    target_ms: float
    target_source: str
    least_ms: float
    greatest_ms: float
    reference_point: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Goal:
        """Read what `to_json` wrote."""
        error, latency = value["reference_point"]
        return cls(**{**value, "reference_point": (error, latency)})


def _require_cover(space: SearchSpace, table: LatencyTable) -> None:
    missing = table.missing(list(space.segments()))
    if missing:
        raise LutError(
            "LUT02",
            f"latency table {table.lut_id} lacks {len(missing)} entries of the space {space.name}",
            value="; ".join(missing[:5]),
            why=f"it covers {table.space}; a missing entry is never taken as zero",
            fix="leave --lut out, build a table of this space (mnas lut build), or fill it in: --missing interpolate",
        )


def set_goal(space: SearchSpace, table: LatencyTable, asked_ms: float | None, seed: int, classes: int) -> Goal:
    """Work out the goal of a study.

    Raises:
        ConfigError: ``CFG05``: no network of the space meets the target; the message says the least latency.
        LutError: ``LUT08``: the table predicts a latency at or below zero.
        LutError: ``LUT02``: the table is of another space.
    """
    _require_cover(space, table)
    fastest = space.cheapest(table.cost_ms)
    slowest = space.cheapest(lambda segment: -table.cost_ms(segment))
    least, greatest = (table.estimate([space.decode(genome)])[0].ms for genome in (fastest, slowest))
    if not least > 0:
        raise LutError(
            "LUT08",
            f"latency table {table.lut_id} predicts a latency that is none",
            value=f"{least:.4g} ms for the fastest network of {space.name}",
            why="its entries or its calibration are too noisy for this space",
            fix="build it anew on a quieter machine: mnas lut build --anew",
        )
    if asked_ms is not None and asked_ms < least:
        raise ConfigError(
            "CFG05",
            "no network of the space meets the latency target",
            value=f"{asked_ms:g} ms",
            why=f"the fastest one of {space.name} takes {least:.4g} ms on {table.device.device_id} by table "
            f"{table.lut_id}",
            fix=f"ask for at least {least:.4g} ms, or search a space with smaller networks",
        )
    target = asked_ms
    if target is None:
        rng = named_rng(seed, "median latency of the space")
        draws = table.estimate([space.decode(space.draw(rng)) for _ in range(_MEDIAN_OF)])
        target = float(np.median([estimate.ms for estimate in draws]))
    return Goal(target, "median" if asked_ms is None else "asked", least, greatest, (1 - 1 / classes, greatest))
