"""The audit's supernet: trained in chunks, and whether what is extracted from it is equal."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from _audit_rows import Deadline, OutOfTimeError, Rows
from _audit_truth import DATA, STUDY_SEED, audit_space, drawn

from mnas.jsonio import sha256_json
from search.accuracy.setting import AccuracySetting
from search.data.dataset import tensors
from search.data.registry import open_dataset
from search.supernet.checkpoint import read_checkpoint
from search.supernet.estimator import SupernetEstimator, open_supernet_estimator
from search.supernet.run import SupernetRequest, train_supernet
from search.supernet.schedule import SupernetSchedule, supernet_schedule
from search.training.schedule import schedule_for
from search.training.trainer import reproducible

PART, EXTRACTION = "supernet", "extraction"
PROCESSES = 2
EXTRACTED = 100
_IMAGES = 64
_EVERY_STEPS = 100


def schedule() -> SupernetSchedule:
    """Return how the audit's supernet is trained: an hour on two cores at most."""
    return replace(supernet_schedule(DATA), train_images=30_000)


def _folder(work: Path) -> Path:
    return work / f"supernet-{sha256_json([schedule().to_json(), STUDY_SEED, PROCESSES])[:8]}"


def train_missing(rows: Rows, work: Path, deadline: Deadline) -> None:
    """Train on until the schedule's end.

    Raises:
        OutOfTimeError: The minutes are over.
    """
    folder = _folder(work)
    request = SupernetRequest(audit_space(), DATA, None, schedule(), STUDY_SEED, folder, processes=PROCESSES)
    found = read_checkpoint(folder) if request.path.exists() else None
    if found is None or not found.is_finished:
        deadline.check("training of the supernet")
        chunk = replace(request, minutes=deadline.minutes_left, is_resumed=found is not None)
        found = train_supernet(chunk, _tell)
    if not found.is_finished:
        raise OutOfTimeError(f"{found.steps - found.step} of {found.steps} steps of the supernet")
    if not rows.of(PART, found.sha256):
        images = found.steps * schedule().batch_size * PROCESSES
        rows.add(
            PART,
            found.sha256,
            steps=found.steps,
            images=images,
            cost_s=found.cost_s,
            images_per_cpu_s=images / found.cost_s,
            schedule=schedule().to_json(),
            losses=found.history[-1][1:],
        )


def _tell(step: int, steps: int) -> None:
    if step % _EVERY_STEPS == 0:
        print(f"supernet: step {step} of {steps}", file=sys.stderr)


def audit_setting() -> AccuracySetting:
    """Return what the audit's estimators are made from."""
    dataset, proxy = open_dataset(DATA), schedule_for(DATA, "proxy")
    size, fingerprint = dataset.size("train"), dataset.fingerprint
    return AccuracySetting(audit_space(), DATA, None, size, proxy, STUDY_SEED, fingerprint=fingerprint)


def supernet_estimator(work: Path) -> SupernetEstimator:
    """Return the estimator of the trained supernet."""
    return open_supernet_estimator(_folder(work), audit_setting())


def supernet_figures(rows: Rows, work: Path) -> dict[str, Any]:
    """Return what the supernet cost."""
    row = rows.of(PART, read_checkpoint(_folder(work)).sha256)[-1]
    names = ("steps", "images", "images_per_cpu_s")
    return {"supernet_cost_cpu_minutes": row["cost_s"] / 60, **{f"supernet_{name}": row[name] for name in names}}


def check_extraction(rows: Rows, work: Path, deadline: Deadline) -> None:
    """Compare extracted networks with the supernet, calibrated and not, in evaluation and in training mode.

    Raises:
        OutOfTimeError: The minutes are over.
    """
    checkpoint = read_checkpoint(_folder(work))
    done = {row["arch_id"] for row in rows.of(EXTRACTION, checkpoint.sha256)}
    dataset, supernet = open_dataset(DATA), checkpoint.supernet()
    for network in drawn("extraction", EXTRACTED):
        if network.arch_id in done:
            continue
        deadline.check("the extraction of networks")
        images, _ = tensors(dataset, "train", network.input_shape_chw[1], _IMAGES)
        with reproducible(), torch.no_grad():
            supernet.calibrate(network, images)
            module = supernet.extract(network)
            differences = [
                float((supernet.train(mode)(images, network) - module.train(mode)(images)).abs().max())
                for mode in (False, True)
            ]
        rows.add(EXTRACTION, checkpoint.sha256, arch_id=network.arch_id, differences=differences)


def extraction_figures(rows: Rows, work: Path) -> dict[str, Any]:
    """Return how many extracted networks were equal bit for bit."""
    found = rows.of(EXTRACTION, read_checkpoint(_folder(work)).sha256)
    return {
        "extraction_networks": len({row["arch_id"] for row in found}),
        "extraction_bit_equal": len({row["arch_id"] for row in found if not any(row["differences"])}),
    }
