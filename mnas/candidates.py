"""Candidates for a search or a benchmark: distinct networks of a space that meet constraints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np

from mnas.constraint import Constraint, figure_text
from mnas.errors import SpaceError
from mnas.genome_index import FloatArray
from mnas.space import Genome, SearchSpace

_FEWEST, _MOST = 64, 2048
"""Networks looked at in one batch."""
_PATIENCE = 1000
"""Uniform draws before their yield is judged."""
_PARENTS = 64
_TOURNAMENT, _TO_EXTREME = 3, 0.5


@dataclass(frozen=True, slots=True)
class _Reach:
    """The least and the greatest figure of a space, and the networks that have them."""

    least: float
    greatest: float
    lowest: Genome
    highest: Genome


class CandidateGenerator:
    """Draws distinct networks that meet every constraint; a function of its space, constraints and generator alone.

    Networks are drawn uniformly and those outside a range are dropped, so that what is found is a uniform sample of
    what meets the constraints. A space with no more networks than ``max_tries`` is gone through in random order, each
    network once. In a larger one, when the yield so far says that the tries left are too few, it goes on from the
    nearest networks and from the extremes of the space, which it mixes and mutates: then the sample is not uniform any
    more, as the price of finding any. ``uniform=True`` forbids that.

    Args:
        space: The space.
        constraints: All of them hold for each candidate.
        rng: Its own stream.
        max_tries: Networks looked at in one call of `generate` at most.
        uniform: Drop and draw again to the end.

    Attributes:
        is_uniform: Whether all that it found so far is a uniform sample.
    """

    def __init__(
        self,
        space: SearchSpace,
        constraints: Sequence[Constraint],
        rng: np.random.Generator,
        *,
        max_tries: int = 100_000,
        uniform: bool = False,
    ) -> None:
        self.space, self.constraints, self.max_tries, self.is_uniform = space, tuple(constraints), max_tries, True
        self._rng = rng
        self._is_small = space.size() <= max_tries
        self._may_guide = not uniform and not self._is_small
        self._source = self._shuffled() if self._is_small else self._draws()
        self._given: set[Genome] = set()
        self._left_over: list[Genome] = []

    def generate(self, count: int) -> list[Genome]:
        """Return ``count`` canonical genomes, distinct from each other and from those of earlier calls.

        Raises:
            SpaceError: ``SPC21``: fewer were found. The message says how many were looked at, how far the nearest one
                lies from each constraint, and what the space can reach.
        """
        self._require_reach(count)
        found = dict.fromkeys(self._left_over)
        nearest, tried, is_guided = _Nearest(self.constraints), 0, False
        while len(found) < count and tried < self.max_tries:
            size = min(self._batch_size(count, len(found), tried), self.max_tries - tried)
            if is_guided:
                batch = self._children(nearest, size)
            elif self._may_guide and self._is_hopeless(count, len(found), tried):
                is_guided, self.is_uniform = True, False
                batch = [*self._extremes(), *self._children(nearest, size)][:size]
            else:
                batch = list(islice(self._source, size))
            if not batch:
                break
            tried += len(batch)
            found |= dict.fromkeys(one for one in nearest.add(batch) if one not in self._given)
        self._left_over = list(found)
        if len(found) < count:
            raise self._too_few(count, len(found), tried, nearest.best)
        candidates, self._left_over = self._left_over[:count], self._left_over[count:]
        self._given.update(candidates)
        return candidates

    def _draws(self) -> Iterator[Genome]:
        while True:
            yield self.space.sample(self._rng)

    def _shuffled(self) -> Iterator[Genome]:
        """Every network of the space once; a later call goes on where this one stopped."""
        for number in self._rng.permutation(self.space.size()):
            yield self.space.unrank(int(number))

    def _batch_size(self, count: int, found: int, tried: int) -> int:
        """As many as will do at the yield so far, and a little more."""
        wanted = 1.2 * (count - found) * (tried + 1) / (found + 1)
        return int(np.clip(wanted, _FEWEST, _MOST))

    def _is_hopeless(self, count: int, found: int, tried: int) -> bool:
        """Whether uniform draws, at the yield so far, will not have found enough within the tries left."""
        return tried >= _PATIENCE and found * (self.max_tries - tried) < (count - found) * tried

    def _children(self, nearest: _Nearest, size: int) -> list[Genome]:
        """Return mixtures of one of the nearest networks with an extreme or with another of them, mutated a little."""
        rng, near, extremes, children = self._rng, nearest.genomes, self._extremes() or nearest.genomes, []
        # The nearest come first: of some picks, the least.
        picks = rng.integers(0, len(near), (size, 2, _TOURNAMENT)).min(axis=2)
        to_extreme, ends = rng.random(size) < _TO_EXTREME, rng.integers(0, len(extremes), size)
        for (first, second), is_extreme, end, share in zip(picks, to_extreme, ends, rng.random(size), strict=True):
            other = extremes[end] if is_extreme else near[second]
            taken = rng.random(len(other)) < share
            mixed = tuple(b if hit else a for a, b, hit in zip(near[first], other, taken, strict=True))
            children.append(self.space.mutate(mixed, rng, 2.0 ** rng.integers(-1, 2) / len(mixed)))
        return children

    @cached_property
    def _reaches(self) -> tuple[_Reach | None, ...]:
        """What the space can reach of each constraint's figure, where that is known exactly."""
        return tuple(map(self._reach_of, self.constraints))

    def _reach_of(self, constraint: Constraint) -> _Reach | None:
        cost = constraint.cost
        if cost is None:
            return None
        ends = self.space.cheapest(cost), self.space.cheapest(lambda segment: -cost(segment))
        least, greatest = constraint.measure(ends)
        return _Reach(float(least), float(greatest), *ends)

    def _extremes(self) -> list[Genome]:
        """Return the networks at the ends of what can be reached: where a range lies at the edge, they lie near it."""
        ends = [end for reach in self._reaches if reach is not None for end in (reach.lowest, reach.highest)]
        return list(dict.fromkeys(ends))

    def _require_reach(self, count: int) -> None:
        """Refuse a range that no network of the space lies in, before anything is tried."""
        for one, reach in zip(self.constraints, self._reaches, strict=True):
            if reach is not None and reach.least > one.high:
                raise self._too_few(count, 0, None, reach.lowest)
            if reach is not None and reach.greatest < one.low:
                raise self._too_few(count, 0, None, reach.highest)

    def _too_few(self, count: int, found: int, tried: int | None, nearest: Genome | None) -> SpaceError:
        """Return the error; ``tried`` is ``None`` where no network of the space can do."""
        why = []
        if nearest is not None and not found:
            figures = [one.verdict(float(one.measure([nearest])[0])) for one in self.constraints]
            why.append(f"the nearest one has {', '.join(figures)}")
        for one, reach in zip(self.constraints, self._reaches, strict=True):
            if reach is not None:
                ends = f"{figure_text(reach.least)} to {figure_text(reach.greatest)}"
                why.append(f"{one.name} of the space go from {ends}")
        looked_at, fix = f"{tried or 0:,}", "loosen that constraint"
        if tried is not None:
            fix = "ask for fewer, or loosen a constraint" + ("" if self._is_small else ", or allow more tries")
            looked_at = f"each of {self.space.size():,}" if self._is_small else looked_at
        return SpaceError(
            "SPC21",
            f"too few networks of {self.space.name} meet the constraints",
            value=f"{found} of {count}, {looked_at} looked at",
            why="; ".join(why) or "there are no more",
            fix=fix,
        )


class _Nearest:
    """The networks looked at that lie nearest to the ranges.

    How near is the sum over the constraints of how far a figure lies off, in standard deviations of that figure in the
    first batch.

    Attributes:
        genomes: Some of the nearest, each once.
    """

    def __init__(self, constraints: tuple[Constraint, ...]) -> None:
        self._constraints = constraints
        self._scales: FloatArray | None = None
        self.genomes: list[Genome] = []
        self._distances = np.zeros(0)

    @property
    def best(self) -> Genome | None:
        """The nearest of all, ``None`` before the first."""
        return self.genomes[int(np.argmin(self._distances))] if self.genomes else None

    def add(self, batch: list[Genome]) -> list[Genome]:
        """Look at networks, keep those that are near, and return those that meet every constraint."""
        figures = np.array([one.measure(batch) for one in self._constraints], dtype=np.float64)
        figures = figures.reshape(len(self._constraints), len(batch))
        if self._scales is None:
            self._scales = np.array([_spread(row) for row in figures])
        off = np.array([one.off(row) for one, row in zip(self._constraints, figures, strict=True)])
        distances = (off.reshape(figures.shape) / self._scales[:, None]).sum(axis=0)
        self._keep(batch, distances)
        return [genome for genome, distance in zip(batch, distances, strict=True) if distance == 0]

    def _keep(self, batch: list[Genome], distances: FloatArray) -> None:
        # Newer ones first: among equals they take the places, so that the parents do not stay the same.
        merged = dict(zip([*batch, *self.genomes], [*distances, *self._distances], strict=True))
        genomes, far = list(merged), np.array(list(merged.values()))
        kept = np.argsort(far, kind="stable")[:_PARENTS]
        self.genomes, self._distances = [genomes[at] for at in kept], far[kept]


def _spread(figures: FloatArray) -> float:
    finite = figures[np.isfinite(figures)]
    return float(finite.std()) or 1.0 if len(finite) else 1.0
