"""How many networks a second a latency table estimates, one core, beside once-for-all's own estimator.

Ours: a complete made-up table of the ``imagenet`` preset (5 resolutions, 3 widths) and 1,000 random genomes at a time;
the same with standard deviations, and architectures one by one. The peer: `LatencyEstimator` of a checkout of
once-for-all (``--peer``; its code as it is, its table read by ``yaml.safe_load``) on its Galaxy Note10 table, given
1,000 random specs as dictionaries. All are timed in turn, over and over; the median counts. Speed has nothing to do
with what the numbers say, so that the table may be made up.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from _result import write_result

from latency.testing import made_up_table
from latency.uncertainty import DRAWS, TableDraws
from mnas.spaces.presets import open_space

NETWORKS, FEW, TURNS = 1000, 100, 15
CALLS = 20
"""Of a population at a time: one call takes a quarter of a millisecond, too little to be timed alone."""
SEED = 0
TARGETS = {"genomes_per_s": (">=", 1e6)}


def _ours() -> dict[str, tuple[int, Callable[[], Any]]]:
    """Return name -> (networks, what estimates them)."""
    space = open_space("mobilenetv3", "imagenet")
    table, rng = made_up_table(space), np.random.default_rng(SEED)
    entries = np.array([entry.latency_ms for entry in table.entries.values()])
    spread = rng.normal(1, 0.02, (len(entries), DRAWS))
    table.draws = TableDraws(entries[:, None] * spread, np.tile([1.1, 0.02, 0.0], (DRAWS, 1)))
    genomes = rng.integers(0, space.cardinalities, (NETWORKS, len(space.cardinalities)))
    architectures = [space.decode(tuple(map(int, genome))) for genome in genomes[:FEW]]
    population = table.over(space)
    return {
        "genomes": (CALLS * NETWORKS, lambda: [population.ms(genomes) for _ in range(CALLS)]),
        "genomes_with_sd": (NETWORKS, lambda: population.sd_ms(genomes)),
        "architectures": (FEW, lambda: table.estimate(architectures)),
    }


def _peer(checkout: Path, table: Path) -> tuple[int, Callable[[], Any]]:
    """Return once-for-all's estimator; of its package only the file that holds it is loaded."""
    stub = types.ModuleType("ofa.utils")
    stub.download_url = None  # type: ignore[attr-defined]  # asked for by the import, and not called for a local file
    sys.modules |= {"ofa": types.ModuleType("ofa"), "ofa.utils": stub}
    file = checkout / "ofa" / "tutorial" / "latency_table.py"
    module_spec = importlib.util.spec_from_file_location("ofa_latency_table", file)
    if module_spec is None or module_spec.loader is None:
        raise SystemExit(f"no {file}")
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    estimator = module.LatencyEstimator.__new__(module.LatencyEstimator)
    estimator.lut = yaml.safe_load(table.read_text(encoding="utf-8"))
    rng = np.random.default_rng(SEED)
    networks = [
        {
            "r": [224],
            "ks": [int(k) for k in rng.choice([3, 5, 7], 20)],
            "e": [int(e) for e in rng.choice([3, 4, 6], 20)],
            "d": [int(d) for d in rng.choice([2, 3, 4], 5)],
        }
        for _ in range(NETWORKS)
    ]
    return NETWORKS, lambda: [estimator.predict_network_latency_given_spec(one) for one in networks]


def main() -> int:
    """Run the benchmark; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, default=None, help="Checkout of once-for-all.")
    parser.add_argument("--peer-table", type=Path, default=None, help="Its 224 px table of a Galaxy Note10.")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    timed = _ours()
    if options.peer and options.peer_table:
        timed["once_for_all"] = _peer(options.peer, options.peer_table)
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(TURNS + 1):
        for name, (_, estimate) in timed.items():
            started = time.perf_counter()
            estimate()
            seconds[name].append(time.perf_counter() - started)
    figures: dict[str, Any] = {}
    for name, (count, _) in timed.items():
        rates = count / np.array(seconds[name][1:])  # the first one fills the caches
        figures[f"{name}_per_s"] = float(np.median(rates))
        figures[f"{name}_per_s_least"] = float(rates.min())
    if "once_for_all" in timed:
        figures["genomes_over_once_for_all"] = figures["genomes_per_s"] / figures["once_for_all_per_s"]
    return int(not write_result("lut_speed", figures, TARGETS, [SEED], options.json))


if __name__ == "__main__":
    sys.exit(main())
