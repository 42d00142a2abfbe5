"""When memory runs out: telling that from other faults, and going on with less at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from mnas.errors import TrainingError

_SIGNS = (
    "can't allocate memory",
    "cannot allocate memory",
    "out of memory",
    "bad_alloc",
    "bad alloc",
    "could not create a primitive",  # oneDNN, which does not say why; it runs elsewhere on the same layers
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of torch or Python says that there is no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def in_halves(function: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
    """Return what a function gives for a batch, ``(n, ...)``; where memory is short, for halves of it, joined again.

    Args:
        function: Takes each row on its own.
        batch: ``(n, ...)``.
    """
    try:
        return function(batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or len(batch) < 2:
            raise
    half = len(batch) // 2
    return torch.cat([in_halves(function, batch[:half]), in_halves(function, batch[half:])])


@contextmanager
def memory_told(what: str) -> Iterator[None]:
    """Turn running out of memory into an error that says so.

    Raises:
        TrainingError: ``TRN10``: there is not enough memory for ``what``.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            "TRN10",
            "there is not enough memory",
            value=what,
            why=str(error).splitlines()[0][:200] if str(error) else type(error).__name__,
            fix="train fewer networks at once (--workers), smaller networks, or at a lower resolution",
        ) from error
