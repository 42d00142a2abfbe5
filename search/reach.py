"""The least latency that one network can have on several devices at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from mnas.segments import Segment
from mnas.space import Genome
from search.outlook import Outlook

_STEPS, _STEPS_OF_MANY = 32, 6
_DESCENTS = 4


@dataclass(frozen=True, slots=True)
class Reach:
    """Between which bounds the least combined latency lies.

    Attributes:
        certain_ms: No network has less.
        found_ms: What a network that was found has.
    """

    certain_ms: float
    found_ms: float


def least_on_all(outlook: Outlook) -> Reach:
    """Work out the least combined latency by networks that are fastest for weighted sums of the devices' latencies.

    For given weights the fastest network of the space is exact; the best of these are improved gene by gene. The
    greatest of the least weighted sums is a bound that no worst latency is below (Lagrange's dual). Of a weighted
    geometric mean only the least that was found is known, and each device's own fastest network.

    Args:
        outlook: Of two devices or more.
    """
    tables, space, combination = outlook.tables, outlook.space, outlook.combination
    own = []
    for table in tables:
        (fastest,) = table.estimate([space.decode(space.cheapest(table.cost_ms))])
        own.append(fastest.ms)
    certain, starts = combination.of_one(own), dict[Genome, float]()
    for shares in _shares(len(tables)):
        weights = shares / np.asarray(own)

        def cost(segment: Segment, weights: npt.NDArray[np.float64] = weights) -> float:
            return float(sum(w * table.cost_ms(segment) for w, table in zip(weights, tables, strict=True)))

        (estimates,) = outlook.estimates([space.cheapest(cost)])
        starts[space.cheapest(cost)] = outlook.combined(estimates)
        if combination.combine == "worst":
            certain = max(certain, float(weights @ [one.ms for one in estimates] / weights.sum()))
    best = sorted(starts, key=lambda genome: (starts[genome], genome))[:_DESCENTS]
    found = min(_descended(outlook, genome, starts[genome]) for genome in best)
    return Reach(min(certain, found), found)


def _descended(outlook: Outlook, genome: Genome, ms: float) -> float:
    """Return the least combined latency that changes of one gene at a time lead to."""
    space = outlook.space
    while True:
        changed = dict.fromkeys(
            space.canonical((*genome[:place], value, *genome[place + 1 :]))
            for place, count in enumerate(space.cardinalities)
            for value in range(count)
        )
        neighbours = list(changed)
        combined = [outlook.combined(estimates) for estimates in outlook.estimates(neighbours)]
        least = int(np.argmin(combined))
        if combined[least] >= ms:
            return ms
        genome, ms = neighbours[least], combined[least]


def _shares(devices: int) -> Iterator[npt.NDArray[np.float64]]:
    """Yield weights that add up to 1: a line between any two devices, and equal ones."""
    yield np.full(devices, 1 / devices)
    steps = _STEPS if devices == 2 else _STEPS_OF_MANY
    for first, second in combinations(range(devices), 2):
        for step in range(steps + 1):
            shares = np.full(devices, 0.05 / devices)
            shares[first] += 0.95 * step / steps
            shares[second] += 0.95 * (1 - step / steps)
            yield shares
