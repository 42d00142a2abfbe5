"""MnasNet's search: a recurrent controller draws networks and learns from their rewards by PPO or REINFORCE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch

from mnas.errors import ConfigError
from mnas.space import Genome
from search.algorithms.algorithm import FloatArray, GenomeSpace, LatencyOf
from search.algorithms.controller import Controller
from search.algorithms.open_choices import OpenChoices
from search.algorithms.policy_learner import PPO, REINFORCE, PolicyLearner, PolicySettings
from search.algorithms.random_search import draw_new
from search.algorithms.rollout import Rollout, draw_rollout
from search.algorithms.setting import SearchSetting
from search.reward import MnasnetReward
from search.training.trainer import reproducible

_ROUNDS = 16
"""Rollouts of one generation at most, each of as many sequences as the generation has networks."""


class PpoSearch:
    """A search for the network of the greatest reward.

    A generation draws sequences until there are ``population`` networks that were never asked before. What is drawn
    and known already is not paid for again, but learned from once a generation. Nor is a network paid for whose reward
    could not pass the best one known even if it made no error: latency is free to know, so such a network is learned
    from with its own latency and the mean accuracy so far. Where the controller has collapsed so far that it draws too
    little that is new, uniform draws fill the generation up; they are not learned from, but known from then on.

    The score of a sequence is the standing of its reward among all rewards known so far, from -1 for the worst to 1 for
    the best: a failed network or a cliff of the reward does not drown the differences between good networks.

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
        space: GenomeSpace,
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
        self._drawn: dict[Genome, Rollout] = {}
        self._shares: dict[str, float] = {}
        self.figures: dict[str, float] = {}

    def ask(self) -> list[Genome]:
        """Return the next generation."""
        self._drawn = {}
        fresh: dict[Genome, None] = {}
        hopeless, count = 0, 0
        open_choices = OpenChoices(self._space, self._rng)
        for _ in range(_ROUNDS):
            with reproducible():
                rollout = draw_rollout(self._controller, self._population, open_choices, self._rng)
            genomes = [self._space.canonical(genome) for genome in rollout.genomes()]
            self._price(genomes)
            count += len(genomes)
            for row, genome in enumerate(genomes):
                if genome in self._drawn:
                    continue
                if genome not in self._seen and self._is_hopeless(genome):
                    hopeless += 1
                elif genome not in self._seen:
                    if len(fresh) == self._population:
                        continue
                    fresh[genome] = None
                self._drawn[genome] = rollout.rows([row])
            if len(fresh) == self._population:
                break
        asked = list(fresh)
        asked += self._fill(self._population - len(asked), set(asked))
        self._shares = {
            "distinct_share": len(self._drawn) / count,
            "new_share": len(fresh) / count,
            "hopeless_share": hopeless / count,
            "filled_share": (len(asked) - len(fresh)) / max(len(asked), 1),
        }
        self._seen.update(asked)
        return asked

    def tell(self, genomes: Sequence[Genome], objectives: FloatArray) -> None:
        """Take error and latency of genomes in ask order, and learn from all that was drawn for this generation."""
        objectives = np.asarray(objectives, dtype=float).reshape(len(genomes), 2)
        rewards = self._reward.of(objectives[:, 0], objectives[:, 1])
        for genome, error, reward in zip(genomes, objectives[:, 0], rewards, strict=True):
            self._accuracies[genome], self._rewards[genome] = 1 - float(error), float(reward)
        worth = {genome: self._worth(genome) for genome in self._drawn}
        known = {genome: reward for genome, reward in worth.items() if reward is not None}
        if not known:
            return
        rollout = Rollout.joined([self._drawn[genome] for genome in known])
        with reproducible():
            learned = self._learner.learn(rollout, self._standing(np.asarray(list(known.values()))))
        self.figures = {**asdict(learned), **self._shares}

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


def ppo_from_setting(setting: SearchSetting) -> PpoSearch:
    """Return the search by PPO as a study wants it.

    Raises:
        ConfigError: ``CFG22``: there is no target; ``CFG04``, ``CFG21``: no reward comes of it or of the exponents.
    """
    return _from_setting(setting, PPO)


def reinforce_from_setting(setting: SearchSetting) -> PpoSearch:
    """Return the search by REINFORCE as a study wants it.

    Raises:
        ConfigError: As `ppo_from_setting`.
    """
    return _from_setting(setting, REINFORCE)


def _from_setting(setting: SearchSetting, settings: PolicySettings) -> PpoSearch:
    if setting.target_ms is None:
        raise ConfigError(
            "CFG22",
            "a search for the greatest reward needs a target",
            value=setting.target_ms,
            why="the reward is ACC x (LAT/T)^w",
            fix="name a target latency, or search for a front with nsga2 or surrogate",
        )
    reward = MnasnetReward(setting.target_ms, setting.alpha, setting.beta)
    return PpoSearch(setting.space, setting.rng, setting.population, setting.latency_of, reward, settings)
