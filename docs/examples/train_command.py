"""A trainer for ``mnas search --accuracy-cmd``: a plain PyTorch loop on scikit-learn's digits.

    mnas search --data digits --accuracy-cmd 'python docs/examples/train_command.py {architecture} --seed {seed}'

It is given the path of architecture.json, builds the network with `mnas.build_module`, trains it and prints one line of
JSON. Put your own data, loop and schedule in the place of this one; keep the splits apart as here.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch.nn import functional

from mnas import Architecture, build_module


def digits(px: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images, NCHW at the network's size, and their labels."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16 - 0.3
    return functional.interpolate(images, size=(px, px), mode="bilinear"), torch.tensor(data.target)


def main() -> None:
    """Train one network and print what it is worth."""
    parser = argparse.ArgumentParser()
    parser.add_argument("architecture", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    started = time.process_time()

    architecture = Architecture.from_json(json.loads(options.architecture.read_text(encoding="utf-8")))
    network = build_module(architecture, seed=options.seed)
    images, labels = digits(architecture.input_shape_chw[1])
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    train, held_out = order[:1400], order[1400:]

    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    generator = torch.Generator().manual_seed(options.seed)
    for _ in range(options.epochs):
        for batch in train[torch.randperm(len(train), generator=generator)].split(32):
            loss = functional.cross_entropy(network(images[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    network.eval()
    with torch.no_grad():
        right = (network(images[held_out]).argmax(1) == labels[held_out]).double()
    print(
        json.dumps(
            {
                "accuracy": right.mean().item(),
                "std": (right.std() / len(right) ** 0.5).item(),
                "cost_s": time.process_time() - started,
            }
        )
    )


if __name__ == "__main__":
    main()
