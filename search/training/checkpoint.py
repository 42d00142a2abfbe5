"""An interrupted training on the disk, kept after each epoch: tensors and numbers alone, and gone on with exactly."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mnas.errors import TrainingError
from mnas.export.tensor_file import load_tensors
from mnas.jsonio import write_bytes_atomic
from search.training.averaging import MovingAverage

_RULE = 1
_PARTS: dict[str, type] = {
    **{"rule": int, "training": str, "epochs_done": int, "module": dict, "optimiser": dict, "average_steps": int},
    **{"averages": list, "generator": torch.Tensor},
}


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
        epochs: int,
    ) -> int:
        """Put everything back and return how many epochs are done; 0 where nothing is kept, or nothing that fits.

        Args:
            module: The network.
            optimiser: Of its weights.
            average: Of its weights.
            generator: Of the order of the images and their changes.
            epochs: Of the whole training.

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
        if not 0 < kept["epochs_done"] < epochs or not _fits(kept, module, optimiser, average, generator):
            return 0
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
            kept = load_tensors(self.path)
        except Exception:  # damaged bytes are read as opcodes, and raise whatever those do
            return None
        is_whole = isinstance(kept, dict) and all(isinstance(kept.get(name), kind) for name, kind in _PARTS.items())
        return kept if is_whole else None


def _fits(
    kept: dict[str, Any],
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: MovingAverage,
    generator: torch.Generator,
) -> bool:
    """Say whether all parts are of the kinds and shapes of what they are to replace, before one of them does."""
    weights = module.state_dict()
    return (
        kept["module"].keys() == weights.keys()
        and all(_is_like(kept["module"][name], own) for name, own in weights.items())
        and len(kept["averages"]) == len(average.state()[1])
        and all(map(_is_like, kept["averages"], average.state()[1]))
        and _is_like(kept["generator"], generator.get_state())
        and _is_drawable(kept["generator"])
        and _is_of(kept["optimiser"], optimiser)
    )


def _is_like(found: object, own: torch.Tensor) -> bool:
    return isinstance(found, torch.Tensor) and (found.shape, found.dtype) == (own.shape, own.dtype)


def _is_drawable(state: torch.Tensor) -> bool:
    try:
        torch.Generator().set_state(state)
    except RuntimeError:
        return False
    return True


def _is_of(state: dict[str, Any], optimiser: torch.optim.Optimizer) -> bool:
    """Say whether a state has this optimiser's settings, and moments of the shapes of its weights."""
    groups, moments = state.get("param_groups"), state.get("state")
    if not isinstance(groups, list) or not isinstance(moments, dict):
        return False
    if _settings(groups) != _settings(optimiser.state_dict()["param_groups"]):
        return False
    weights = dict(enumerate(weight for group in optimiser.param_groups for weight in group["params"]))
    return moments.keys() <= weights.keys() and all(
        isinstance(one, dict) and all(_is_moment(value, weights[place]) for value in one.values())
        for place, one in moments.items()
    )


def _settings(groups: list[Any]) -> str:
    """Return groups without the learning rate, which each step sets, as text: what a file holds may not be compared."""
    return repr([{**one, "lr": 0} if isinstance(one, dict) and "lr" in one else None for one in groups])


def _is_moment(value: object, weight: torch.Tensor) -> bool:
    """Say whether a value is an average over steps, a number of steps, or not begun yet."""
    if isinstance(value, torch.Tensor):
        return value.shape in (weight.shape, ()) and value.dtype.is_floating_point
    return value is None or isinstance(value, int | float)
