"""How soon does a search find the front? Every algorithm on an exact table, beside pymoo's and Optuna's NSGA-II.

Counted are distinct networks of the table. After each number of them: the share of the table's hypervolume, and the
share of the points of its front. All see the same seeds; differences are tested by pairs (Wilcoxon's signed ranks,
one-sided). Settings were chosen with seeds from 1000 on and frozen before the first seed of the result was run.
Rows are kept as they come, so that a run that was stopped goes on where it was; an algorithm whose code has changed
starts anew.

    python benchmarks/search_quality.py --table $MNAS_TEST_DATA/nas-bench-macro_cifar10.json \
        --json benchmarks/results/search_quality.json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from _algorithm_settings import setting_of
from _peers import PeerError, peer_python, peer_version, run_peer
from _quality_figures import quality_figures
from _result import write_result
from _walks import Judge, Walk, code_of, pymoo_walk, registered_walk

from mnas.jsonio import canonical_json, sha256_bytes
from search.algorithms.registry import algorithm_names
from search.table_objective import parse_objectives
from search.tabular import TabularProblem

PARTS = Path(__file__).parent / "results" / "parts" / "search_quality.jsonl"
CHECKPOINTS = "50,100,200,300,500,1000"
PYMOO_POPULATIONS = (20, 40)
OPTUNA_POPULATIONS = (20, 50)
# Targets speak of one table alone, known by its content.
TARGETS_OF: dict[str, dict[str, tuple[str, float]]] = {
    "686dee8363cc": {
        "best_share_100": (">=", 0.997),
        "best_front_100": (">=", 0.30),
        "best_share_200": (">=", 0.9993),
        "best_front_200": (">=", 0.65),
        "best_share_300": (">=", 0.9997),
        "best_front_300": (">=", 0.83),
        "nsga2_share_200": (">=", 0.983),
        "nsga2_share_500": (">=", 0.998),
        "nsga2_front_200": (">=", 0.29),
        "nsga2_front_500": (">=", 0.77),
        **{
            f"nsga2_minus_pymoo{population}_{what}_{count}": (">=", 0.0)
            for population in PYMOO_POPULATIONS
            for what in ("share", "front")
            for count in (200, 500)
        },
    }
}
MORE_THAN_CHANCE = 0.01


class OutOfTimeError(Exception):
    """The minutes given are over; what is done is kept."""


@dataclass(frozen=True)
class Contestant:
    """A search with its setting.

    Attributes:
        name: In the figures.
        code: What its rows depend on besides the setting: hash of its code, or a version.
        setting: As JSON.
        walk: From a seed and a number of evaluations.
    """

    name: str
    code: str
    setting: dict[str, Any]
    walk: Callable[[int, int], Walk] = field(compare=False)


class Rows:
    """Scores of earlier runs and of this one."""

    def __init__(self, path: Path, contest: dict[str, Any], checkpoints: list[int]) -> None:
        self.checkpoints = checkpoints
        self._path = path
        self._contest = {**contest, "checkpoints": checkpoints}
        self._known: dict[str, dict[str, Any]] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            self._known[canonical_json(row["key"])] = row

    def scores(self, contestant: Contestant, seed: int, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the scores of a walk, making them where nobody has yet."""
        key = {**self._contest, "name": contestant.name, "code": contestant.code, "setting": contestant.setting}
        key["seed"] = seed
        known = self._known.get(canonical_json(key))
        if known is None:
            known = {"key": key, **make()}
            self._known[canonical_json(key)] = known
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(known) + "\n")
        return known


def own_contestants(problem: TabularProblem, names: list[str]) -> Iterator[Contestant]:
    """Yield the registered algorithms, and pymoo's own NSGA-II."""
    for name in names:
        setting = setting_of(name)
        yield Contestant(name, code_of(name), setting, partial(registered_walk, name, problem, setting))
    for population in PYMOO_POPULATIONS:
        walk = partial(pymoo_walk, problem, population)
        yield Contestant(f"pymoo{population}", importlib.metadata.version("pymoo"), {"population": population}, walk)


def optuna_contestants(problem: TabularProblem, folder: Path) -> Iterator[Contestant]:
    """Yield Optuna's NSGA-II in an environment made in ``folder``.

    Raises:
        PeerError: It cannot be had.
    """
    python = peer_python(folder, "optuna")
    genomes = [problem.unrank(number) for number in range(problem.size())]
    values = problem.minimised(genomes).tolist()
    table = {",".join(map(str, genome)): row for genome, row in zip(genomes, values, strict=True)}

    def walk(population: int, seed: int, evaluations: int) -> Walk:
        request = {"population": population, "seed": seed, "evaluations": evaluations}
        answer = run_peer(
            python, "_peer_optuna.py", {**request, "table": table, "cardinalities": problem.cardinalities}
        )
        return Walk([tuple(genome) for genome in answer["walk"]], answer["seconds"])

    for population in OPTUNA_POPULATIONS:
        name = f"optuna{population}"
        yield Contestant(name, peer_version(python, "optuna"), {"population": population}, partial(walk, population))


def run(judge: Judge, contestant: Contestant, rows: Rows, seeds: range, end: float) -> dict[int, dict[str, Any]]:
    """Return a contestant's rows by seed.

    Raises:
        OutOfTimeError: The minutes are over.
    """
    checkpoints = rows.checkpoints

    def make(seed: int) -> dict[str, Any]:
        if time.monotonic() > end:
            raise OutOfTimeError(f"{contestant.name}, seed {seed}")
        walk = contestant.walk(seed, checkpoints[-1])
        return {"scores": judge.scores(walk, checkpoints), "seconds": round(walk.seconds, 3)}

    found = {seed: rows.scores(contestant, seed, partial(make, seed)) for seed in seeds}
    means = {count: sum(row["scores"].get(str(count), {}).get("share", 0) for row in found.values()) / len(found)
             for count in checkpoints}  # fmt: skip
    print(contestant.name, *(f"{count}: {mean:.4f}" for count, mean in means.items()), file=sys.stderr)
    return found


def targets_of(content: str, figures: dict[str, Any], ours: list[str]) -> dict[str, tuple[str, float]]:
    """Return the table's targets, and for every algorithm that it beats random search."""
    known = TARGETS_OF.get(content, {})
    beaten = {f"{name}_over_random_share_500_p": ("<", MORE_THAN_CHANCE) for name in ours if name != "random"}
    return known | {name: target for name, target in beaten.items() if name in figures["pairs"]}


def main() -> int:
    """Run, judge and write; 0 when every target is met, 5 when time ran out before."""
    options = _options()
    content = sha256_bytes(options.table.read_bytes())[:12]
    objectives = parse_objectives(options.objectives)
    problem = TabularProblem.read(options.table, objectives, tuple(filter(None, options.genes.split(","))))
    judge = Judge(problem, [float(one) for one in options.reference_point.split(",") if one])
    checkpoints = [int(one) for one in options.checkpoints.split(",")]
    contest = {"table": content, "objectives": options.objectives, "reference_point": judge.reference_point}
    rows = Rows(options.parts, contest, checkpoints)
    ours = options.algorithms.split(",") if options.algorithms else list(algorithm_names())
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    end = time.monotonic() + 60 * options.minutes
    found: dict[str, dict[int, dict[str, Any]]] = {}
    about: dict[str, Any] = {"table": content, "networks": problem.size(), "front_points": judge.front_points}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for contestant in own_contestants(problem, ours):
                found[contestant.name] = run(judge, contestant, rows, seeds, end)
            if not options.no_peers:
                for contestant in optuna_contestants(problem, options.peer_folder or Path(folder)):
                    found[contestant.name] = run(judge, contestant, rows, seeds, end)
        except PeerError as error:
            about["optuna_error"] = str(error)
        except OutOfTimeError as error:
            print(f"out of time at {error}; run again to go on", file=sys.stderr)
            return 5
    scores = {name: {seed: row["scores"] for seed, row in known.items()} for name, known in found.items()}
    peers = [name for name in found if name not in ours]
    figures = about | {"hypervolume": judge.volume} | quality_figures(scores, checkpoints, peers, ours)
    figures["seconds"] = {name: sum(row["seconds"] for row in known.values()) for name, known in found.items()}
    figures["settings"] = {name: setting_of(name) for name in ours}
    targets = targets_of(content, figures, ours)
    figures |= {name: figures["pairs"][name] for name in targets if name in figures["pairs"]}
    return 0 if write_result("search_quality", figures, targets, list(seeds), options.json) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", type=Path, required=True, help=".csv or .json of genes and objectives")
    parser.add_argument("--objectives", default="mean_acc:max,flops:min", help="the cheap one last")
    parser.add_argument("--genes", default="", help="columns of genes, where one column does not hold whole genomes")
    parser.add_argument("--reference-point", default="", help="minimised; empty: the worst of each objective")
    parser.add_argument("--algorithms", default="", help="names by commas; empty: all that are registered")
    parser.add_argument("--checkpoints", default=CHECKPOINTS, help="evaluations at which searches are judged")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so many; run again to go on")
    parser.add_argument("--no-peers", action="store_true", help="leave out what needs an environment of its own")
    parser.add_argument("--peer-folder", type=Path, default=None, help="where that environment is kept between runs")
    parser.add_argument("--parts", type=Path, default=PARTS, help="rows that were made already")
    parser.add_argument("--json", type=Path, default=None, help="file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
