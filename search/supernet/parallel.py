"""Processes that train one supernet together: each takes its share of a batch, and gradients are averaged."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol

import torch
from torch import distributed

from mnas.errors import TrainingError

_TIMEOUT = timedelta(minutes=5)
"""For the others to come to a meeting, or to the end of a step."""


class Group(Protocol):
    """The processes that work on a step.

    Attributes:
        rank: Number of this one.
        size: How many there are.
    """

    rank: int
    size: int

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Return the mean of a flat tensor over the processes, the same bits in each."""


class Alone:
    """One process."""

    rank, size = 0, 1

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Return the tensor."""
        return values


class Together:
    """Several processes in torch's default group.

    Raises:
        TrainingError: ``TRN20``: from `mean`: another process is gone.
    """

    def __init__(self) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Return the mean of a flat tensor over the processes, the same bits in each."""
        try:
            distributed.all_reduce(values)
        except RuntimeError as error:
            raise _gone(error) from error
        return values / self.size


def _gone(error: RuntimeError) -> TrainingError:
    return TrainingError(
        "TRN20",
        "another process of the supernet's training is gone",
        value=str(error).splitlines()[0],
        why="each holds a share of every batch",
        fix="go on with --resume",
    )


def is_launched() -> bool:
    """Return whether something like torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def is_first() -> bool:
    """Return whether this process speaks for all that something like torchrun started; alone it does."""
    return not is_launched() or os.environ["RANK"] == "0"


def own_device(device: str, rank: int = 0, size: int = 1) -> str:
    """Return the device of one process: where several share a machine, each has a GPU of its own.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        rank: Of the process on this machine; torchrun's own number of it takes its place.
        size: Of the group.
    """
    if device != "cuda" or (size == 1 and not is_launched()):
        return device
    return f"cuda:{os.environ.get('LOCAL_RANK', rank) if is_launched() else rank}"


@contextmanager
def joined(device: str, rank: int = 0, size: int = 1, meeting: str = "") -> Iterator[Group]:
    """Be one of several processes for as long as the block lasts; alone for a size of 1.

    Args:
        device: ``cpu`` (gloo) or a CUDA device of this process alone (NCCL).
        rank: Of this process.
        size: Of the group.
        meeting: ``file://`` or ``tcp://`` address that all processes know; "" for what torchrun says.

    Raises:
        TrainingError: ``TRN20``: another process does not come to the meeting.
    """
    if size == 1 and not is_launched():
        yield Alone()
        return
    if meeting and sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    backend = "nccl" if device.startswith("cuda") else "gloo"
    if backend == "nccl":
        torch.cuda.set_device(device)
    place: dict[str, Any] = {"init_method": meeting, "rank": rank, "world_size": size} if meeting else {}
    try:
        distributed.init_process_group(backend, timeout=_TIMEOUT, **place)
    except RuntimeError as error:
        raise _gone(error) from error
    try:
        yield Together()
    finally:
        distributed.destroy_process_group()
