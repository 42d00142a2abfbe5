"""NSGA-II: ranks by domination, then by crowding. Source: Deb et al. 2002."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2

from search.algorithms.algorithm import GenomeSpace, LatencyOf
from search.algorithms.pymoo_search import PymooSearch
from search.algorithms.setting import SearchSetting


class Nsga2Search(PymooSearch):
    """NSGA-II.

    Args:
        space: The space.
        rng: Its own stream.
        population: Networks of one generation, and of the surviving population.
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
        def make_engine(**shared: Any) -> NSGA2:
            return NSGA2(pop_size=population, **shared)

        super().__init__(space, rng, population, oversample, latency_of, objectives, make_engine)


def from_setting(setting: SearchSetting) -> Nsga2Search:
    """Return the algorithm as a study wants it."""
    return Nsga2Search(
        setting.space, setting.rng, setting.population, setting.oversample, setting.latency_of, setting.objectives
    )
