"""A ``weights.pt``: tensors only, written whole, read without running what may be in it, held against its network."""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mnas.architecture import Architecture
from mnas.errors import ExportError
from mnas.export.tensor_file import load_tensors
from mnas.jsonio import write_bytes_atomic
from mnas.modules import LayerModule, build_module

_MOST_NAMED = 3
_FOREIGN = re.compile(r"GLOBAL (\w[\w.]{0,100})")
_FLAG = "weights_only"


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a module's ``state_dict`` whole or not at all.

    Raises:
        OSError: The folder cannot be made or written.
    """
    buffer = io.BytesIO()
    torch.save({name: tensor.detach().contiguous() for name, tensor in module.state_dict().items()}, buffer)
    write_bytes_atomic(path, buffer.getvalue())


def load_weights(architecture: Architecture, path: Path) -> LayerModule:
    """Return the torch module of a network with the weights of a file, in evaluation mode.

    Raises:
        ExportError: ``EXP09``: the file cannot be read. ``EXP10``: its weights are of another network, or not finite.
        ArchitectureError: A block does not fit the one before it.
    """
    return module_with(architecture, read_weights(path), path)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a state dict.

    Raises:
        ExportError: ``EXP09``: there is no such file, or it is none of weights alone; code in it is never run.
    """
    try:
        if not path.is_file():
            raise OSError("no such file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = load_tensors(path)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except Exception as error:  # the reader raises whatever the junk makes it
        raise _unreadable(path, _fault(error)) from error
    if not isinstance(state, Mapping) or not all(isinstance(one, torch.Tensor) for one in state.values()) or not state:
        raise _unreadable(path, f"it holds {_kinds(state)}, not names with tensors")
    return {str(name): value for name, value in state.items()}


def module_with(architecture: Architecture, state: Mapping[str, torch.Tensor], path: Path) -> LayerModule:
    """Return the torch module of a network with these weights, in evaluation mode.

    Args:
        architecture: The network.
        state: As `read_weights` gives it.
        path: Where it came from, for messages.

    Raises:
        ExportError: ``EXP10``: the weights are of another network, or hold a number that is not finite.
        ArchitectureError: A block does not fit the one before it.
    """
    module = build_module(architecture)
    expected = module.state_dict()
    misfit = _first_misfit(expected, state)
    if misfit:
        raise ExportError(
            "EXP10",
            f"{os.fspath(path)} holds the weights of another network",
            value=misfit,
            why=f"the network {architecture.arch_id[:12]} has {len(expected)} tensors, the file {len(state)}",
            fix="name the architecture.json that was written beside these weights with --architecture",
        )
    bad = next((name for name, value in state.items() if not torch.isfinite(value).all()), None)
    if bad is not None:
        raise ExportError(
            "EXP10",
            f"{os.fspath(path)} holds numbers that are not finite",
            value=bad,
            why="no output would be a number",
            fix="train again",
        )
    module.load_state_dict(dict(state))
    return module.eval()


def _fault(error: Exception) -> str:
    """Return what is wrong with a file in our words: torch's own tell people to run the code that may be in it."""
    foreign = _FOREIGN.search(str(error))
    if foreign:
        return f"it would run {foreign[1]} to be read, which makes no tensor; code in weights is never run"
    first = str(error).partition("\n")[0].partition(". ")[0][:200]
    told = "" if not first or _FLAG in first else f" ({first})"
    return f"it holds something else than tensors, or is damaged{told}"


def _first_misfit(expected: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> str:
    """Return the first tensor of the network that the file lacks or has otherwise, then the first that is too many."""
    for name, value in expected.items():
        if name not in state:
            return f"no {name}"
        seen = state[name]
        if seen.shape != value.shape:
            return f"{name} is {tuple(seen.shape)}, not {tuple(value.shape)}"
        if seen.is_floating_point() != value.is_floating_point() or seen.is_complex():
            return f"{name} is {seen.dtype}, not {value.dtype}"
    return next((f"unknown {name}" for name in state if name not in expected), "")


def _kinds(state: Any) -> str:
    if isinstance(state, Mapping):
        return (
            "{" + ", ".join(f"{name!r}: {type(one).__name__}" for name, one in list(state.items())[:_MOST_NAMED]) + "}"
        )
    return type(state).__name__


def _unreadable(path: Path, why: str) -> ExportError:
    return ExportError(
        "EXP09",
        "the weights cannot be read",
        value=os.fspath(path),
        why=why,
        fix="give a file that torch.save wrote of module.state_dict()",
    )
