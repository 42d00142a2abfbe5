"""A latency that a network must keep to, by a table."""

from __future__ import annotations

import math
from functools import cache

from latency.table import LatencyTable
from mnas.constraint import Constraint
from mnas.space import SearchSpace


def latency_between(
    table: LatencyTable, space: SearchSpace, low_ms: float = -math.inf, high_ms: float = math.inf
) -> Constraint:
    """Return a constraint on what a table says of a network.

    Args:
        table: It must cover the space.
        space: Of the networks.
        low_ms: Least latency, milliseconds.
        high_ms: Greatest latency, milliseconds.

    Raises:
        LutError: ``LUT02``: the table lacks entries of the space, here or when the constraint is used.
    """
    measure, cost = table.over(space).ms, cache(table.cost_ms)
    return Constraint("latency_ms", measure, low_ms, high_ms, cost)
