"""A trained Fashion-MNIST network for benchmarks; its weights are kept, so that a second run starts from them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from mnas.architecture import Architecture
from mnas.jsonio import sha256_json
from mnas.modules import LayerModule
from mnas.spaces.presets import open_space
from search.data.dataset import Dataset
from search.training.schedule import TrainingSchedule
from search.training.trainer import train_network
from search.training.weights_file import load_weights, save_weights

PX = 28
# The draw has squeeze-and-excitation behind ReLU and behind hard swish, both kernels, and skips.
DRAW = 10
SCHEDULE = TrainingSchedule(0, 6, lr=0.1, label_smoothing=0.1, flip=True)


def fashion_architecture() -> Architecture:
    """Return a network of the MobileNetV3 space for Fashion-MNIST at its full 28 pixels."""
    space = open_space("mobilenetv3", "fashion", (PX,))
    return space.decode(space.draw(np.random.default_rng(DRAW)))


def trained_network(dataset: Dataset, work: Path, seed: int) -> LayerModule:
    """Return the network with trained weights: from the work folder, or trained now (minutes on one core)."""
    architecture = fashion_architecture()
    key = sha256_json([architecture.arch_id, SCHEDULE.to_json(), seed, dataset.fingerprint])
    path = work / f"fashion-{key[:16]}.pt"
    if not path.is_file():
        print("training the network", file=sys.stderr)
        save_weights(train_network(architecture, dataset, SCHEDULE, seed).module, path)
    return load_weights(architecture, path)
