"""Does the demo's search find a better front than random search, given the same latency table?

Both pay for equally many accuracies on five seeds, with the demo's configuration. What each proposes as its finalists
is trained anew with the final schedule, on seeds that no search uses, and judged by its mean error on val and the
table's latency; test is not read. Compared is the hypervolume of these fronts, as a share of the rectangle between 0
and the reference point: the greatest latency of the space and the error of the majority class.

Resumes: searches lie in the folder of ``--work``, judged networks in ``results/parts/demo_front.jsonl``.

    python benchmarks/demo_front.py --minutes 20 --json benchmarks/results/demo_front.json
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from _audit_rows import ROWS, Deadline, OutOfTimeError, Rows
from _result import ROOT, write_result

from devices.long_work import long_work
from mnas.architecture import Architecture
from mnas.config import make_config
from mnas.seeding import derive_seed
from mnas.store import Store
from search.accuracy.jobs import TrainingJob, training_outcome
from search.context import StudyContext
from search.data.registry import open_dataset
from search.events import EventLog
from search.executors.executor import Outcome
from search.executors.processes import ProcessExecutor
from search.finalists import choose_finalists
from search.goal import Goal
from search.pareto import hypervolume
from search.preparation import prepare
from search.ranking import Ranking
from search.resolve import resolve
from search.seed_noise import half_width
from search.study import Study, open_store
from search.study_space import study_space
from search.training.schedule import schedule_for

DEMO = ROOT / "docs" / "examples" / "demo.toml"
PARTS = ROWS.with_name("demo_front.jsonl")
SEEDS, REPEATS, JUDGE = 5, 2, derive_seed(2026, "demo front", "judge")
DATA = "fashion"
TARGETS = {"hypervolume_difference": (">=", 0.0), "hypervolume_difference_low": (">=", 0.0)}


class Clock:
    """A reporter that ends the run when its minutes are over; what is recorded by then stays."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def line(self, text: str) -> None:
        """Pass a line on."""
        print(text, file=sys.stderr)

    def warn(self, text: str) -> None:
        """Pass a warning on."""
        print(f"warning: {text}", file=sys.stderr)

    def progress(self, what: str, done: int, total: int) -> None:
        """Look at the clock."""
        self._deadline.check(f"{what}: {done} of {total}")


@dataclass(frozen=True)
class Proposal:
    """What a search proposes.

    Attributes:
        algorithm: That searched.
        seed: Of the study.
        networks: Its finalists.
        latency_ms: Of each, by the table.
        goal: With the reference point.
        evaluations: Accuracies that were paid for.
    """

    algorithm: str
    seed: int
    networks: list[Architecture]
    latency_ms: list[float]
    goal: Goal
    evaluations: int


def algorithms() -> tuple[str, str]:
    """Return the demo's own algorithm and random search."""
    return make_config(_keys()).algorithm, "random"


def _keys() -> dict[str, Any]:
    return {**tomllib.loads(DEMO.read_text(encoding="utf-8")), "data": DATA}


def propose(store: Store, work: Path, algorithm: str, seed: int, lut_id: str, clock: Clock) -> Proposal:
    """Run or finish a search, as far as the choice of its finalists.

    Raises:
        OutOfTimeError: The minutes are over.
    """
    config = resolve(make_config({**_keys(), "algorithm": algorithm, "seed": seed, "lut": lut_id}), clock)
    known = [row["study_id"] for row in store.query("SELECT study_id FROM study ORDER BY rowid")]
    found = [one for one in (_study(store, study_id) for study_id in known) if one.config == config]
    study = found[0] if found else Study.create(store, config)
    log = EventLog(store, study.study_id)
    with ProcessExecutor(2) as executor:
        dataset, space = open_dataset(DATA), study_space(log, config)
        context = StudyContext(study.study_id, config, store, log, space, dataset, executor, work, clock)
        outlook, goal = prepare(context)
        candidates = Ranking(context, outlook, goal).run()
    chosen = choose_finalists(candidates, config.finalists, goal)
    networks = [space.decode(one.genome) for one in chosen]
    return Proposal(algorithm, seed, networks, [one.latency_ms for one in chosen], goal, len(candidates))


def _study(store: Store, study_id: str) -> Study:
    row = store.query("SELECT config_json FROM study WHERE study_id = ?", (study_id,))[0]
    return Study(store, study_id, make_config(json.loads(row["config_json"])))


def judge(rows: Rows, networks: list[Architecture], deadline: Deadline) -> dict[str, float]:
    """Train each network on the judge's seeds, as far as it is not done, and return its mean error on val.

    Raises:
        OutOfTimeError: The minutes are over.
    """
    schedule, key = schedule_for(DATA, "final"), f"{schedule_for(DATA, 'final').fidelity}/{JUDGE}"
    known = {(row["arch_id"], row["repeat"]): row["error"] for row in rows.of("judged", key)}
    each = {one.arch_id: one for one in networks}
    todo = [(one, repeat) for one in each.values() for repeat in range(REPEATS) if (one.arch_id, repeat) not in known]
    jobs = [
        TrainingJob(one.to_json(), DATA, None, schedule, JUDGE, repeat, evaluate_splits=("val",))
        for one, repeat in todo
    ]

    def keep(index: int, outcome: Outcome) -> None:
        (network, repeat), found = todo[index], training_outcome(jobs[index], outcome)
        if not found.is_ok:
            raise SystemExit(found.error_message)
        error = found.errors["val"]
        rows.add("judged", key, arch_id=network.arch_id, repeat=repeat, error=error, cost_s=found.cost_s)
        known[network.arch_id, repeat] = error
        deadline.check("trainings of judged networks")

    with ProcessExecutor(2) as executor:
        executor.map_in_order([one.as_job() for one in jobs], keep)
    return {arch_id: fmean(known[arch_id, repeat] for repeat in range(REPEATS)) for arch_id in each}


def share(proposal: Proposal, errors: dict[str, float], reference: tuple[float, float]) -> float:
    """Return the hypervolume of a proposal's networks as a share of the rectangle up to the reference point."""
    points = np.array(
        [[errors[one.arch_id], ms] for one, ms in zip(proposal.networks, proposal.latency_ms, strict=True)]
    )
    return hypervolume(points, reference) / (reference[0] * reference[1])


def figures_of(proposals: list[Proposal], errors: dict[str, float], lut_id: str) -> dict[str, Any]:
    """Return the hypervolumes of both searches and their difference, paired over the seeds."""
    own, rival = algorithms()
    labels = open_dataset(DATA).labels
    majority = 1 - float(labels.bincount().max()) / len(labels)
    reference = (majority, proposals[0].goal.greatest_ms)
    shares = {(one.algorithm, one.seed): share(one, errors, reference) for one in proposals}
    pairs = {name: [shares[name, seed] for seed in range(SEEDS)] for name in (own, rival)}
    differences = [first - second for first, second in zip(pairs[own], pairs[rival], strict=True)]
    half = half_width(differences) or float("nan")
    return {
        "algorithm": own,
        "evaluations": sorted({one.evaluations for one in proposals}),
        "lut_id": lut_id,
        "reference_error": reference[0],
        "reference_ms": reference[1],
        "hypervolume_demo": pairs[own],
        "hypervolume_random": pairs[rival],
        "hypervolume_demo_mean": fmean(pairs[own]),
        "hypervolume_random_mean": fmean(pairs[rival]),
        "hypervolume_difference": fmean(differences),
        "hypervolume_difference_low": fmean(differences) - half,
        "hypervolume_difference_high": fmean(differences) + half,
        "least_error": {name: [_least(one, errors) for one in proposals if one.algorithm == name] for name in pairs},
        "judged_networks": len(errors),
    }


def _least(proposal: Proposal, errors: dict[str, float]) -> float:
    return min(errors[one.arch_id] for one in proposal.networks)


def run(work: Path, lut_id: str, deadline: Deadline) -> dict[str, Any]:
    """Do what is lacking and return the figures.

    Raises:
        OutOfTimeError: The minutes are over.
    """
    rows, clock = Rows(PARTS), Clock(deadline)
    with open_store(work) as store:
        proposals = [
            propose(store, work, algorithm, seed, lut_id, clock) for seed in range(SEEDS) for algorithm in algorithms()
        ]
    errors = judge(rows, [network for one in proposals for network in one.networks], deadline)
    return figures_of(proposals, errors, lut_id)


def main() -> int:
    """Run what is lacking and write the figures; return 0 when every target is met, 5 when time ran out before."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, default=None, help="file for the figures")
    parser.add_argument("--minutes", type=float, default=20.0, help="stop after so many; run again to go on")
    parser.add_argument(
        "--lut", required=True, help="id of the table in the folder of --work: mnas lut build --out WORK"
    )
    parser.add_argument("--work", type=Path, default=Path("mnas-out") / "demo-front", help="folder of the searches")
    options = parser.parse_args()
    try:
        with long_work("benchmarks/demo_front.py"):
            figures = run(options.work, options.lut, Deadline(options.minutes))
    except OutOfTimeError as error:
        print(f"out of time, left: {error}; run again to go on", file=sys.stderr)
        return 5
    return 0 if write_result("demo_front", figures, TARGETS, list(range(SEEDS)), options.json) else 1


if __name__ == "__main__":
    sys.exit(main())
