"""Search on a space that nobody can enumerate: every algorithm, latencies of a table, a made-up accuracy.

Latencies come from an exported table (``--lut``), or are made up from MACs and labelled simulated. Accuracy is the
function of ``_accuracy_function.py``, fixed before any algorithm ran on it. Algorithms are told what is measured,
noise included, and judged by the errors without noise of the networks on the front that they saw: the hypervolume
below (0.5, the slowest network), as a share of the box down to (0.20, the fastest network). Intervals are 95 % over
seeds, by Student's t; seconds are the search's own, in ask and tell. Algorithms that follow a reward run with MnasNet's
soft and hard one, T being the median latency of 1,000 draws; how their samples lie about T is printed.

    python benchmarks/large_space.py --lut table.json --json benchmarks/results/large_space.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _accuracy_function import LEAST_ERROR, REFERENCE_ERROR, AccuracyFunction
from _algorithm_settings import REWARD_DRIVEN, setting_of
from _result import write_result
from _space_latency import LatenciesOf, simulated_latency, table_latency
from _walks import code_of
from scipy.stats import t as student

from mnas.jsonio import canonical_json, sha256_bytes
from mnas.seeding import named_rng
from mnas.space import Genome
from mnas.spaces.presets import open_space
from mnas.spaces.staged import StagedSpace
from search.algorithms.registry import algorithm_names, open_algorithm
from search.algorithms.setting import SearchSetting
from search.pareto import front_indices, hypervolume
from search.reward import HARD, SOFT

PARTS = Path(__file__).parent / "results" / "parts" / "large_space.jsonl"
REWARDS = {"soft": SOFT, "hard": HARD}
_MEDIAN_OF = 1000
_LAST_SHARE = 0.5


class OutOfTimeError(Exception):
    """The minutes given are over; what is done is kept."""


@dataclass(frozen=True)
class Landscape:
    """A space with what its networks are worth.

    Attributes:
        space: The space.
        accuracy: Errors.
        latency_of: Latencies.
        fastest_ms: Of all networks.
        slowest_ms: Of all networks.
        median_ms: Of 1,000 draws: T of a reward.
    """

    space: StagedSpace
    accuracy: AccuracyFunction
    latency_of: LatenciesOf
    fastest_ms: float
    slowest_ms: float
    median_ms: float

    @classmethod
    def of(cls, space: StagedSpace, latency_of: LatenciesOf) -> Landscape:
        """Return a space's landscape; its ends are looked for gene by gene from many draws."""
        rng = named_rng(0, "draws for the median latency", space.name)
        draws = latency_of([space.draw(rng) for _ in range(_MEDIAN_OF)])
        ends = [float(latency_of([genome])[0]) for genome in _ends(space, latency_of)]
        return cls(space, AccuracyFunction(space), latency_of, min(ends), max(ends), float(np.median(draws)))

    def share(self, genomes: Sequence[Genome]) -> float:
        """Return the hypervolume of the true values of the front that was seen, as a share of the whole box."""
        latencies = self.latency_of(genomes)
        seen = np.stack([self.accuracy.measured(genomes), latencies], axis=1)
        front = front_indices(seen)
        true = np.stack([self.accuracy.error([genomes[i] for i in front]), latencies[front]], axis=1)
        box = (REFERENCE_ERROR - LEAST_ERROR) * (self.slowest_ms - self.fastest_ms)
        return hypervolume(true, (REFERENCE_ERROR, self.slowest_ms)) / box


def _ends(space: StagedSpace, latency_of: LatenciesOf) -> list[Genome]:
    from search.algorithms.cheap_ends import cheap_ends

    return cheap_ends(space, named_rng(0, "ends of the latency", space.name), latency_of)


@dataclass(frozen=True)
class Entry:
    """An algorithm as it takes part.

    Attributes:
        name: In the figures.
        algorithm: Registered name.
        exponents: alpha and beta.
    """

    name: str
    algorithm: str
    exponents: tuple[float, float]


def entries_of(names: Sequence[str]) -> Iterator[Entry]:
    """Yield each algorithm once, those that follow a reward once for each reward."""
    for name in names:
        if name in REWARD_DRIVEN:
            yield from (Entry(f"{name}_{kind}", name, exponents) for kind, exponents in REWARDS.items())
        else:
            yield Entry(name, name, SOFT)


def walk(landscape: Landscape, entry: Entry, seed: int, evaluations: int) -> tuple[list[Genome], float]:
    """Return the networks that a search evaluates, and the seconds that it spends."""
    alpha, beta = entry.exponents
    algorithm = open_algorithm(
        entry.algorithm,
        SearchSetting(
            space=landscape.space,
            rng=named_rng(seed, "algorithm", entry.algorithm),
            latency_of=landscape.latency_of,
            target_ms=landscape.median_ms,
            alpha=alpha,
            beta=beta,
            **setting_of(entry.algorithm),
        ),
    )
    found, seconds = list[Genome](), 0.0
    while len(found) < evaluations:
        started = time.perf_counter()
        genomes = algorithm.ask()[: evaluations - len(found)]
        seconds += time.perf_counter() - started
        if not genomes:
            break
        objectives = np.stack([landscape.accuracy.measured(genomes), landscape.latency_of(genomes)], axis=1)
        started = time.perf_counter()
        algorithm.tell(genomes, objectives)
        seconds += time.perf_counter() - started
        found += genomes
    return found, seconds


def row_of(landscape: Landscape, entry: Entry, seed: int, checkpoints: Sequence[int]) -> dict[str, Any]:
    """Run a search and return what is kept of it."""
    genomes, seconds = walk(landscape, entry, seed, checkpoints[-1])
    about_target = landscape.latency_of(genomes[int(len(genomes) * (1 - _LAST_SHARE)) :]) / landscape.median_ms
    return {
        "shares": {str(count): landscape.share(genomes[:count]) for count in checkpoints if count <= len(genomes)},
        "seconds": round(seconds, 3),
        "below_target": float((about_target <= 1).mean()),
        "median_over_target": float(np.median(about_target)),
    }


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return mean and 95 % interval over seeds, by Student's t."""
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return mean, float("nan"), float("nan")
    half = float(student.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
    return mean, mean - half, mean + half


def figures_of(rows: dict[str, list[dict[str, Any]]], entries: Sequence[Entry]) -> dict[str, Any]:
    """Return every figure of all searches."""
    figures: dict[str, Any] = {}
    for entry in entries:
        found = rows[entry.name]
        for count in found[0]["shares"]:
            mean, low, high = interval([row["shares"].get(count, float("nan")) for row in found])
            figures |= {f"{entry.name}_hypervolume_{count}": mean, f"{entry.name}_interval_{count}": [low, high]}
        figures[f"{entry.name}_seconds"] = float(np.mean([row["seconds"] for row in found]))
        if entry.algorithm in REWARD_DRIVEN:
            figures[f"{entry.name}_w"] = list(entry.exponents)
            for what in ("below_target", "median_over_target"):
                figures[f"{entry.name}_{what}"] = float(np.mean([row[what] for row in found]))
    return figures


def targets_of(figures: dict[str, Any], last: str) -> dict[str, tuple[str, float]]:
    """Return what was set beforehand for what took part: NSGA-II ahead of random, the surrogate ahead of all."""
    ends = f"_hypervolume_{last}"
    values = {name.removesuffix(ends): value for name, value in figures.items() if name.endswith(ends)}
    targets: dict[str, tuple[str, float]] = {}
    if {"nsga2", "random"} <= set(values):
        targets[f"nsga2{ends}"] = (">", values["random"])
    others = [value for name, value in values.items() if name != "surrogate"]
    if "surrogate" in values and others:
        targets[f"surrogate{ends}"] = (">", max(others))
    for name in figures:
        if name.endswith("_hard_median_over_target"):
            targets[name] = ("<=", 1.0)
    return targets


def _all_rows(
    landscape: Landscape, entries: Sequence[Entry], key: dict[str, Any], options: argparse.Namespace
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of every search by seed, running what no earlier run has.

    Raises:
        OutOfTimeError: The minutes are over.
    """
    end, known = time.monotonic() + 60 * options.minutes, dict[str, dict[str, Any]]()
    for line in options.parts.read_text(encoding="utf-8").splitlines() if options.parts.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        known[canonical_json(row["key"])] = row
    options.parts.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        own = {**key, "name": entry.name, "code": code_of(entry.algorithm), "setting": setting_of(entry.algorithm)}
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            wanted = canonical_json(own | {"seed": seed})
            if wanted not in known:
                if time.monotonic() > end:
                    raise OutOfTimeError(f"{entry.name}, seed {seed}")
                row = {"key": own | {"seed": seed}, **row_of(landscape, entry, seed, key["checkpoints"])}
                known[wanted] = row
                with options.parts.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(entry.name, seed, row["shares"], f"{row['seconds']:.1f} s", file=sys.stderr)
            found.setdefault(entry.name, []).append(known[wanted])
    return found


def main() -> int:
    """Run, judge and write; 0 when every target is met, 5 when time ran out before."""
    options = _options()
    space = open_space(options.space, options.preset, (options.resolution,))
    latency_of = table_latency(space, options.lut) if options.lut else simulated_latency(space)
    landscape = Landscape.of(space, latency_of)
    source = f"lut {sha256_bytes(options.lut.read_bytes())[:12]}" if options.lut else "simulated from MACs"
    checkpoints = [int(one) for one in options.checkpoints.split(",")]
    key = {"space": f"{space.name} at {options.resolution} px", "latency": source, "checkpoints": checkpoints}
    entries = list(entries_of(options.algorithms.split(",") if options.algorithms else algorithm_names()))
    try:
        rows = _all_rows(landscape, entries, key, options)
    except OutOfTimeError as error:
        print(f"out of time at {error}; run again to go on", file=sys.stderr)
        return 5
    about = {"space": key["space"], "networks": float(space.size()), "latency_source": source}
    figures = about | {"target_ms": landscape.median_ms} | figures_of(rows, entries)
    seeds = list(range(options.first_seed, options.first_seed + options.seeds))
    targets = targets_of(figures, str(checkpoints[-1]))
    return 0 if write_result("large_space", figures, targets, seeds, options.json) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lut", type=Path, default=None, help="a table exported as JSON; without it, simulated")
    parser.add_argument("--space", default="mobilenetv3")
    parser.add_argument("--preset", default="imagenet")
    parser.add_argument("--resolution", type=int, default=224)
    parser.add_argument("--algorithms", default="", help="names by commas; empty: all that are registered")
    parser.add_argument("--checkpoints", default="200,500,1000", help="evaluations at which searches are judged")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so many; run again to go on")
    parser.add_argument("--parts", type=Path, default=PARTS, help="rows that were made already")
    parser.add_argument("--json", type=Path, default=None, help="file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
