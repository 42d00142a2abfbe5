"""An interrupted training on the disk, kept after each epoch: tensors and numbers alone, and gone on with exactly."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mnas.errors import TrainingError
from mnas.jsonio import write_bytes_atomic
from search.training.averaging import MovingAverage

_RULE = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the state of one training is kept.

    Attributes:
        path: The file.
        training: What the training is of: network, data, schedule, seed. A file of another training is refused.
    """

    path: Path
    training: str

    def save(
        self,
        epochs_done: int,
        module: nn.Module,
        optimiser: torch.optim.Optimizer,
        average: MovingAverage,
        generator: torch.Generator,
    ) -> None:
        """Keep everything that the rest of the training depends on.

        Raises:
            OSError: The folder cannot be made or written.
        """
        steps, averages = average.state()
        kept = {
            "rule": _RULE,
            "training": self.training,
            "epochs_done": epochs_done,
            "module": module.state_dict(),
            "optimiser": optimiser.state_dict(),
            "average_steps": steps,
            "averages": averages,
            "generator": generator.get_state(),
        }
        buffer = io.BytesIO()
        torch.save(kept, buffer)
        write_bytes_atomic(self.path, buffer.getvalue(), outlasts_power=False)

    def restore(
        self,
        module: nn.Module,
        optimiser: torch.optim.Optimizer,
        average: MovingAverage,
        generator: torch.Generator,
    ) -> int:
        """Put everything back and return how many epochs are done; 0 where nothing is kept, or nothing readable.

        Raises:
            TrainingError: ``TRN11``: the file is of another training.
        """
        kept = self._read()
        if kept is None:
            return 0
        if (kept["rule"], kept["training"]) != (_RULE, self.training):
            raise TrainingError(
                "TRN11",
                "the interrupted training on the disk is another one",
                value=str(self.path),
                why=f"it is of {kept['training']}, this is {self.training}",
                fix="delete the file, and the network is trained from its start",
            )
        module.load_state_dict(kept["module"])
        optimiser.load_state_dict(kept["optimiser"])
        average.restore(kept["average_steps"], kept["averages"])
        generator.set_state(kept["generator"])
        return int(kept["epochs_done"])

    def remove(self) -> None:
        """Remove the file once its training is over."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any] | None:
        # What cannot be read, e.g. after a power cut, costs the time of the epochs in it and no more.
        try:
            kept = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception:  # damaged bytes are read as opcodes, and raise whatever those do
            return None
        names = ("rule", "training", "epochs_done", "module", "optimiser", "average_steps", "averages", "generator")
        return kept if isinstance(kept, dict) and all(name in kept for name in names) else None
