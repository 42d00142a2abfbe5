"""Jobs for tests on a cluster, importable by its nodes."""

from __future__ import annotations

import os
import time


def node_id() -> str:
    """Return the id of the node that this runs on."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def span(seconds: float) -> tuple[float, float]:
    """Sleep, and return when that began and ended on this machine's clock."""
    began = time.time()
    time.sleep(seconds)
    return began, time.time()


def begin_and_sleep(folder: str, seconds: float) -> int:
    """Leave a file named like this process, sleep, and return the process id."""
    with open(os.path.join(folder, str(os.getpid())), "w", encoding="utf-8"):
        pass
    time.sleep(seconds)
    return os.getpid()
