"""NSGA-III, for three objectives and more: survivors spread over directions in place of crowding.

Source: Deb and Jain 2014; directions by Das and Dennis 1998.
"""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.util.ref_dirs import get_reference_directions

from search.algorithms.algorithm import FloatArray, GenomeSpace, LatencyOf
from search.algorithms.pymoo_search import PymooSearch
from search.algorithms.setting import SearchSetting


def reference_directions(objectives: int, count: int) -> FloatArray:
    """Return evenly spread directions, ``(n, objectives)``: as many as are no more than ``count``, at least one each.

    Args:
        objectives: 2 or more.
        count: How many are wanted at most.
    """
    partitions = 1
    while comb(partitions + objectives, objectives - 1) <= count:
        partitions += 1
    return np.asarray(get_reference_directions("das-dennis", objectives, n_partitions=partitions))


class Nsga3Search(PymooSearch):
    """NSGA-III.

    Args:
        space: The space.
        rng: Its own stream.
        population: Networks of one generation; as many survive, or one for each direction where these are more.
        oversample: Networks looked at for each one returned.
        latency_of: The cheap objective.
        objectives: How many there are.
    """

    def __init__(
        self,
        space: GenomeSpace,
        rng: np.random.Generator,
        population: int,
        oversample: int,
        latency_of: LatencyOf,
        objectives: int = 2,
    ) -> None:
        directions = reference_directions(objectives, population)

        def make_engine(**shared: Any) -> NSGA3:
            return NSGA3(ref_dirs=directions, pop_size=max(population, len(directions)), **shared)

        super().__init__(space, rng, population, oversample, latency_of, objectives, make_engine)


def from_setting(setting: SearchSetting) -> Nsga3Search:
    """Return the algorithm as a study wants it."""
    return Nsga3Search(
        setting.space, setting.rng, setting.population, setting.oversample, setting.latency_of, setting.objectives
    )
