"""A training's validation curve: what the network does on a split while it is still being trained."""

from __future__ import annotations

from dataclasses import dataclass, field

from mnas.modules import LayerModule
from search.data.batches import SplitImages
from search.data.dataset import Dataset
from search.training.schedule import TrainingSchedule
from search.training.trainer import estimate_batch_norms, evaluate

_BN_IMAGES = 512
"""Enough for a point of a curve; the final evaluation takes what the schedule says."""


@dataclass(slots=True)
class CurveRecorder:
    """Evaluates a network at equal distances along its training, without any effect on the training.

    Batch norms get their statistics anew for each point where the schedule does so at the end (training itself never
    reads them); the moving average of weights is not used. The end of the training is no point: it is evaluated anyway.

    Attributes:
        dataset: The data set.
        schedule: Of the training.
        split: What to evaluate on.
        px: Side of the network's input.
        points: Parts of the training; a point follows each but the last.
        images: The first so many of the split; 0 for all that the schedule evaluates.
        found: ``[epochs done, error, loss]`` of each point so far.
    """

    dataset: Dataset
    schedule: TrainingSchedule
    split: str
    px: int
    points: int
    images: int = 0
    found: list[list[float]] = field(default_factory=list)

    def __call__(self, done: int, steps: int, module: LayerModule) -> bool:
        """Look at a training after a step; return whether a point was added."""
        part = done * self.points // steps
        if done == steps or part == (done - 1) * self.points // steps:
            return False
        if self.schedule.bn_images:
            limit = min(self.schedule.bn_images, _BN_IMAGES)
            images = SplitImages(self.dataset, "train", self.px, self.schedule.train_images)
            estimate_batch_norms(module, lambda size: images.slices(size, limit))
        seen = evaluate(module, self.dataset, self.split, self.px, self.images or self.schedule.eval_images)
        module.train()
        self.found.append([done / steps * self.schedule.epochs, seen.error, seen.loss])
        return True
