"""What every search algorithm must do, as tests to inherit, and made-up parts that stand in for slow ones in tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mnas.jsonio import sha256_json
from mnas.space import Genome, SearchSpace
from mnas.spaces.mobilenetv3 import mobilenetv3
from mnas.spaces.staged import StagedSpace
from search.accuracy.jobs import TrainingJob, TrainingOutcome
from search.algorithms.algorithm import Algorithm, FloatArray
from search.events import EventLog
from search.executors.executor import InProcessExecutor, Job, OnDone, Outcome

_POPULATION = 6


def _share(*parts: str) -> float:
    """Return a number 0..1 that depends on nothing but the texts."""
    return int(sha256_json(list(parts))[:8], 16) / 16**8


class KeptReporter:
    """Keeps what it is told.

    Attributes:
        lines: Said once.
        warnings: Not to be missed.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def line(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)

    def warn(self, text: str) -> None:
        """Keep a warning."""
        self.warnings.append(text)

    def progress(self, what: str, done: int, total: int) -> None:
        """Keep nothing."""


class MadeUpTraining(InProcessExecutor):
    """Trains nothing: a network's error comes from the training's seed, unless it is told to fail or to stop.

    Args:
        failing: Number of the training, from 0 -> why it fails.
        stop_after: Trainings after which Ctrl-C is pressed; ``None`` for never.

    Attributes:
        trained: Every training that was begun.
    """

    def __init__(self, failing: Mapping[int, str] | None = None, stop_after: int | None = None) -> None:
        self._failing = dict(failing or {})
        self._stop_after = stop_after
        self.trained: list[TrainingJob] = []

    def map_in_order(self, jobs: Sequence[Job], on_done: OnDone | None = None) -> list[Outcome]:
        """Make up an outcome for every training."""
        return super().map_in_order([Job(self._train, job.arguments) for job in jobs], on_done)

    def _train(self, job: TrainingJob) -> TrainingOutcome:
        number = len(self.trained)
        if number == self._stop_after:
            raise KeyboardInterrupt
        self.trained.append(job)
        if number in self._failing:
            return TrainingOutcome(seed=job.seed, error_message=self._failing[number], diverged=True)
        found = dict.fromkeys(job.evaluate_splits, _share(str(job.seed)))
        return TrainingOutcome(found, found, dict.fromkeys(found, 100), 1.0, 0.5, job.seed)


class ShortTraining(InProcessExecutor):
    """Runs jobs really, but trains shortly: those whose weights are kept for 4 epochs, the others on a few images.

    Args:
        log: Of the study.

    Attributes:
        jobs: What every job was given, with the kinds of events that stood by then.
    """

    def __init__(self, log: EventLog | None = None) -> None:
        self.log = log
        self.jobs: list[tuple[Any, set[str]]] = []

    def map_in_order(self, jobs: Sequence[Job], on_done: OnDone | None = None) -> list[Outcome]:
        """Run every job."""
        return super().map_in_order([Job(self._run, (job,)) for job in jobs], on_done)

    def _run(self, job: Job) -> object:
        (given,) = job.arguments
        self.jobs.append((given, {event["kind"] for event in self.log.history()} if self.log else set()))
        if isinstance(given, TrainingJob):
            images, epochs = (0, 4) if given.keep_weights_path else (256, 1)
            schedule = replace(given.schedule, train_images=images, epochs=epochs, bn_images=256)
            given = replace(given, schedule=schedule)
        return job.function(given)


def tiny_space(*, kernels: tuple[int, ...] = (3, 5), widths: tuple[float, ...] = (0.5, 1.0)) -> StagedSpace:
    """Return a space of one stage that can be enumerated: 2 resolutions x widths x (kernels + kernels squared)."""
    layer = {"kernels": kernels, "expands": (3,), "depths": (1, 2)}
    return StagedSpace(
        mobilenetv3(
            "tiny",
            ((24, 2, "relu"),),
            layer=layer,
            stem_stride=1,
            head_conv=32,
            in_channels=1,
            classes=10,
            resolutions_px=(8, 12),
            widths=widths,
        )
    )


def made_up_objectives(space: SearchSpace, genomes: list[Genome]) -> FloatArray:
    """Return errors 0..1 and latencies 1..5 ms, ``(n, 2)``: larger genes are better and slower, at various rates."""
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

    def test_a_start_that_fails_stops_nothing(self) -> None:
        """Neither a first generation that fails whole, nor one of which nothing is told."""
        space = self.space()
        for told in (_POPULATION, 0):
            algorithm, asked = self.algorithm(space, 9, _POPULATION), list[Genome]()
            for generation in range(5):
                genomes = algorithm.ask()
                asked += genomes
                objectives = made_up_objectives(space, genomes)
                objectives[:, 0] = 1.0 if generation == 0 else objectives[:, 0]
                kept = told if generation == 0 else len(genomes)
                algorithm.tell(genomes[:kept], objectives[:kept])
            assert len(set(asked)) == 5 * _POPULATION

    def test_replay_goes_on_from_within_a_generation(self) -> None:
        """A search that was cut off within a generation is run anew and told the rest: as if nothing had happened."""
        space = self.space()
        whole = self._walk(self.algorithm(space, 4, _POPULATION), space, 5)
        cut = self.algorithm(space, 4, _POPULATION)
        before = self._walk(cut, space, 2)
        genomes = cut.ask()
        cut.tell(genomes[:2], made_up_objectives(space, genomes)[:2])
        assert self._walk(self.algorithm(space, 4, _POPULATION), space, 5) == whole
        assert before + genomes == whole[: 3 * _POPULATION]
