"""How a network is trained: every number that its accuracy depends on, in one frozen object with a short hash."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from mnas.data_names import is_image_folder
from mnas.errors import ConfigError
from mnas.jsonio import sha256_json

PURPOSES = ("proxy", "final")
"""Short training that ranks candidates; longer training of the finalists."""

FOLDER = "folder"
"""Name of the schedules for a folder of images."""

_RULE = 1
_FIRST = (
    *("train_images", "epochs", "batch_size", "lr", "warmup", "momentum", "weight_decay", "label_smoothing"),
    *("ema_decay", "bn_images", "flip", "eval_images"),
)
"""Fields that are hashed whatever they hold; each later one only where it is in use, so that old hashes stay."""
_ALWAYS = object()
_STEP, _STEPS = 0.97, 144
"""A fall every 2.4 of the 345 epochs behind the warmup, see `mnasnet_recipe`."""


@dataclass(frozen=True, slots=True)
class TrainingSchedule:
    """One way to train.

    Attributes:
        train_images: The first so many of the training split in hash order; 0 for all.
        epochs: Passes over them.
        batch_size: Images a step; a shorter last batch of an epoch is left out.
        lr: Peak learning rate of SGD with Nesterov momentum.
        warmup: Fraction of the steps over which the rate climbs linearly; then it falls as ``decay`` says.
        momentum: Of SGD.
        weight_decay: On convolution and linear weights only.
        label_smoothing: Of the cross-entropy in training; evaluation uses none.
        ema_decay: Decay a step of the weights' moving average that is evaluated; 0 evaluates the last weights.
        bn_images: Training images that the batch norms' statistics are estimated anew on after training; 0 keeps the
            running ones.
        flip: Whether half of the images, drawn anew each epoch, are mirrored.
        eval_images: The first so many of an evaluated split; 0 for all.
        crop: Part of the side by which images are padded all around before a square is cut out anywhere; 0 to 0.5.
        colour: Most by which brightness, contrast and saturation are changed, each by a factor of 1 +- ``colour``; 0
            to 1.
        mixup: Parameter of the Beta distribution that pairs of images are mixed by (Zhang et al. 2018, arXiv
            1710.09412); 0 mixes none.
        device: Where it is trained: ``cpu``, ``cuda`` or ``cuda:N``.
        amp: Whether a CUDA device computes in bfloat16 where that is safe; elsewhere it has no effect.
        resolution_px: Side of the images that the network is trained and judged on; 0 for its own.
        width: Factor on the channels of the network that is trained in the place of the whole one; 1 for itself.
        optimiser: ``sgd``, or ``rmsprop`` with a decay of 0.9 and the same momentum.
        decay: How the rate falls after its warmup: ``cosine`` to 0, or ``steps``: 0.97 times what it was, 144 times.
        dropout: Probability before the last linear layer.
        distill: Share of a teacher's word in the loss, the rest is the labels'; 0 to 1, 0 without a teacher.
        temperature: That the outputs of network and teacher are divided by for this.
    """

    train_images: int
    epochs: int
    batch_size: int = 64
    lr: float = 0.2
    warmup: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    bn_images: int = 2000
    flip: bool = False
    eval_images: int = 0
    crop: float = 0.0
    colour: float = 0.0
    mixup: float = 0.0
    device: str = "cpu"
    amp: bool = False
    resolution_px: int = 0
    width: float = 1.0
    optimiser: Literal["sgd", "rmsprop"] = "sgd"
    decay: Literal["cosine", "steps"] = "cosine"
    dropout: float = 0.0
    distill: float = 0.0
    temperature: float = 1.0

    @property
    def fidelity(self) -> str:
        """Return what it is, for people and as a key: images, epochs and a hash of everything."""
        later = {one.name: one.default for one in fields(self) if one.name not in _FIRST}
        used = {name: value for name, value in asdict(self).items() if value != later.get(name, _ALWAYS)}
        return f"{self.optimiser}-{self.train_images}x{self.epochs}-{sha256_json([_RULE, used])[:8]}"

    def to_json(self) -> dict[str, Any]:
        """Return its fields."""
        return asdict(self)

    def learning_rate(self, step: int, steps: int) -> float:
        """Return the rate of a step, ``0 <= step < steps``."""
        done = (step + 1) / (steps + 1)
        if done < self.warmup:
            return self.lr * done / self.warmup
        share = (done - self.warmup) / (1 - self.warmup)
        if self.decay == "steps":
            return float(self.lr * _STEP ** math.floor(_STEPS * share))
        return self.lr * 0.5 * (1 + math.cos(math.pi * share))


_MNASNET_WARMUP_EPOCHS, _LONGEST_WARMUP = 5, 0.2
_MNASNET_BATCH, _MNASNET_LR = 4096, 0.256


def mnasnet_recipe(base: TrainingSchedule) -> TrainingSchedule:
    """Return the recipe of MnasNet for the data, images and batches of another schedule.

    RMSProp with decay and momentum 0.9, dropout 0.2, weight decay 1e-5, label smoothing 0.1, a rate of 0.256 for a
    batch of 4,096 (in proportion for another) with a linear warmup over 5 epochs (a fifth of them, where that is less),
    then 0.97 times every 2.4 epochs (in proportion for fewer than 350), and a moving average of 0.9999. Torch adds
    RMSProp's epsilon, 0.001, behind the root, and its squares start at 0, where TensorFlow's start at 1. Source: Tan et
    al. 2019, arXiv 1807.11626, section 5.
    """
    return replace(
        base,
        optimiser="rmsprop",
        lr=_MNASNET_LR * base.batch_size / _MNASNET_BATCH,
        warmup=min(_MNASNET_WARMUP_EPOCHS / base.epochs, _LONGEST_WARMUP),
        decay="steps",
        momentum=0.9,
        weight_decay=1e-5,
        label_smoothing=0.1,
        dropout=0.2,
        ema_decay=0.9999,
    )


_FASHION_PROXY = TrainingSchedule(24_000, 1, 64, lr=0.1, label_smoothing=0.1)
_FASHION_SMALL = replace(_FASHION_PROXY, train_images=8_000, eval_images=5_000)
_DIGITS_PROXY = TrainingSchedule(0, 12, 32, lr=0.1)
_CIFAR_PROXY = TrainingSchedule(20_000, 5, 64, lr=0.1, label_smoothing=0.1, flip=True)
_CIFAR_FINAL = replace(_CIFAR_PROXY, train_images=35_000, epochs=20, crop=0.125)
_CIFAR_SMALL = replace(_CIFAR_PROXY, train_images=8_000, epochs=2, eval_images=5_000)
_FOLDER_PROXY = TrainingSchedule(10_000, 5, 32, lr=0.05, label_smoothing=0.1)
"""Of unknown images nothing is known to leave a class as it is, mirroring included."""
_CIFAR = {"proxy": _CIFAR_PROXY, "final": _CIFAR_FINAL}
_CIFAR_SHORT = {"proxy": _CIFAR_SMALL, "final": replace(_CIFAR_SMALL, train_images=10_000, epochs=4)}

SCHEDULES: dict[str, dict[str, TrainingSchedule]] = {
    "fashion": {"proxy": _FASHION_PROXY, "final": replace(_FASHION_PROXY, train_images=30_000, epochs=2)},
    "fashion-small": {"proxy": _FASHION_SMALL, "final": replace(_FASHION_SMALL, train_images=10_000, epochs=2)},
    "digits": {"proxy": _DIGITS_PROXY, "final": replace(_DIGITS_PROXY, epochs=30)},
    "digits-small": {"proxy": replace(_DIGITS_PROXY, epochs=6), "final": replace(_DIGITS_PROXY, epochs=15)},
    "cifar10": _CIFAR,
    "cifar10-small": _CIFAR_SHORT,
    "cifar100": _CIFAR,
    "cifar100-small": _CIFAR_SHORT,
    FOLDER: {"proxy": _FOLDER_PROXY, "final": replace(_FOLDER_PROXY, train_images=50_000, epochs=20, crop=0.0625)},
    "folder-small": {
        "proxy": replace(_FOLDER_PROXY, train_images=2_000, epochs=2, eval_images=5_000),
        "final": replace(_FOLDER_PROXY, train_images=4_000, epochs=4, eval_images=5_000),
    },
}
"""Data set, or data set and ``-small`` for a short run -> purpose -> schedule."""


def schedule_for(dataset: str, purpose: str, *, is_small: bool = False) -> TrainingSchedule:
    """Return the schedule made for a data set.

    Args:
        dataset: As `search.data.registry` knows it; all folders of images have the same.
        purpose: One of `PURPOSES`.
        is_small: For a run of two minutes.

    Raises:
        ConfigError: ``CFG01``: no schedule of that name.
    """
    name = FOLDER if is_image_folder(dataset) else dataset
    found = SCHEDULES.get(f"{name}-small" if is_small else name, {})
    if purpose not in found:
        known = ", ".join(name for name in SCHEDULES if not name.endswith("-small"))
        raise ConfigError(
            "CFG01",
            "no training schedule of that name",
            value=f"{dataset}/{purpose}",
            why=f"known are {' and '.join(PURPOSES)} for each of {known}",
            fix="use one of them",
        )
    return found[purpose]
