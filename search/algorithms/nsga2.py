"""NSGA-II: ranks by domination, then by crowding; mates stand near each other on the front.

Two things differ from the plain one, each for its gain on an exact table (seeds apart from those of the benchmark):
the whole front survives, up to four times the population, and a parent's mate is drawn among those nearest to it in
the cheap objective, so that a fast and a slow network do not meet halfway. Source: Deb et al. 2002; mating among
neighbours: Ishibuchi and Shibata 2003.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.moo.nsga2 import NSGA2, binary_tournament
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from search.algorithms.algorithm import GenomeSpace, LatencyOf
from search.algorithms.pymoo_search import PymooSearch
from search.algorithms.setting import SearchSetting

_FRONT_OVER_POPULATION = 4
_NEIGHBOURS_A_SIDE = 2


class _WholeFront(RankAndCrowding):  # type: ignore[misc]
    """Lets the population survive, or the whole front where it is larger, up to a bound."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def _do(self, problem: Any, pop: Any, *args: Any, n_survive: int, **kwargs: Any) -> Any:
        front = NonDominatedSorting().do(pop.get("F"), only_non_dominated_front=True)
        kept = min(len(pop), max(n_survive, min(len(front), self._most)))
        return super()._do(problem, pop, *args, n_survive=kept, **kwargs)


class _NearMates(TournamentSelection):  # type: ignore[misc]
    """Draws first parents by tournament, and each one's mate among its neighbours by the last objective."""

    def __init__(self) -> None:
        super().__init__(func_comp=binary_tournament)

    def _do(
        self, problem: Any, pop: Any, n_select: int, n_parents: int, random_state: np.random.Generator, **kwargs: Any
    ) -> npt.NDArray[np.int64]:
        first = super()._do(problem, pop, n_select, 1, random_state=random_state, **kwargs)[:, 0]
        order = np.argsort(np.asarray(pop.get("F"), dtype=float)[:, -1], kind="stable")
        place = np.argsort(order)[first]
        width = min(2 * _NEIGHBOURS_A_SIDE, len(pop) - 1)
        start = np.clip(place - _NEIGHBOURS_A_SIDE, 0, len(pop) - 1 - width)
        there = start + random_state.integers(max(width, 1), size=n_select)
        # A step over the parent itself, unless it is alone.
        mates = order[np.minimum(there + (there >= place), len(pop) - 1)]
        return np.stack([first, mates], axis=1)


class Nsga2Search(PymooSearch):
    """NSGA-II.

    Args:
        space: The space.
        rng: Its own stream.
        population: Networks of one generation, and of the surviving population unless the front is larger.
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
            survival = _WholeFront(_FRONT_OVER_POPULATION * population)
            return NSGA2(pop_size=population, selection=_NearMates(), survival=survival, **shared)

        super().__init__(space, rng, population, oversample, latency_of, objectives, make_engine)


def from_setting(setting: SearchSetting) -> Nsga2Search:
    """Return the algorithm as a study wants it."""
    return Nsga2Search(
        setting.space, setting.rng, setting.population, setting.oversample, setting.latency_of, setting.objectives
    )
