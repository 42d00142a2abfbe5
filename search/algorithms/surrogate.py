"""Surrogate-assisted search: a Gaussian process of the error, and the networks that promise the largest hypervolume.

Latency is known before accuracy is paid for, so only the error is uncertain and the expected improvement of the
hypervolume is exact (`search.algorithms.improvement`). The search starts with networks spread over latency. Then each
generation is picked out of a pool of candidates - offspring of the front, and networks across all latencies - one by
one, each taken for evaluated at its predicted error before the next is picked. Before that, a first choice is improved
gene by gene, and all that is looked at on the way joins the pool.

Source: Ginsbourger et al. 2010 (the kriging believer); Emmerich et al. 2011 (expected hypervolume improvement).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import ThreadpoolController

from mnas.errors import ConfigError
from mnas.space import Genome
from search.algorithms.algorithm import FloatArray, GenomeSpace, LatencyOf
from search.algorithms.error_model import ErrorModel, ErrorPosterior, LogScale
from search.algorithms.improvement import Staircase
from search.algorithms.proposals import Proposals
from search.algorithms.random_search import draw_new
from search.algorithms.setting import SearchSetting
from search.algorithms.spread import spread_apart

_DIGITS = 7


@dataclass(frozen=True, slots=True)
class SurrogateSettings:
    """How hard the search thinks before it asks.

    Attributes:
        start: Networks spread over latency before the first prediction; rounded up to whole generations.
        offspring: Candidates from the front.
        across: Candidates across all latencies.
        kept: Best candidates, among which a generation is picked.
        climb_steps: Genes that a first choice of them may change to become better.
        climb_width: Neighbours of each that are looked at for each step.
        parents: Least number of networks that offspring come from: the front, and the nearest to it if it is smaller.
    """

    start: int = 10
    offspring: int = 400
    across: int = 200
    kept: int = 100
    climb_steps: int = 3
    climb_width: int = 40
    parents: int = 20


class SurrogateSearch:
    """Asks for what a Gaussian process expects to add most to the hypervolume.

    Args:
        space: The space.
        rng: Its own stream.
        population: Networks of one generation; small ones learn sooner.
        latency_of: Latencies of genomes.
        reference_point: Error and latency of the hypervolume; ``None`` takes the worst error told so far and the
            slowest network. Networks with a worse error, or with none, are failures: to the surrogate they are as bad
            as the worst of the others.
        settings: How hard it thinks.
    """

    def __init__(
        self,
        space: GenomeSpace,
        rng: np.random.Generator,
        population: int,
        latency_of: LatencyOf,
        reference_point: tuple[float, float] | None = None,
        settings: SurrogateSettings | None = None,
    ) -> None:
        self._space = space
        self._rng = rng
        self._population = population
        self._latency_of = latency_of
        self._reference_point = reference_point
        self._settings = settings or SurrogateSettings()
        self._proposals = Proposals(space, rng, latency_of)
        self._model = ErrorModel(space.cardinalities, rng)
        self._planned: list[Genome] | None = None
        self._seen: set[Genome] = set()
        self._told: list[Genome] = []
        self._objectives = np.zeros((0, 2))
        self._threads = ThreadpoolController()

    def ask(self) -> list[Genome]:
        """Return the next generation; uniform draws fill up where nothing better is new."""
        if self._planned is None:
            self._planned = self._plan_start()
        chosen, self._planned = self._planned[: self._population], self._planned[self._population :]
        if not chosen and self._told:
            # More threads gain little on such matrices, and their number would show in the last digits.
            with self._threads.limit(limits=1, user_api="blas"):
                chosen = self._most_promising()
        chosen += draw_new(self._space, self._rng, self._population - len(chosen), {*self._seen, *chosen})
        self._seen.update(chosen)
        return chosen

    def tell(self, genomes: Sequence[Genome], objectives: FloatArray) -> None:
        """Take error and latency of genomes in ask order."""
        self._told += [tuple(genome) for genome in genomes]
        self._objectives = np.vstack([self._objectives, np.asarray(objectives, dtype=float).reshape(-1, 2)])

    def _plan_start(self) -> list[Genome]:
        settings = self._settings
        pool = list(self._proposals.ends())
        pool += self._proposals.across(settings.offspring + settings.across, set(pool))
        count = -(-settings.start // self._population) * self._population
        return [pool[i] for i in spread_apart(pool, self._latency_of(pool), count, self._rng)]

    def _most_promising(self) -> list[Genome]:
        point = self._reference_point or self._worst()
        objectives = self._without_failures(point[0])
        stairs = Staircase(objectives, point)
        scale = LogScale.of(objectives[:, 0])
        excess = scale.apply(objectives[:, 0]) - scale.apply(stairs.heights_at(objectives[:, 1]))
        view = _View(self._model.posterior(self._told, objectives, excess), stairs, self._latency_of)
        pool = view.best_of(self._pool(objectives[:, 1], excess), self._settings.kept)
        pool += self._climb(view.pick(pool, self._population), view, {*self._seen, *pool})
        return view.pick(view.best_of(pool, self._settings.kept), self._population)

    def _worst(self) -> tuple[float, float]:
        """Return the worst error and latency that are known of."""
        errors = self._objectives[np.isfinite(self._objectives[:, 0]), 0]
        slowest = max(float(self._latency_of(self._proposals.ends()).max()), float(self._objectives[:, 1].max()))
        return float(errors.max(initial=-np.inf)) if len(errors) else 1.0, slowest

    def _without_failures(self, worst_error: float) -> FloatArray:
        """Return the objectives told; those of failures have the error of the worst of the others."""
        errors = self._objectives[:, 0]
        is_valid = np.isfinite(errors) & (errors <= worst_error)
        worst = float(errors[is_valid].max()) if is_valid.any() else worst_error
        return np.stack([np.where(is_valid, errors, worst), self._objectives[:, 1]], axis=1)

    def _pool(self, latency_ms: FloatArray, excess: FloatArray) -> list[Genome]:
        settings = self._settings
        count = max(settings.parents, int((excess <= 0).sum()))
        nearest = sorted(np.argsort(excess, kind="stable")[:count], key=lambda i: float(latency_ms[i]))
        pool = self._proposals.offspring([self._told[i] for i in nearest], settings.offspring, self._seen)
        return pool + self._proposals.across(settings.across, {*self._seen, *pool})

    def _climb(self, tops: list[Genome], view: _View, known: set[Genome]) -> list[Genome]:
        """Return what is looked at when each of some networks is improved, one gene after the other."""
        found: dict[Genome, None] = {}
        for _ in range(self._settings.climb_steps if tops else 0):
            around = [self._proposals.neighbours(top, self._settings.climb_width, self._seen) for top in tops]
            families = [[top, *some] for top, some in zip(tops, around, strict=True)]
            found |= dict.fromkeys(genome for family in families for genome in family)
            gains = view.gains([genome for family in families for genome in family])
            own = np.split(gains, np.cumsum([len(family) for family in families])[:-1])
            higher = [family[int(np.argmax(gain))] for family, gain in zip(families, own, strict=True)]
            if higher == tops:
                break
            tops = higher
        return [genome for genome in found if genome not in known]


@dataclass(frozen=True, slots=True)
class _View:
    """What is expected of networks, and what it would be worth."""

    posterior: ErrorPosterior
    stairs: Staircase
    latency_of: LatencyOf

    def gains(self, genomes: Sequence[Genome]) -> FloatArray:
        """Return the expected improvements, rounded: their last digits are a matter of the machine."""
        latency = self.latency_of(genomes)
        mean, sd = self.posterior.predict(genomes, latency)
        fractions, exponents = np.frexp(self.stairs.expected_improvement(mean, sd, latency, self.posterior.error.shift))
        return np.asarray(np.ldexp(np.round(fractions, _DIGITS), exponents))

    def best_of(self, genomes: Sequence[Genome], count: int) -> list[Genome]:
        """Return the best ``count`` of networks, the best first."""
        if not genomes:
            return []
        return [genomes[i] for i in np.argsort(-self.gains(genomes), kind="stable")[:count]]

    def pick(self, pool: list[Genome], count: int) -> list[Genome]:
        """Return the networks of a pool that are best one after the other, each taken for evaluated before the next."""
        view, chosen, left = self, list[Genome](), list(pool)
        while left and len(chosen) < count:
            chosen += view.best_of(left, 1)
            left.remove(chosen[-1])
            view = view.believing(chosen[-1])
        return chosen

    def believing(self, genome: Genome) -> _View:
        """Return the view as if this network had been evaluated and were just as expected."""
        latency = self.latency_of([genome])
        mean = float(self.posterior.predict([genome], latency)[0][0])
        error = float(np.exp(mean)) - self.posterior.error.shift
        posterior = self.posterior.believing(genome, float(latency[0]))
        return _View(posterior, self.stairs.with_network(error, float(latency[0])), self.latency_of)


def from_setting(setting: SearchSetting) -> SurrogateSearch:
    """Return the algorithm as a study wants it.

    Raises:
        ConfigError: ``CFG23``: there are more objectives than error and latency.
    """
    if setting.objectives != 2:
        raise ConfigError(
            "CFG23",
            "the surrogate-assisted search takes two objectives",
            value=setting.objectives,
            why="its expected improvement is of an error over one cheap objective",
            fix="search with nsga2 or nsga3, or leave an objective out",
        )
    return SurrogateSearch(setting.space, setting.rng, setting.population, setting.latency_of, setting.reference_point)
