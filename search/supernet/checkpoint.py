"""A supernet on the disk: one file of tensors and plain numbers, written whole, read without running code."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from mnas.errors import MnasError, SupernetError
from mnas.export.tensor_file import load_tensors
from mnas.jsonio import canonical_json, write_bytes_atomic
from mnas.spaces.definition import SpaceDefinition
from mnas.spaces.staged import StagedSpace
from search.supernet.network import Supernet
from search.supernet.schedule import SupernetSchedule

SCHEMA = "mnas.supernet/1"
FILE_NAME = "supernet.pt"
_TENSORS = ("weights", "momenta", "averages")
_PARTS = {"description", "step", "steps", "cost_s", "history", *_TENSORS}
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Description:
    """What the weights of a supernet rest on.

    Attributes:
        definition: Of its space.
        dataset: Name of the data.
        fingerprint: Of the data.
        schedule: How it is trained.
        seed: Of weights, order and networks.
        processes: That train it together.
    """

    definition: SpaceDefinition
    dataset: str
    fingerprint: str
    schedule: SupernetSchedule
    seed: int
    processes: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return its fields under a schema."""
        return {
            "schema": SCHEMA,
            "space": self.definition.model_dump(mode="json"),
            "dataset": self.dataset,
            "fingerprint": self.fingerprint,
            "schedule": self.schedule.to_json(),
            "seed": str(self.seed),
            "processes": self.processes,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Description:
        """Read what `to_json` gave.

        Raises:
            ValueError: It is another schema.
        """
        if values["schema"] != SCHEMA:
            raise ValueError(f"its schema is {values['schema']}, and this version reads {SCHEMA}")
        return cls(
            SpaceDefinition.model_validate_json(json.dumps(values["space"])),
            values["dataset"],
            values["fingerprint"],
            SupernetSchedule.from_json(values["schedule"]),
            int(values["seed"]),
            int(values["processes"]),
        )


@dataclass(frozen=True)
class Checkpoint:
    """A supernet after some step.

    Attributes:
        description: What it rests on.
        step: Steps done.
        steps: Of the whole training.
        cost_s: CPU seconds so far, all processes together.
        weights: After that step.
        momenta: Of the optimiser.
        averages: Moving averages of the weights; empty without.
        history: Step, loss of the largest network and mean loss of the step's networks, now and then.
    """

    description: Description
    step: int
    steps: int
    cost_s: float
    weights: Tensors
    momenta: Tensors = field(default_factory=dict)
    averages: Tensors = field(default_factory=dict)
    history: tuple[tuple[int, float, float], ...] = ()

    @property
    def is_finished(self) -> bool:
        """Return whether the training is over."""
        return self.step >= self.steps

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the weights that estimates rest on, and of what they are weights of."""
        digest = hashlib.sha256(canonical_json(self.description.to_json()).encode())
        for name, tensor in sorted((self.averages or self.weights).items()):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def supernet(self) -> Supernet:
        """Return the supernet with the averaged weights, or the last ones where none are averaged.

        Raises:
            SupernetError: ``SUP01``: the weights are not those of its space.
        """
        network = Supernet(StagedSpace(self.description.definition))
        try:
            network.load_state_dict(self.averages or self.weights)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise _unreadable("the weights", str(error).splitlines()[0]) from error
        return network.eval()

    def save(self, path: Path) -> None:
        """Write it whole or not at all.

        Raises:
            OSError: The folder cannot be made or written.
        """
        buffer = io.BytesIO()
        values = {name: getattr(self, name) for name in _PARTS - {"description"}}
        torch.save({**values, "description": canonical_json(self.description.to_json())}, buffer)
        write_bytes_atomic(path, buffer.getvalue())


def checkpoint_path(path: Path) -> Path:
    """Return the file that is meant by a file or by the folder that holds it."""
    return path / FILE_NAME if path.is_dir() else path


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a supernet.

    Args:
        path: The file, or its folder.

    Raises:
        SupernetError: ``SUP01``: there is none, it is damaged or something else.
    """
    path = checkpoint_path(path)
    if not path.is_file():
        raise _unreadable(path, "there is no such file", "train one with: mnas supernet train")
    if not zipfile.is_zipfile(path):  # older forms of pickles are nothing that was saved here
        raise _unreadable(path, "it is no file of tensors, or was cut off")
    try:
        values = load_tensors(path)
        if not _is_saved(values):
            raise ValueError("it holds something else")
        description = Description.from_json(json.loads(values.pop("description")))
        history = tuple((int(step), float(one), float(other)) for step, one, other in values.pop("history"))
        step, steps, cost_s = int(values.pop("step")), int(values.pop("steps")), float(values.pop("cost_s"))
        return Checkpoint(description, step, steps, cost_s, history=history, **values)
    except (
        OSError, RuntimeError, EOFError, pickle.UnpicklingError, TypeError, AttributeError, KeyError, ValueError,
        ValidationError, MnasError,
    ) as error:  # fmt: skip
        raise _unreadable(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error


def _is_saved(values: object) -> bool:
    if not isinstance(values, dict) or set(values) != _PARTS:
        return False
    return all(_is_tensors(values[name]) for name in _TENSORS)


def _is_tensors(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(one, torch.Tensor) for name, one in value.items()
    )


def _unreadable(path: Path | str, why: str, fix: str = "train it again, or name another") -> SupernetError:
    return SupernetError("SUP01", "a supernet cannot be read", value=str(path), why=why, fix=fix)


def require_same(stored: Description, asked: Description) -> None:
    """Refuse to go on with another training than the one that was begun.

    Raises:
        SupernetError: ``SUP02``: the message names what differs.
    """
    one, other = stored.to_json(), asked.to_json()
    differing = [name for name in one if one[name] != other[name]]
    if differing:
        raise SupernetError(
            "SUP02",
            "the supernet to be resumed was begun otherwise",
            value=", ".join(_shown(name, one[name], other[name]) for name in differing),
            why="its weights would mean nothing",
            fix="give what it was begun with, or another --out",
        )


def _shown(name: str, stored: Any, asked: Any) -> str:
    if isinstance(stored, dict):
        inner = sorted(key for key in stored if stored[key] != asked.get(key))
        return f"{name} ({', '.join(inner)})"
    return f"{name}: {str(stored)[:40]}, now {str(asked)[:40]}"
