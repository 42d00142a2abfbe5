"""MnasNet's search: a recurrent controller draws networks and learns from their rewards by PPO or REINFORCE.

Source: Tan et al. 2019 (arXiv 1807.11626), section 4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch

from mnas.space import Genome, SearchSpace
from search.algorithms.algorithm import FloatArray, LatencyOf
from search.algorithms.controller import Controller
from search.algorithms.open_choices import OpenChoices
from search.algorithms.policy_learner import PPO, PolicyLearner, PolicySettings
from search.algorithms.random_search import draw_new
from search.algorithms.rollout import Rollout, draw_rollout
from search.reward import MnasnetReward
from search.training.trainer import reproducible

_ROUNDS = 16
"""Rollouts of one generation at most, each of as many sequences as the generation has networks."""


@dataclass(slots=True)
class _Generation:
    """What was drawn for a generation, each network once; the figures of `PpoSearch` are made of its counts."""

    drawn: dict[Genome, Rollout] = field(default_factory=dict)
    fresh: list[Genome] = field(default_factory=list)
    count: int = 0
    hopeless: int = 0
    filled: int = 0

    def shares(self) -> dict[str, float]:
        return {
            "distinct_share": len(self.drawn) / self.count,
            "new_share": len(self.fresh) / self.count,
            "hopeless_share": self.hopeless / self.count,
            "filled_share": self.filled / max(self.filled + len(self.fresh), 1),
        }


class PpoSearch:
    """A search for the network of the greatest reward.

    A generation draws sequences until there are ``population`` networks that were never asked before. What is drawn
    and known already is not paid for again, but learned from once a generation. Nor is a network paid for whose reward
    could not pass the best one known even if it made no error: latency is free to know, so such a network is learned
    from with its own latency and the median accuracy so far. Where the controller has collapsed so far that it draws
    too little that is new, uniform draws fill the generation up; they are not learned from, but known from then on.

    The score of a sequence is the standing of its reward among all rewards known so far, from -1 for the worst to 1 for
    the best: a failed network or a cliff of the reward does not drown the differences between good networks, and the
    same settings serve any reward.

    Choices that make no other network are closed (`OpenChoices`), so no weight is given to genes that do not count.

    Args:
        space: The space.
        rng: Its own stream.
        population: Networks of one generation.
        latency_of: Latencies of genomes.
        reward: What is sought.
        settings: `PPO` or `REINFORCE`, or others.

    Attributes:
        figures: Of the last generation that was learned from: those of `LearningFigures`, and ``distinct_share``, the
            share of the drawn sequences that are distinct networks, ``new_share``, that are networks never met before,
            ``hopeless_share``, that were not paid for because of their latency, and ``filled_share``, the share of the
            asked networks that are uniform draws.
    """

    def __init__(
        self,
        space: SearchSpace,
        rng: np.random.Generator,
        population: int,
        latency_of: LatencyOf,
        reward: MnasnetReward,
        settings: PolicySettings = PPO,
    ) -> None:
        self._space = space
        self._rng = rng
        self._population = population
        self._latency_of = latency_of
        self._reward = reward
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        self._controller = Controller(space.cardinalities, settings.hidden, generator)
        self._learner = PolicyLearner(self._controller, settings, rng)
        self._seen: set[Genome] = set()
        self._latencies: dict[Genome, float] = {}
        self._accuracies: dict[Genome, float] = {}
        self._rewards: dict[Genome, float] = {}
        self._generation = _Generation()
        self.figures: dict[str, float] = {}

    def ask(self) -> list[Genome]:
        """Return the next generation."""
        self._generation = generation = _Generation()
        open_choices = OpenChoices(self._space, self._rng)
        for _ in range(_ROUNDS):
            with reproducible():
                rollout = draw_rollout(self._controller, self._population, open_choices, self._rng)
            self._sort(rollout, generation)
            if len(generation.fresh) == self._population:
                break
        asked = generation.fresh + self._fill(self._population - len(generation.fresh), set(generation.fresh))
        generation.filled = len(asked) - len(generation.fresh)
        self._seen.update(asked)
        return asked

    def _sort(self, rollout: Rollout, generation: _Generation) -> None:
        """Take what is to be paid for and what is to be learned from; more new networks than are needed are dropped."""
        genomes = [self._space.canonical(genome) for genome in rollout.genomes()]
        self._price(genomes)
        generation.count += len(genomes)
        for row, genome in enumerate(genomes):
            if genome in generation.drawn:
                continue
            if genome not in self._seen:
                if self._is_hopeless(genome):
                    generation.hopeless += 1
                elif len(generation.fresh) < self._population:
                    generation.fresh.append(genome)
                else:
                    continue
            generation.drawn[genome] = rollout.rows([row])

    def tell(self, genomes: Sequence[Genome], objectives: FloatArray) -> None:
        """Take error and latency of genomes in ask order, and learn from all that was drawn for this generation."""
        objectives = np.asarray(objectives, dtype=float).reshape(len(genomes), 2)
        rewards = self._reward.of(objectives[:, 0], objectives[:, 1])
        for genome, error, reward in zip(genomes, objectives[:, 0], rewards, strict=True):
            self._accuracies[genome], self._rewards[genome] = 1 - float(error), float(reward)
        worth = {genome: self._worth(genome) for genome in self._generation.drawn}
        known = {genome: reward for genome, reward in worth.items() if reward is not None}
        if not known:
            return
        rollout = Rollout.joined([self._generation.drawn[genome] for genome in known])
        with reproducible():
            learned = self._learner.learn(rollout, self._standing(np.asarray(list(known.values()))))
        self.figures = {**asdict(learned), **self._generation.shares()}

    def _price(self, genomes: Sequence[Genome]) -> None:
        new = [genome for genome in dict.fromkeys(genomes) if genome not in self._latencies]
        if new:
            self._latencies.update(zip(new, map(float, self._latency_of(new)), strict=True))

    def _bound(self, genome: Genome) -> float:
        return float(self._reward.factors(np.asarray([self._latencies[genome]]))[0])

    def _is_hopeless(self, genome: Genome) -> bool:
        return self._bound(genome) <= max(self._rewards.values(), default=-np.inf)

    def _worth(self, genome: Genome) -> float | None:
        """Return the reward of a network that was drawn, a guess where it was not paid for, nothing where untold."""
        if genome in self._rewards:
            return self._rewards[genome]
        if genome in self._seen or not self._accuracies:
            return None
        return self._bound(genome) * float(np.median(list(self._accuracies.values())))

    def _standing(self, rewards: FloatArray) -> FloatArray:
        known = np.sort(list(self._rewards.values()))
        return (np.searchsorted(known, rewards, "left") + np.searchsorted(known, rewards, "right")) / len(known) - 1

    def _fill(self, count: int, asked: set[Genome]) -> list[Genome]:
        """Draw uniformly what the controller did not find, hopeless networks only where there are no others."""
        if count == 0:
            return []
        drawn = draw_new(self._space, self._rng, count * _ROUNDS, self._seen | asked)
        self._price(drawn)
        return sorted(drawn, key=self._is_hopeless)[:count]
