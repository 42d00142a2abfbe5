"""Choosing candidates by their latency, which is free, before their accuracy is paid for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mnas.space import Genome
from search.algorithms.algorithm import FloatArray


def spread_by_latency(latency_ms: FloatArray, count: int, rng: np.random.Generator) -> list[int]:
    """Return the indices of ``count`` candidates spread evenly over the logarithm of latency.

    Where some are zero or negative, as another cheap objective may be, they are spread over the values themselves.

    The range is cut into ``count`` equal bins, the fastest and the slowest candidate are always taken, one is drawn
    from each other bin, and what empty bins leave open is drawn from the rest.

    Args:
        latency_ms: ``(n,)``, finite.
        count: How many; all of them when there are not more.
        rng: Draws.
    """
    if len(latency_ms) <= count:
        return list(range(len(latency_ms)))
    position = np.log(latency_ms) if latency_ms.min() > 0 else latency_ms
    low, high = float(position.min()), float(position.max())
    bins = np.minimum(((position - low) / max(high - low, 1e-12) * count).astype(int), count - 1)
    chosen: list[int] = []
    for number in range(count):
        members = np.flatnonzero(bins == number)
        if number == 0:
            chosen.append(int(np.argmin(position)))
        elif number == count - 1 and int(np.argmax(position)) not in chosen:
            chosen.append(int(np.argmax(position)))
        elif len(members):
            chosen.append(int(rng.choice(members)))
    chosen = list(dict.fromkeys(chosen))
    rest = np.setdiff1d(np.arange(len(latency_ms)), chosen)
    chosen += [int(i) for i in rng.permutation(rest)[: count - len(chosen)]]
    return sorted(chosen)


def spread_apart(genomes: Sequence[Genome], latency_ms: FloatArray, count: int, rng: np.random.Generator) -> list[int]:
    """Return the indices of ``count`` networks spread over the logarithm of latency that have few genes in common.

    The range is cut into ``count`` equal bins. The fastest and the slowest network come first, then one of each other
    bin, in random order: the one that differs in most genes from the closest of those taken. What empty bins leave open
    is taken likewise from the rest. So every first part of the result is spread as well.

    Args:
        genomes: Distinct.
        latency_ms: Theirs, ``(n,)``; where some are zero or negative, the values themselves are spread.
        count: How many; all of them when there are not more.
        rng: Draws.
    """
    if len(genomes) == 0 or count < 1:
        return []
    choices = np.asarray(genomes)
    position = np.log(latency_ms) if latency_ms.min() > 0 else latency_ms
    low, high = float(position.min()), float(position.max())
    bins = np.minimum(((position - low) / max(high - low, 1e-12) * count).astype(int), count - 1)
    ends = [np.asarray([position.argmin()]), np.asarray([position.argmax()])]
    groups = [*ends, *(np.flatnonzero(bins == number) for number in rng.permutation(count))]
    taken: list[int] = []
    apart = np.full(len(choices), choices.shape[1] + 1)  # genes that differ from the closest taken; 0 for those

    def take_one_of(group: npt.NDArray[np.int64]) -> None:
        taken.append(int(group[np.argmax(apart[group])]))
        np.minimum(apart, (choices != choices[taken[-1]]).sum(axis=1), out=apart)

    for group in groups:
        if len(taken) < count and len(group) and (apart[group] > 0).all():
            take_one_of(group)
    while len(taken) < min(count, len(choices)):
        take_one_of(np.arange(len(choices)))
    return taken
