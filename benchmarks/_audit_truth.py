"""Ground truth of the audit: networks of the space, each trained from scratch on several seeds."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from _audit_rows import Deadline, Row, Rows

from mnas.architecture import Architecture
from mnas.counts import total_macs
from mnas.jsonio import sha256_json
from mnas.layers import layers_of
from mnas.seeding import named_rng
from mnas.spaces.presets import open_space
from mnas.spaces.staged import StagedSpace
from search.accuracy.jobs import TrainingJob, training_outcome
from search.data.registry import open_dataset
from search.executors.executor import Outcome
from search.executors.processes import ProcessExecutor
from search.training.schedule import TrainingSchedule

STUDY_SEED = 31
SPACE, PRESET, DATA = "mobilenetv3", "fashion-wide", "fashion"
REPEATS = 2
CURVE_POINTS = 8
"""Points of each validation curve; recording it changes no training."""
PART = "truth"
_SCHEDULE: dict[str, Any] = {
    "train_images": 30_000,
    "epochs": 4,
    "batch_size": 128,
    "lr": 0.2,
    "label_smoothing": 0.1,
}
"""What differs from the defaults; the key of the rows rests on these numbers alone, so a schedule that learns more
fields keeps them."""
Floats = npt.NDArray[np.float64]


def audit_space() -> StagedSpace:
    """Return the space that estimators are judged on."""
    return open_space(SPACE, PRESET)


def drawn(name: str, count: int, without: frozenset[str] = frozenset()) -> list[Architecture]:
    """Return distinct networks, genes drawn uniformly; a longer list begins with a shorter one of the same name."""
    space, rng = audit_space(), named_rng(STUDY_SEED, "audit", name)
    found: dict[str, Architecture] = {}
    while len(found) < count:
        architecture = space.decode(space.draw(rng))
        if architecture.arch_id not in without:
            found.setdefault(architecture.arch_id, architecture)
    return list(found.values())


def size_of(architecture: Architecture) -> dict[str, int]:
    """Return what is known of a network without training it."""
    layers = layers_of(architecture)
    return {
        "px": architecture.input_shape_chw[1],
        "macs": total_macs(layers),
        "params": sum(layer.params for layer in layers),
    }


def truth_schedule() -> TrainingSchedule:
    """Return how the ground truth is trained."""
    return TrainingSchedule(**_SCHEDULE)


def truth_key() -> str:
    """Return what the rows of the ground truth rest on: the schedule and the data."""
    images = f"{_SCHEDULE['train_images']}x{_SCHEDULE['epochs']}"
    return f"sgd-{images}-{sha256_json(_SCHEDULE)[:8]}/{open_dataset(DATA).fingerprint[:8]}"


def train_truth(rows: Rows, count: int, deadline: Deadline) -> None:
    """Train what no earlier run has trained, the first seed of every network before the second.

    Raises:
        OutOfTimeError: The minutes are over.
    """
    key = truth_key()
    done = {(row["arch_id"], row["repeat"]) for row in rows.of(PART, key)}
    networks = sorted(drawn("truth", count), key=lambda one: -size_of(one)["macs"])
    wanted = [(one, repeat) for repeat in range(REPEATS) for one in networks if (one.arch_id, repeat) not in done]
    if not wanted:
        return
    deadline.check(f"{len(wanted)} trainings")
    first = TrainingJob({}, DATA, None, truth_schedule(), STUDY_SEED, curve_points=CURVE_POINTS)
    jobs = [replace(first, architecture_json=one.to_json(), repeat=repeat) for one, repeat in wanted]
    finished = 0

    def keep(index: int, outcome: Outcome) -> None:
        nonlocal finished
        finished += 1
        network, repeat = wanted[index]
        result = training_outcome(jobs[index], outcome)
        if not result.is_ok:
            raise SystemExit(result.error_message)
        row = rows.add(
            PART,
            key,
            arch_id=network.arch_id,
            repeat=repeat,
            accuracy=1 - result.errors["rank-val"],
            loss=result.losses["rank-val"],
            images=result.images["rank-val"],
            curve=[error for _, error, _ in result.curve],
            cost_s=result.cost_s,
            **size_of(network),
        )
        print(
            f"truth {finished}/{len(jobs)}: {row['px']} px, {row['macs'] / 1e6:.2f} MMACs, {row['accuracy']:.4f}, "
            f"{row['cost_s']:.1f} s",
            file=sys.stderr,
        )
        deadline.check(f"{len(jobs) - finished} trainings or fewer")

    with ProcessExecutor(2) as executor:
        executor.map_in_order([job.as_job() for job in jobs], keep)


class Truth:
    """The ground truth, network by network.

    Attributes:
        networks: In the order in which they were drawn.
        accuracy: (networks, repeats), 0..1.
        loss: Likewise, nats.
        cost_s: Likewise, CPU seconds.
        macs: Of each network.
        params: Likewise.
    """

    def __init__(self, rows: Rows, count: int) -> None:
        found: dict[tuple[str, int], Row] = {(row["arch_id"], row["repeat"]): row for row in rows.of(PART, truth_key())}
        self.networks = drawn("truth", count)
        table = [[found[one.arch_id, repeat] for repeat in range(REPEATS)] for one in self.networks]

        def column(name: str) -> Floats:
            return np.array([[row[name] for row in repeats] for repeats in table], dtype=np.float64)

        self.accuracy, self.loss, self.cost_s = column("accuracy"), column("loss"), column("cost_s")
        self.macs, self.params = column("macs")[:, 0], column("params")[:, 0]
