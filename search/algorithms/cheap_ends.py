"""The two ends of a space by its cheap objective, which costs nothing to look at."""

from __future__ import annotations

import numpy as np

from mnas.space import Genome
from search.algorithms.algorithm import GenomeSpace, LatencyOf
from search.algorithms.random_search import draw_new

_DRAWS = 64
_PASSES = 4


def cheap_ends(space: GenomeSpace, rng: np.random.Generator, latency_of: LatencyOf) -> list[Genome]:
    """Return the fastest and the slowest genome that gene-wise descent finds from the best of some draws.

    Exact where each gene's part in the latency keeps its sign, and close elsewhere; one genome when both are equal.

    Args:
        space: The space.
        rng: Draws.
        latency_of: The cheap objective.
    """
    pool = draw_new(space, rng, _DRAWS, set())
    if not pool:
        return []
    latencies = latency_of(pool)
    starts = (pool[int(np.argmin(latencies))], pool[int(np.argmax(latencies))])
    ends = [_descend(space, start, sign, latency_of) for start, sign in zip(starts, (1.0, -1.0), strict=True)]
    return list(dict.fromkeys(ends))


def _descend(space: GenomeSpace, genome: Genome, sign: float, latency_of: LatencyOf) -> Genome:
    best = sign * float(latency_of([genome])[0])
    for _ in range(_PASSES):
        before = genome
        for gene, count in enumerate(space.cardinalities):
            others = [space.canonical((*genome[:gene], choice, *genome[gene + 1 :])) for choice in range(count)]
            values = sign * latency_of(others)
            least = int(np.argmin(values))
            if values[least] < best:
                genome, best = others[least], float(values[least])
        if genome == before:
            break
    return genome
