"""What a search is after: the target latency and the reference point, fixed before accuracy is paid for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from latency.estimator import LatencyEstimate
from latency.table import LatencyTable
from mnas.errors import ConfigError, LutError
from mnas.objectives import Objective, read_objectives
from mnas.seeding import named_rng
from mnas.space import SearchSpace
from search.combination import Combination
from search.constraint import LatencyConstraint
from search.outlook import Outlook
from search.reach import least_on_all

_MEDIAN_OF = 200
_BISECTIONS = 60


@dataclass(frozen=True, slots=True)
class Goal:
    """Fixed once a study.

    Attributes:
        target_ms: T of the reward, and the mark on the front.
        target_source: ``asked``, or ``median`` of uniform draws of the space.
        least_ms: Least latency that a network of the space can have, by the table. With several devices no network is
            below it, and perhaps none reaches it; a target is held against `search.reach.least_on_all`.
        greatest_ms: Greatest, likewise.
        reference_point: Of the hypervolume, each objective as something to minimise, in their order: chance level for
            the error, ``greatest_ms`` for the latency, the most (or the fewest, negated) of what is counted.
        confidence: q of the constraint P(latency <= T) >= q; 0 for none.
    """

    target_ms: float
    target_source: str
    least_ms: float
    greatest_ms: float
    reference_point: tuple[float, ...]
    confidence: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Goal:
        """Read what `to_json` wrote."""
        return cls(**{**value, "reference_point": tuple(value["reference_point"])})

    def is_met(self, latency: LatencyEstimate) -> bool:
        """Tell whether a latency keeps to the target, with the confidence that is asked for."""
        if not self.confidence:
            return latency.ms <= self.target_ms
        return latency.probability_within(self.target_ms) >= self.confidence


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


def _ends(space: SearchSpace, table: LatencyTable) -> tuple[LatencyEstimate, LatencyEstimate]:
    """Return the latencies of the fastest and of the slowest network on one device."""
    _require_cover(space, table)
    fastest = space.cheapest(table.cost_ms)
    slowest = space.cheapest(lambda segment: -table.cost_ms(segment))
    least, greatest = (table.estimate([space.decode(genome)])[0] for genome in (fastest, slowest))
    if not least.ms > 0:
        raise LutError(
            "LUT08",
            f"latency table {table.lut_id} predicts a latency that is none",
            value=f"{least.ms:.4g} ms for the fastest network of {space.name}",
            why="its entries or its calibration are too noisy for this space",
            fix="build it anew on a quieter machine: mnas lut build --anew",
        )
    return least, greatest


def set_goal(space: SearchSpace, table: LatencyTable, asked_ms: float | None, seed: int, classes: int) -> Goal:
    """Work out the goal of a study of error and latency on one device.

    Raises:
        ConfigError: As `goal_of`.
        LutError: As `goal_of`.
    """
    outlook = Outlook(space, [table], read_objectives("error,latency"), Combination.of("worst", (), 1))
    return goal_of(outlook, asked_ms, seed, classes)


def goal_of(outlook: Outlook, asked_ms: float | None, seed: int, classes: int, confidence: float = 0.0) -> Goal:
    """Work out the goal of a study.

    Args:
        outlook: Space, tables and objectives.
        asked_ms: The target; ``None`` takes the median of the space.
        seed: Draws the networks of the median.
        classes: Of the data.
        confidence: q of P(latency <= T) >= q, 0..1; 0 for no constraint.

    Raises:
        ConfigError: ``CFG05``: no network of the space meets the target; the message says the least latency.
        LutError: ``LUT08``: a table predicts a latency at or below zero.
        LutError: ``LUT02``: a table is of another space.
    """
    ends = [_ends(outlook.space, table) for table in outlook.tables]
    fastest, slowest = ([pair[which] for pair in ends] for which in (0, 1))
    least, greatest = outlook.combined(fastest), outlook.combined(slowest)
    target = _median_ms(outlook, seed) if asked_ms is None else asked_ms
    _require_reach(outlook, fastest, target, confidence)
    point = [1 - 1 / classes, *(_worst(outlook, one, slowest) for one in outlook.objectives[1:])]
    return Goal(target, "median" if asked_ms is None else "asked", least, greatest, tuple(point), confidence)


def _median_ms(outlook: Outlook, seed: int) -> float:
    rng = named_rng(seed, "median latency of the space")
    draws = outlook.estimates([outlook.space.draw(rng) for _ in range(_MEDIAN_OF)])
    return float(np.median([outlook.combined(estimates) for estimates in draws]))


def _worst(outlook: Outlook, objective: Objective, slowest: Sequence[LatencyEstimate]) -> float:
    """Return the greatest that a cheap objective can be, as something to minimise."""
    if objective.name == "latency":
        return slowest[objective.device - 1].ms if objective.device else outlook.combined(slowest)
    least, greatest = outlook.figure(objective.name).bounds()
    return objective.minimised(float(least if objective.is_maximised else greatest))


def _require_reach(outlook: Outlook, fastest: Sequence[LatencyEstimate], target_ms: float, confidence: float) -> None:
    """Refuse a target that no network meets; with a confidence each device is given its own fastest network."""
    least = told = outlook.combined(fastest)
    if len(outlook.tables) > 1 and not confidence:
        reach = least_on_all(outlook)
        least, told = reach.certain_ms, reach.found_ms
    if confidence:
        LatencyConstraint(target_ms, confidence)
        ms, sd = (np.asarray([values]) for values in ([e.ms for e in fastest], [e.sd_ms for e in fastest]))
        low, high = least, least
        while outlook.combination.probability_within(ms, sd, high)[0] < confidence:
            high *= 2
        for _ in range(_BISECTIONS if high > low else 0):
            middle = (low + high) / 2
            is_met = outlook.combination.probability_within(ms, sd, middle)[0] >= confidence
            low, high = (low, middle) if is_met else (middle, high)
        least = high if outlook.combination.probability_within(ms, sd, target_ms)[0] < confidence else target_ms
        told = least
    if target_ms >= least:
        return
    devices = " and ".join(table.device.device_id for table in outlook.tables)
    tables = ", ".join(table.lut_id for table in outlook.tables)
    certainty = f" with a probability of {confidence:g}" if confidence else ""
    raise ConfigError(
        "CFG05",
        f"no network of the space meets the latency target{certainty}",
        value=f"{target_ms:g} ms",
        why=f"the fastest one of {outlook.space.name} takes {told:.4g} ms{certainty} on {devices} by table {tables}",
        fix=f"ask for at least {told:.4g} ms, or search a space with smaller networks",
    )
