"""What a search itself costs, where evaluations are looked up: CPU seconds of one core.

NSGA-II with 10,000 evaluations in generations of 100, evaluation included; where they are registered, PPO's step of 32
samples and the surrogate's time for each suggestion once it knows 500 networks. Space, latencies (made up from MACs)
and accuracies are those of ``large_space.py``.

    python benchmarks/search_overhead.py --json benchmarks/results/search_overhead.json
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from _accuracy_function import AccuracyFunction
from _algorithm_settings import setting_of
from _result import write_result
from _space_latency import simulated_latency

from mnas.seeding import named_rng
from mnas.spaces.presets import open_space
from search.algorithms.registry import algorithm_names, open_algorithm
from search.algorithms.setting import SearchSetting

NSGA2_EVALUATIONS = 10_000
PPO_SAMPLES = 32
SURROGATE_KNOWS = 500
TARGETS = {"nsga2_10000_s": ("<=", 2.0), "ppo_step_s": ("<=", 1.0), "surrogate_suggestion_s": ("<=", 0.1)}


class Landscape:
    """The space and what its networks are worth."""

    def __init__(self) -> None:
        self.space = open_space("mobilenetv3", "imagenet", (224,))
        self.latency_of = simulated_latency(self.space)
        self.accuracy = AccuracyFunction(self.space)

    def generations(self, name: str, setting: dict[str, Any], evaluations: int) -> list[tuple[int, float]]:
        """Return networks and CPU seconds of each generation of a search, evaluation included."""
        rng = named_rng(0, "draws for the median latency")
        median = float(np.median(self.latency_of([self.space.draw(rng) for _ in range(200)])))
        own = SearchSetting(
            space=self.space, rng=named_rng(0, name), latency_of=self.latency_of, target_ms=median, **setting
        )
        algorithm, found = open_algorithm(name, own), list[tuple[int, float]]()
        while sum(count for count, _ in found) < evaluations:
            started = time.process_time()
            genomes = algorithm.ask()
            algorithm.tell(genomes, np.stack([self.accuracy.error(genomes), self.latency_of(genomes)], axis=1))
            found.append((len(genomes), time.process_time() - started))
        return found


def main() -> int:
    """Measure and write; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, default=None, help="file for the figures")
    options = parser.parse_args()
    landscape, names, figures = Landscape(), algorithm_names(), dict[str, Any]()
    rows = landscape.generations("nsga2", {"population": 100, "oversample": 1}, NSGA2_EVALUATIONS)
    figures["nsga2_10000_s"] = sum(seconds for _, seconds in rows)
    if "ppo" in names:
        rows = landscape.generations("ppo", setting_of("ppo") | {"population": PPO_SAMPLES}, 8 * PPO_SAMPLES)
        figures["ppo_step_s"] = float(np.median([seconds for _, seconds in rows]))
    if "surrogate" in names:
        rows = landscape.generations("surrogate", setting_of("surrogate"), SURROGATE_KNOWS + 20)
        known = np.cumsum([count for count, _ in rows])
        late = [seconds / count for (count, seconds), total in zip(rows, known, strict=True) if total > SURROGATE_KNOWS]
        figures["surrogate_suggestion_s"] = float(np.median(late))
    targets = {name: target for name, target in TARGETS.items() if name in figures}
    return 0 if write_result("search_overhead", figures, targets, [0], options.json) else 1


if __name__ == "__main__":
    sys.exit(main())
