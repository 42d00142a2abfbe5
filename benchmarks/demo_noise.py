"""Does the demo's training tell networks apart? Spread between networks over noise between seeds.

Spread is the standard deviation, over networks drawn uniformly from the preset's space, of the mean accuracy of two
seeds; noise is the pooled standard deviation within a network. Both are given for all networks and for the better half
by that mean. Results are kept as they come, so a run that was stopped goes on where it was; another schedule or other
splits start anew.

    python benchmarks/demo_noise.py --json benchmarks/results/demo_noise.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _result import write_result
from scipy.stats import kendalltau

from mnas.architecture import Architecture
from mnas.counts import total_macs
from mnas.layers import layers_of
from mnas.seeding import named_rng
from mnas.space import SearchSpace
from mnas.spaces.presets import open_space
from search.accuracy.jobs import TrainingJob, training_outcome
from search.data.registry import open_dataset
from search.executors.executor import Outcome
from search.executors.processes import ProcessExecutor
from search.training.schedule import TrainingSchedule, schedule_for

STUDY_SEED = 20
REPEATS = 2
TARGETS = {"better_half_spread_over_noise": (">=", 1.5), "smallest_over_largest": (">=", 0.8)}
Key = tuple[str, int]
"""arch_id and repeat."""


class OutOfTimeError(Exception):
    """The minutes given are over; what is done is kept."""


@dataclass(frozen=True)
class Network:
    """A network of the comparison.

    Attributes:
        role: ``drawn``, ``smallest`` or ``largest``.
        architecture: The network.
    """

    role: str
    architecture: Architecture


def networks_of(space: SearchSpace, count: int) -> list[Network]:
    """Return the two extremes and ``count`` distinct networks drawn uniformly."""
    smallest, largest = (space.decode(genome) for genome in space.extremes())
    rng = named_rng(STUDY_SEED, "demo-noise", space.name)
    drawn: dict[str, Architecture] = {}
    while len(drawn) < count:
        architecture = space.decode(space.draw(rng))
        drawn.setdefault(architecture.arch_id, architecture)
    return [
        Network("smallest", smallest),
        Network("largest", largest),
        *(Network("drawn", architecture) for architecture in drawn.values()),
    ]


def read_parts(path: Path, fidelity: str) -> dict[Key, dict[str, Any]]:
    """Return what earlier runs of the same fidelity left; a line that was cut off is passed over."""
    found: dict[Key, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row["fidelity"] == fidelity:
            found[row["arch_id"], row["repeat"]] = row
    return found


def train_missing(
    networks: list[Network], dataset: str, schedule: TrainingSchedule, parts: Path, minutes: float
) -> dict[Key, dict[str, Any]]:
    """Train what no earlier run has trained, and return all results.

    Raises:
        OutOfTimeError: The minutes are over.
    """
    fidelity = f"{schedule.fidelity}/{open_dataset(dataset).fingerprint[:8]}"
    done = read_parts(parts, fidelity)
    wanted = [
        TrainingJob(network.architecture.to_json(), dataset, None, schedule, STUDY_SEED, repeat)
        for network in networks
        for repeat in range(REPEATS)
    ]
    jobs = [job for job in wanted if (arch_id_of(job), job.repeat) not in done]
    with ProcessExecutor(2) as executor:
        executor.map_in_order([job.as_job() for job in jobs], _keeper(jobs, done, parts, fidelity, minutes))
    return {key: done[key] for key in ((arch_id_of(job), job.repeat) for job in wanted)}


def arch_id_of(job: TrainingJob) -> str:
    """Return the arch_id of a job's network."""
    return Architecture.from_json(job.architecture_json).arch_id


def _keeper(
    jobs: list[TrainingJob], done: dict[Key, dict[str, Any]], parts: Path, fidelity: str, minutes: float
) -> Callable[[int, Outcome], None]:
    parts.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * minutes

    def keep(index: int, outcome: Outcome) -> None:
        job = jobs[index]
        result = training_outcome(job, outcome)
        if not result.is_ok:
            raise SystemExit(result.error_message)
        architecture = Architecture.from_json(job.architecture_json)
        row = {
            "fidelity": fidelity,
            "arch_id": architecture.arch_id,
            "repeat": job.repeat,
            "px": architecture.input_shape_chw[1],
            "macs": total_macs(layers_of(architecture)),
            "accuracy": 1 - result.errors["rank-val"],
            "loss": result.losses["rank-val"],
            "cost_s": result.cost_s,
        }
        done[architecture.arch_id, job.repeat] = row
        with parts.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{len(done)} done: {row['px']} px {row['accuracy']:.4f} {row['cost_s']:.1f} s", file=sys.stderr)
        if time.monotonic() > end:
            raise OutOfTimeError(f"{len(jobs) - index - 1} of {len(jobs)} trainings or fewer are left")

    return keep


def spread_and_noise(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the SD of the seeds' means and the pooled SD within a network; ``values`` is (networks, 2)."""
    spread = float(values.mean(1).std(ddof=1))
    noise = float(np.sqrt(((values[:, 0] - values[:, 1]) ** 2 / 2).mean()))
    return spread, noise


def figures_of(networks: list[Network], found: dict[Key, dict[str, Any]]) -> dict[str, Any]:
    """Return every figure; accuracies in percentage points where the name says so."""
    by_role: dict[str, list[list[dict[str, Any]]]] = {}
    for network in networks:
        rows = [found[network.architecture.arch_id, repeat] for repeat in range(REPEATS)]
        by_role.setdefault(network.role, []).append(rows)
    drawn = by_role["drawn"]
    accuracy = 100 * np.array([[row["accuracy"] for row in rows] for rows in drawn])
    loss = np.array([[row["loss"] for row in rows] for rows in drawn])
    better = np.argsort(-accuracy.mean(1), kind="stable")[: (len(drawn) + 1) // 2]
    spread, noise = spread_and_noise(accuracy)
    half_spread, half_noise = spread_and_noise(accuracy[better])
    loss_spread, loss_noise = spread_and_noise(loss[better])
    extremes = {role: float(np.mean([r["accuracy"] for r in by_role[role][0]])) for role in ("smallest", "largest")}
    costs = np.array([[row["cost_s"] for row in rows] for rows in drawn])
    return {
        "networks": len(drawn),
        "spread_points": spread,
        "noise_points": noise,
        "spread_over_noise": spread / noise,
        "better_half_spread_points": half_spread,
        "better_half_noise_points": half_noise,
        "better_half_spread_over_noise": half_spread / half_noise,
        "better_half_loss_spread_over_noise": loss_spread / loss_noise,
        "seed_to_seed_kendall_tau": float(kendalltau(accuracy[:, 0], accuracy[:, 1]).statistic),
        "better_half_seed_to_seed_kendall_tau": float(kendalltau(*accuracy[better].T).statistic),
        "smallest_accuracy": extremes["smallest"],
        "largest_accuracy": extremes["largest"],
        "smallest_over_largest": extremes["smallest"] / extremes["largest"],
        "least_drawn_accuracy": float(accuracy.mean(1).min() / 100),
        "best_drawn_accuracy": float(accuracy.mean(1).max() / 100),
        "cost_mean_cpu_s": float(costs.mean()),
        "cost_max_cpu_s": float(costs.max()),
        "largest_cost_cpu_s": float(np.mean([r["cost_s"] for r in by_role["largest"][0]])),
        "per_network": [row for rows in drawn for row in rows],
    }


def main() -> int:
    """Train, compare and write; return 0 when every target is met, 5 when time ran out before."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, default=None, help="file for the figures")
    parser.add_argument("--dataset", choices=("fashion", "digits"), default="fashion")
    parser.add_argument("--nets", type=int, default=24, help="networks drawn besides the two extremes")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so many; run again to go on")
    options = parser.parse_args()
    schedule = schedule_for(options.dataset, "proxy")
    networks = networks_of(open_space("mobilenetv3", options.dataset), options.nets)
    parts = Path(__file__).parent / "results" / "parts" / f"demo_noise_{options.dataset}.jsonl"
    try:
        found = train_missing(networks, options.dataset, schedule, parts, options.minutes)
    except OutOfTimeError as error:
        print(f"out of time, {error}; run again to go on", file=sys.stderr)
        return 5
    figures = {"dataset": options.dataset, "schedule": schedule.fidelity, **figures_of(networks, found)}
    targets = TARGETS if options.dataset == "fashion" else {}
    return 0 if write_result("demo_noise", figures, targets, [STUDY_SEED], options.json) else 1


if __name__ == "__main__":
    sys.exit(main())
