"""How a supernet is trained: every number that its weights depend on, in one frozen object."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from mnas.errors import ConfigError
from search.supernet.phases import PROGRESSIVE, TOGETHER, Phase

RULES = ("sandwich", "single-path")
"""The largest, the smallest and random networks in each step, taught by the largest; or one random network."""
_SUM_TOLERANCE = 1e-9


_CHECKED = ("rule", "epochs", "batch_size", "accumulate", "lr", "clip_norm", "ema_decay")


@dataclass(frozen=True, slots=True)
class SupernetSchedule:
    """One way to train a supernet.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images that a process takes at once.
        accumulate: Batches of a step.
        train_images: The first so many of the training split in hash order; 0 for all.
        rule: One of `RULES`.
        random_networks: Of a sandwich, beside the largest and the smallest.
        phases: What is elastic when.
        lr: Peak learning rate of SGD with Nesterov momentum; losses of a step's networks are added up.
        warmup: Fraction of the steps over which the rate climbs linearly; then it falls by a cosine to 0.
        momentum: Of SGD.
        weight_decay: On convolution and linear weights only.
        clip_norm: Longest gradient of a step; 0 for any.
        label_smoothing: Of the cross-entropy with labels.
        ema_decay: Decay a step of the weights' moving average, which then is what is kept; 0 keeps the last weights.
        flip: Whether half of the images, drawn anew each step, are mirrored.
        amp: Mixed precision (bfloat16); on a GPU alone.
    """

    epochs: int
    batch_size: int = 128
    accumulate: int = 1
    train_images: int = 0
    rule: str = "sandwich"
    random_networks: int = 2
    phases: tuple[Phase, ...] = TOGETHER
    lr: float = 0.1
    warmup: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-5
    clip_norm: float = 5.0
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    flip: bool = False
    amp: bool = False

    def __post_init__(self) -> None:
        is_whole = abs(sum(phase.share for phase in self.phases) - 1) < _SUM_TOLERANCE
        counts = min(self.epochs, self.batch_size, self.accumulate)
        in_range = 0 < self.lr < math.inf and 0 <= self.clip_norm < math.inf and 0 <= self.ema_decay < 1
        if self.rule not in RULES or counts < 1 or not is_whole or not in_range:
            raise ConfigError(
                "CFG01",
                "the supernet's schedule is wrong",
                value={name: getattr(self, name) for name in _CHECKED},
                why=f"rules are {', '.join(RULES)}; counts are 1 or more, rates above 0; phases' shares sum to 1",
                fix="correct it",
            )

    def to_json(self) -> dict[str, Any]:
        """Return its fields."""
        values = asdict(self)
        values["phases"] = [{"share": phase.share, "elastic": list(phase.elastic)} for phase in self.phases]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SupernetSchedule:
        """Read what `to_json` gave."""
        phases = tuple(Phase(float(one["share"]), tuple(one["elastic"])) for one in values["phases"])
        return cls(**{**values, "phases": phases})

    def learning_rate(self, step: int, steps: int) -> float:
        """Return the rate of a step, ``0 <= step < steps``."""
        done = (step + 1) / (steps + 1)
        if done < self.warmup:
            return self.lr * done / self.warmup
        return self.lr * 0.5 * (1 + math.cos(math.pi * (done - self.warmup) / (1 - self.warmup)))

    def phase_at(self, step: int, steps: int) -> Phase:
        """Return what is elastic in a step."""
        end = 0.0
        for phase in self.phases:
            end += phase.share
            if step < round(end * steps):
                return phase
        return self.phases[-1]


_FASHION = SupernetSchedule(40, lr=0.1)
SUPERNET_SCHEDULES: dict[str, SupernetSchedule] = {
    "fashion": _FASHION,
    "digits": replace(_FASHION, epochs=60, batch_size=64),
}
"""Data set -> schedule."""


def supernet_schedule(
    dataset: str,
    *,
    epochs: int = 0,
    rule: str = "sandwich",
    progressive: bool = False,
    batch_size: int = 0,
    lr: float = 0.0,
    clip_norm: float | None = None,
) -> SupernetSchedule:
    """Return the schedule made for a data set; that of Fashion-MNIST for one that has none.

    Args:
        dataset: As `search.data.registry` knows it.
        epochs: Others than its own; 0 for these.
        rule: One of `RULES`.
        progressive: From the largest network to smaller ones, instead of all at once.
        batch_size: Another than its own; 0 for this.
        lr: Likewise.
        clip_norm: Likewise, but 0 for gradients of any length and None for its own.

    Raises:
        ConfigError: ``CFG01``: no such rule, or a number out of its range.
    """
    found = SUPERNET_SCHEDULES.get(dataset, _FASHION)
    phases = PROGRESSIVE if progressive else TOGETHER
    found = replace(found, epochs=epochs or found.epochs, rule=rule, phases=phases)
    found = replace(found, batch_size=batch_size or found.batch_size, lr=lr or found.lr)
    return found if clip_norm is None else replace(found, clip_norm=clip_norm)
