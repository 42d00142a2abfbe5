"""PPO and REINFORCE as searches: the contract, learning, and what is not paid for."""

import dataclasses

import numpy as np
import pytest
import torch

from mnas.spaces.presets import open_space
from search.algorithms.algorithm import Learner
from search.algorithms.policy_learner import PPO, REINFORCE, LearningFigures
from search.algorithms.ppo import PpoSearch
from search.algorithms.random_search import RandomSearch
from search.reward import MnasnetReward
from search.testing import AlgorithmConformance, made_up_objectives, tiny_space

SOFT = MnasnetReward(3.0, -0.07, -0.07)
HARD = MnasnetReward(3.0, 0.0, -1.0)
OUT_OF_REACH = MnasnetReward(0.5, 0.0, -1.0)
BOTH = pytest.mark.parametrize("settings", [PPO, REINFORCE], ids=["ppo", "reinforce"])


def policy_search(space, seed, population, reward=SOFT, settings=PPO, objectives_of=made_up_objectives):
    def latency_of(genomes):
        return objectives_of(space, list(genomes))[:, 1]

    return PpoSearch(space, np.random.default_rng(seed), population, latency_of, reward, settings)


class TestPpo(AlgorithmConformance):
    def algorithm(self, space, seed, population):
        return policy_search(space, seed, population)


class TestPpoWithTheHardReward(AlgorithmConformance):
    def algorithm(self, space, seed, population):
        return policy_search(space, seed, population, HARD)


class TestPpoWithATargetOutOfReach(AlgorithmConformance):
    def algorithm(self, space, seed, population):
        return policy_search(space, seed, population, OUT_OF_REACH)


class TestReinforce(AlgorithmConformance):
    def algorithm(self, space, seed, population):
        return policy_search(space, seed, population, settings=REINFORCE)


class SeparableSpace:
    """Ten genes of four choices, each a network of its own; each gene adds its own error."""

    name = "separable"
    cardinalities = (4,) * 10

    def canonical(self, genome):
        return tuple(genome)

    def draw(self, rng):
        return tuple(int(gene) for gene in rng.integers(0, self.cardinalities))


def separable(space, genomes):
    """Errors of 0.1 for one network alone of the million up to 1, and the same latency for all."""
    best = np.arange(10) * 7 % 4
    away = np.abs(np.asarray(genomes).reshape(-1, 10) - best)
    return np.stack([0.1 + away.sum(1) / 33, np.full(len(away), 2.0)], axis=1)


def gentle(space, genomes):
    """As real networks: five times the latency buys a sixth of the accuracy."""
    found = made_up_objectives(space, list(genomes))
    return np.stack([0.3 + 0.1 * found[:, 0], found[:, 1]], axis=1)


def walk(algorithm, space, evaluations, objectives_of=made_up_objectives):
    told = []
    while len(told) < evaluations:
        genomes = algorithm.ask()
        found = objectives_of(space, genomes)
        algorithm.tell(genomes, found)
        told.extend(found)
    return np.asarray(told)


@BOTH
def test_a_separable_problem_is_learned(settings):
    space = SeparableSpace()
    learned, drawn = (
        [walk(make(seed), space, 400, separable) for seed in range(2)]
        for make in (
            lambda seed: policy_search(space, seed, 20, SOFT, settings, separable),
            lambda seed: RandomSearch(space, np.random.default_rng(seed), 20),
        )
    )
    for own, baseline in zip(learned, drawn, strict=True):
        assert own[:, 0].min() < baseline[:, 0].min()
        assert own[-100:, 0].mean() < 0.7 * baseline[-100:, 0].mean()
    assert np.mean([own[:, 0].min() for own in learned]) < 0.75 * np.mean([own[:, 0].min() for own in drawn])


@BOTH
def test_a_replay_asks_for_the_same_and_goes_on_the_same(settings):
    """A study that was killed in mid-generation tells the recorded part again and the rest for the first time."""
    space = open_space("mobilenetv3", "digits")
    first, told = policy_search(space, 5, 8, HARD, settings), []
    for _ in range(4):
        genomes = first.ask()
        told.append((genomes, made_up_objectives(space, genomes)))
        first.tell(*told[-1])
    expected = [first.ask(), first.figures]
    torch.manual_seed(77)
    again = policy_search(space, 5, 8, HARD, settings)
    for genomes, objectives in told:
        assert again.ask() == genomes
        again.tell(genomes, objectives)
    assert [again.ask(), again.figures] == expected


def test_global_state_stays_as_it_was():
    space = tiny_space()
    torch.use_deterministic_algorithms(False)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()
    walk(policy_search(space, 0, 4), space, 8)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (before[2], False)


def test_no_network_is_paid_for_that_could_not_be_the_best():
    """With the hard reward one of twice the target cannot pass 0.5, however good it is."""
    space, best, skipped, hard = open_space("mobilenetv3", "fashion"), 0.0, 0.0, MnasnetReward(2.0, 0.0, -1.0)
    algorithm = policy_search(space, 2, 10, hard)
    for _ in range(12):
        genomes = algorithm.ask()
        found = gentle(space, genomes)
        algorithm.tell(genomes, found)
        assert algorithm.figures["filled_share"] == 0
        assert (hard.factors(found[:, 1]) > best).all()
        skipped += algorithm.figures["hopeless_share"]
        best = max(best, *hard.of(found[:, 0], found[:, 1]))
    assert skipped > 0


def test_hard_stays_below_the_target_and_soft_goes_to_both_sides():
    space = open_space("mobilenetv3", "fashion")
    hard, soft = (
        np.concatenate([walk(policy_search(space, seed, 16, one), space, 320, gentle)[-96:, 1] for seed in range(2)])
        for one in (HARD, SOFT)
    )
    assert (hard <= 3.0).mean() > 0.7
    assert 0.03 < (soft <= 3.0).mean() < (hard <= 3.0).mean()


def test_figures_are_told_after_learning_and_each_is_in_range():
    space = open_space("mobilenetv3", "digits")
    algorithm = policy_search(space, 0, 8)
    assert isinstance(algorithm, Learner) and not isinstance(RandomSearch(space, np.random.default_rng(0), 8), Learner)
    assert algorithm.figures == {}
    walk(algorithm, space, 40)
    shares = {"distinct_share", "new_share", "hopeless_share", "filled_share"}
    assert set(algorithm.figures) == {field.name for field in dataclasses.fields(LearningFigures)} | shares
    assert all(0 <= algorithm.figures[name] <= 1 for name in (*shares, "entropy", "clip_fraction"))
    assert algorithm.figures["new_share"] <= algorithm.figures["distinct_share"]


def test_a_network_known_already_is_learned_from_without_being_asked_again():
    space = tiny_space()
    algorithm = policy_search(space, 3, 4)
    learned = 0
    for _ in range(4):
        genomes = algorithm.ask()
        algorithm.tell(genomes, made_up_objectives(space, genomes))
        learned = max(learned, algorithm.figures["sequences"])
    assert learned > len(genomes)


def test_a_generation_of_failures_is_the_worst_there_is_and_is_unlearned():
    """Where the first gene's last choice fails, it is drawn less and less."""
    space = SeparableSpace()

    def failing(space, genomes):
        found = separable(space, genomes)
        found[np.asarray(genomes)[:, 0] == 3, 0] = 1.0
        return found

    told = walk(policy_search(space, 1, 20, SOFT, PPO, separable), space, 400, failing)
    assert (told[-100:, 0] == 1).mean() < 0.5 * (told[:60, 0] == 1).mean()
