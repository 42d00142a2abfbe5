"""Seconds to sample and count 10,000 architectures of each family's ``imagenet`` preset, one core.

Ours: the space is opened, its segments are counted, 10,000 networks are drawn uniformly and their MACs and parameters
looked up by genome, from nothing each time. Beside it the plain way: each of 500 of them is decoded, walked by
`layers_of` and counted, times twenty; both ways must give the same counts. The least of the turns counts.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from _result import write_result

from mnas.counts import total_macs, total_params
from mnas.genome_counts import GenomeCounts
from mnas.layers import layers_of
from mnas.space import Genome
from mnas.spaces.presets import FAMILIES, open_space

NETWORKS, FEW, TURNS, SEED = 10_000, 500, 5, 0
TARGETS = {f"{family}_s": ("<=", 3.0) for family in FAMILIES}


def by_genome(family: str) -> tuple[list[Genome], list[tuple[int, int]], dict[str, float]]:
    """Return genomes, their MACs and parameters, and the seconds of each step."""
    started = time.perf_counter()
    space = open_space(family, "imagenet")
    counts, rng = GenomeCounts(space), np.random.default_rng(SEED)
    opened = time.perf_counter()
    genomes = [space.sample(rng) for _ in range(NETWORKS)]
    sampled = time.perf_counter()
    found = list(zip(counts.macs(genomes).tolist(), counts.params(genomes).tolist(), strict=True))
    done = time.perf_counter()
    steps = {"open_s": opened - started, "sample_s": sampled - opened, "count_s": done - sampled, "s": done - started}
    return genomes, found, steps


def one_by_one(family: str, genomes: list[Genome]) -> tuple[list[tuple[int, int]], float]:
    """Return MACs and parameters of networks that are decoded and walked, and the seconds of that."""
    space = open_space(family, "imagenet")
    space.decode(genomes[0])
    started, found = time.perf_counter(), []
    for genome in genomes:
        layers = layers_of(space.decode(genome))
        found.append((total_macs(layers), total_params(layers)))
    return found, time.perf_counter() - started


def main() -> int:
    """Run the benchmark; 1 when a target is missed or the counts differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    for family in FAMILIES:
        turns, plain_s = [], []
        for _ in range(TURNS):
            genomes, counted, steps = by_genome(family)
            walked, seconds = one_by_one(family, genomes[:FEW])
            if walked != counted[:FEW]:
                raise SystemExit(f"{family}: counts by genome differ from those of the networks")
            turns.append(steps)
            plain_s.append(seconds * NETWORKS / FEW)
        best = min(turns, key=lambda steps: steps["s"])
        figures |= {f"{family}_{name}": value for name, value in best.items()}
        figures[f"{family}_s_greatest"] = max(steps["s"] for steps in turns)
        figures[f"{family}_one_by_one_s"] = min(plain_s)
        figures[f"{family}_times_faster"] = min(plain_s) / best["s"]
    return int(not write_result("space_speed", figures, TARGETS, [SEED], options.json))


if __name__ == "__main__":
    sys.exit(main())
