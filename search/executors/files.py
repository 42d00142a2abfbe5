"""Files that a job leaves at its caller's machine, wherever the job runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_gathered: ContextVar[dict[str, bytes] | None] = ContextVar("gathered", default=None)


@contextmanager
def gathered_files() -> Iterator[dict[str, bytes]]:
    """Gather what jobs leave in this block, by the path at the caller's, and write none of it there."""
    found: dict[str, bytes] = {}
    token = _gathered.set(found)
    try:
        yield found
    finally:
        _gathered.reset(token)


@contextmanager
def file_for_caller(path: Path) -> Iterator[Path]:
    """Give the path to write a file to that the caller shall have: its own, or one that is sent there afterwards.

    Args:
        path: Where the caller wants it.
    """
    found = _gathered.get()
    if found is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="mnas-job-") as folder:
        written = Path(folder) / path.name
        yield written
        found[str(path)] = written.read_bytes()
