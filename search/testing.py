"""What every search algorithm must do, as tests to inherit."""

from __future__ import annotations

import numpy as np

from mnas.space import Genome, SearchSpace
from mnas.spaces.mobilenetv3 import MobileNetV3Choices, MobileNetV3Space, StageChoices
from search.algorithms.algorithm import Algorithm, FloatArray

_POPULATION = 6


def tiny_space(*, kernels: tuple[int, ...] = (3, 5), widths: tuple[float, ...] = (0.5, 1.0)) -> MobileNetV3Space:
    """Return a space of one stage that can be enumerated: 2 resolutions x widths x (kernels + kernels squared)."""
    return MobileNetV3Space(
        MobileNetV3Choices(
            preset="tiny",
            in_channels=1,
            classes=10,
            resolutions_px=(8, 12),
            widths=widths,
            kernels=kernels,
            expands=(3,),
            se_ratios=(0.0,),
            depths=(1, 2),
            stem_channels=16,
            stem_stride=1,
            stem_block=False,
            stages=(StageChoices(24, 2, "relu"),),
            head_conv=32,
            head_linear=0,
        )
    )


def made_up_objectives(space: SearchSpace, genomes: list[Genome]) -> FloatArray:
    """Return errors 0..1 and latencies 1..5 ms, ``(n, 2)``: larger genes are better and slower, each at another rate."""
    top = np.maximum(np.asarray(space.cardinalities) - 1, 1)
    share = np.asarray(genomes, dtype=float).reshape(len(genomes), len(top)) / top
    gene = np.arange(len(top))
    gain, cost = 1.0 + (2 * gene + 1) % 5, 1.0 + gene % 3
    return np.stack([1 - share @ gain / gain.sum(), 1 + 4 * share @ cost / cost.sum()], axis=1)


class AlgorithmConformance:
    """Tests that every algorithm must pass. A subclass overrides `algorithm`; its name starts with ``Test``."""

    def algorithm(self, space: SearchSpace, seed: int, population: int) -> Algorithm:
        """Return an algorithm, made anew at each call, that takes latencies from `made_up_objectives`."""
        raise NotImplementedError

    def space(self) -> SearchSpace:
        """Return a space of thousands of networks."""
        return tiny_space(kernels=(3, 5, 7, 9, 11, 13, 15), widths=(0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0))

    def _walk(self, algorithm: Algorithm, space: SearchSpace, generations: int) -> list[Genome]:
        asked: list[Genome] = []
        for _ in range(generations):
            genomes = algorithm.ask()
            asked += genomes
            algorithm.tell(genomes, made_up_objectives(space, genomes))
        return asked

    def test_equal_seeds_and_equal_news_give_equal_asks(self) -> None:
        """And another seed gives others."""
        space = self.space()
        first, again, other = (self._walk(self.algorithm(space, seed, _POPULATION), space, 5) for seed in (3, 3, 4))
        assert first == again
        assert first != other

    def test_algorithms_do_not_share_a_random_stream(self) -> None:
        """Two that take turns ask for what each asks for alone, whatever numpy's global state."""
        space = self.space()
        alone = self._walk(self.algorithm(space, 3, _POPULATION), space, 4)
        np.random.seed(0)
        mine, other, asked = self.algorithm(space, 3, _POPULATION), self.algorithm(space, 8, _POPULATION), []
        for _ in range(4):
            asked += self._walk(mine, space, 1)
            self._walk(other, space, 1)
        assert asked == alone

    def test_genomes_are_canonical_and_never_asked_twice(self) -> None:
        """A generation is full as long as the space has plenty left."""
        space = self.space()
        asked = self._walk(self.algorithm(space, 1, _POPULATION), space, 12)
        assert len(asked) == len(set(asked)) == 12 * _POPULATION
        assert all(space.canonical(genome) == genome for genome in asked)

    def test_a_small_space_is_exhausted_and_then_nothing_is_asked(self) -> None:
        """Without a hang and without a double, and most of it is found."""
        space = tiny_space()
        algorithm, asked = self.algorithm(space, 2, 4), list[Genome]()
        for _ in range(2 * space.size()):
            genomes = algorithm.ask()
            if not genomes:
                break
            asked += genomes
            algorithm.tell(genomes, made_up_objectives(space, genomes))
        assert algorithm.ask() == []
        assert len(set(asked)) == len(asked) >= 0.9 * space.size()

    def test_a_population_larger_than_the_space_asks_for_what_there_is(self) -> None:
        """One generation holds it, and the next is empty."""
        space = tiny_space(kernels=(3,), widths=(1.0,))
        algorithm = self.algorithm(space, 0, 40)
        genomes = algorithm.ask()
        assert len(set(genomes)) == len(genomes) == space.size()
        algorithm.tell(genomes, made_up_objectives(space, genomes))
        assert algorithm.ask() == []

    def test_a_generation_may_be_told_in_part(self) -> None:
        """A budget ends within a generation, and a larger one goes on from there."""
        space = self.space()
        algorithm = self.algorithm(space, 5, _POPULATION)
        for kept in (1, _POPULATION - 1, 0, 2):
            genomes = algorithm.ask()
            assert len(genomes) == _POPULATION
            algorithm.tell(genomes[:kept], made_up_objectives(space, genomes)[:kept])
        assert len(algorithm.ask()) == _POPULATION

    def test_equal_objectives_stop_nothing(self) -> None:
        """Neither where every network is as good as any other, nor where each has failed."""
        space = self.space()
        for error in (0.25, 1.0):
            algorithm, asked = self.algorithm(space, 6, _POPULATION), list[Genome]()
            for _ in range(5):
                genomes = algorithm.ask()
                asked += genomes
                algorithm.tell(genomes, np.full((len(genomes), 2), error))
            assert len(set(asked)) == 5 * _POPULATION

    def test_failed_networks_among_others_stop_nothing(self) -> None:
        """They are told with an error of 1."""
        space = self.space()
        algorithm, asked = self.algorithm(space, 7, _POPULATION), list[Genome]()
        for _ in range(6):
            genomes = algorithm.ask()
            objectives = made_up_objectives(space, genomes)
            objectives[::2, 0] = 1.0
            asked += genomes
            algorithm.tell(genomes, objectives)
        assert len(set(asked)) == 6 * _POPULATION
