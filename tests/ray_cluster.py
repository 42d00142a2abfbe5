"""A Ray cluster of two nodes on this machine, on loopback."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import search

ROOT = Path(search.__file__).resolve().parents[1]


@contextmanager
def two_nodes(cpus: int = 2, **second: Any) -> Iterator[tuple[Any, Any]]:
    """Start a head and another node, which have ours and the jobs of tests to import; yield the cluster and that node.

    Args:
        cpus: Of each node.
        second: What else the other node has, as Ray's own ``Cluster.add_node`` takes it.
    """
    with pytest.MonkeyPatch.context() as patch:
        # Read when ray is imported: without it, Ray takes the machine's own address and listens on every one.
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster

        own = {"node_ip_address": "127.0.0.1", "num_cpus": cpus}
        cluster = Cluster(initialize_head=True, head_node_args=own)
        try:
            yield cluster, cluster.add_node(**own, **second)
        finally:
            cluster.shutdown()


def lose(cluster: Any, node: Any) -> None:
    """Let a node vanish as a machine does: all of its processes at once, jobs included, which would outlive it."""
    raylet = node.all_processes["raylet"][0].process.pid
    children = [path.read_text(encoding="utf-8").split() for path in Path(f"/proc/{raylet}/task").glob("*/children")]
    for pid in (raylet, *(int(pid) for group in children for pid in group)):
        os.kill(pid, signal.SIGKILL)
    cluster.remove_node(node, allow_graceful=False)
