"""What every runtime here gives: a way to open a model, and a model that is ready to run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy.typing as npt

from devices.runtimes.inputs import Feed

Run = Callable[[], object]
NamedOutputs = list[tuple[str, npt.NDArray[Any]]]


class LoadedModel(Protocol):
    """A model whose inputs are filled."""

    notes: tuple[str, ...]
    """What is otherwise than asked for."""

    @property
    def run(self) -> Run:
        """One inference, and nothing else: this is what is timed."""

    def first_run(self) -> None:
        """Run once."""

    def settle(self) -> None:
        """After the first run: do what makes later runs cheaper, e.g. keep its outputs as buffers."""

    def outputs(self) -> NamedOutputs:
        """Return name and value of each numeric output of the last run."""


Open = Callable[[str, Feed], LoadedModel]
"""From the path of a model file and what it is fed to the model; raises whatever the runtime raises."""


class UnknownDelegateError(ValueError):
    """A runtime does not have the delegate asked for.

    Args:
        delegate: Asked for.
        present: What it has.
    """

    def __init__(self, delegate: str, present: tuple[str, ...]) -> None:
        super().__init__(f"no delegate {delegate}; present are {', '.join(present)}")
        self.delegate = delegate
        self.present = present
