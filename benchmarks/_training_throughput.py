"""How fast the trainer is beside a plain loop in torch's default memory layout, on the space's median network."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from _audit_rows import Deadline, Rows
from _audit_truth import DATA, STUDY_SEED, audit_space, drawn, size_of, truth_schedule
from torch.nn import functional

from mnas.architecture import Architecture
from mnas.modules import build_module
from mnas.seeding import named_rng
from search.data.dataset import Dataset, tensors
from search.data.registry import open_dataset
from search.training.schedule import TrainingSchedule
from search.training.trainer import reproducible, train_network

PART = "throughput"
DRAWN = 101
PAIRS, STEPS = 15, 32


def median_network() -> Architecture:
    """Return the network of median MACs of many drawn ones."""
    return sorted(drawn("throughput", DRAWN), key=lambda one: size_of(one)["macs"])[DRAWN // 2]


def schedule() -> TrainingSchedule:
    """Return the ground truth's schedule, cut short: what comes once, after training, is no part of the pace."""
    whole = truth_schedule()
    cut = {"train_images": STEPS * whole.batch_size, "epochs": 1, "bn_images": 0}
    return TrainingSchedule(**{**whole.to_json(), **cut})


def plain_images_per_s(architecture: Architecture, dataset: Dataset, how: TrainingSchedule) -> float:
    """Train as a short tutorial does: contiguous NCHW, plain SGD, one thread; images a CPU second."""
    images, labels = tensors(dataset, "train", architecture.input_shape_chw[1], how.train_images)
    images = images.contiguous()
    started = time.process_time()
    with reproducible():
        module = build_module(architecture).train()
        optimiser = torch.optim.SGD(module.parameters(), how.lr, how.momentum, weight_decay=how.weight_decay)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        for chosen in order.split(how.batch_size):
            outputs = module(images[chosen])
            loss = functional.cross_entropy(outputs, labels[chosen], label_smoothing=how.label_smoothing)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return len(images) / (time.process_time() - started)


def own_images_per_s(architecture: Architecture, dataset: Dataset, how: TrainingSchedule) -> float:
    """Train as a search does; images a CPU second, initialisation included as in the plain loop."""
    trained = train_network(architecture, dataset, how, 0)
    return trained.images_seen / trained.cost_s


def measure_pairs(rows: Rows, deadline: Deadline) -> None:
    """Train by both in turn, the first of a pair alternating, until there are enough pairs.

    Raises:
        OutOfTimeError: The minutes are over.
    """
    dataset, architecture, how = open_dataset(DATA), median_network(), schedule()
    both = {"own": own_images_per_s, "plain": plain_images_per_s}
    done = len(rows.of(PART, throughput_key(architecture, how)))
    if done < PAIRS:
        for one in both.values():
            one(architecture, dataset, how)
    for number in range(done, PAIRS):
        deadline.check(f"{PAIRS - number} pairs of trainings")
        order = list(both) if number % 2 else list(reversed(both))
        seen = {name: both[name](architecture, dataset, how) for name in order}
        rows.add(PART, throughput_key(architecture, how), **seen)


def throughput_key(architecture: Architecture, how: TrainingSchedule) -> str:
    """Return what pairs rest on."""
    return f"{architecture.arch_id[:12]}/{how.fidelity}/torch-{torch.__version__}"


def throughput_figures(rows: Rows) -> dict[str, Any]:
    """Return the median of the pairs' ratios, with a 95 % interval by resampling pairs."""
    architecture, how = median_network(), schedule()
    pairs = rows.of(PART, throughput_key(architecture, how))[:PAIRS]
    own, plain = (np.array([row[name] for row in pairs], dtype=float) for name in ("own", "plain"))
    ratio = own / plain
    rng = named_rng(STUDY_SEED, "throughput")
    draws = np.median(ratio[rng.integers(0, len(ratio), (2000, len(ratio)))], axis=1)
    low, high = np.quantile(draws, (0.025, 0.975))
    return {
        "throughput_space": audit_space().name,
        "throughput_mmacs": size_of(architecture)["macs"] / 1e6,
        "throughput_px": size_of(architecture)["px"],
        "throughput_own_images_per_cpu_s": float(np.median(own)),
        "throughput_plain_nchw_images_per_cpu_s": float(np.median(plain)),
        "throughput_over_plain_nchw": float(np.median(ratio)),
        "throughput_interval": [float(low), float(high)],
        "throughput_pairs": len(pairs),
    }
