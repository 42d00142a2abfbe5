"""A Ray cluster of two nodes on this machine, on loopback."""

from __future__ import annotations

import os
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
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus})
        try:
            yield cluster, cluster.add_node(num_cpus=cpus, **second)
        finally:
            cluster.shutdown()
