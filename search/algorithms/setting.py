"""What a search algorithm is made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.algorithms.algorithm import GenomeSpace, LatencyOf


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSetting:
    """All that an algorithm may know; it takes what it needs.

    The budget is not among it, since that may change when a study is resumed.

    Attributes:
        space: The space.
        rng: The algorithm's own stream.
        latency_of: The cheap objective, last among the objectives: latencies of genomes.
        population: Networks of one generation.
        oversample: Candidates looked at by latency for each one asked for.
        objectives: How many there are.
        reference_point: Error and latency of the hypervolume; ``None`` where the algorithm takes what it has seen.
        target_ms: T of the reward; ``None`` where there is none.
        alpha: Exponent of LAT/T at or below T.
        beta: Exponent of LAT/T above T.
    """

    space: GenomeSpace
    rng: np.random.Generator
    latency_of: LatencyOf
    population: int = 20
    oversample: int = 1
    objectives: int = 2
    reference_point: tuple[float, float] | None = None
    target_ms: float | None = None
    alpha: float = -0.07
    beta: float = -0.07
