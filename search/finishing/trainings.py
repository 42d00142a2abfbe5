"""The trainings of a network on the disk: one file of figures and one of weights for each seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from mnas.jsonio import write_json_atomic
from search.accuracy.jobs import TrainingOutcome
from search.seed_noise import half_width


@dataclass(frozen=True, slots=True)
class SeedFiles:
    """Where the trainings of one network with one key are kept.

    Attributes:
        folder: Of them alone.
    """

    folder: Path

    def weights(self, repeat: int) -> Path:
        """Return the file of a training's weights."""
        return self.folder / f"seed-{repeat}.pt"

    def keep(self, repeat: int, outcome: TrainingOutcome) -> None:
        """Write what came of a training; its weights are there by then."""
        write_json_atomic(self.folder / f"seed-{repeat}.json", asdict(outcome))

    def outcome(self, repeat: int) -> TrainingOutcome | None:
        """Return what came of a training; ``None`` where it is not there whole."""
        try:
            text = (self.folder / f"seed-{repeat}.json").read_text(encoding="utf-8")
            found = TrainingOutcome(**json.loads(text))
        except (OSError, ValueError, TypeError):
            return None
        return found if not found.is_ok or self.weights(repeat).is_file() else None

    def is_settled(self, repeat: int) -> bool:
        """Return whether a training need not be run; one that failed for want of memory or a process is run again."""
        found = self.outcome(repeat)
        return found is not None and found.is_settled


@dataclass(frozen=True, slots=True)
class Trainings:
    """All trainings of a network.

    Attributes:
        outcomes: Repeat -> what came of it.
    """

    outcomes: Mapping[int, TrainingOutcome]

    @property
    def good(self) -> dict[int, TrainingOutcome]:
        """Those that have a result."""
        return {repeat: one for repeat, one in self.outcomes.items() if one.is_ok}

    @property
    def best(self) -> int:
        """The repeat that did best on val; there is one."""
        return min(self.good, key=lambda repeat: (self.good[repeat].errors["val"], self.good[repeat].losses["val"]))

    def top1(self, split: str) -> tuple[float, float | None]:
        """Return the mean top-1 accuracy over the seeds, 0..1, and half of its 95 % interval if there are several."""
        values = [1 - one.errors[split] for one in self.good.values()]
        return fmean(values), half_width(values)
