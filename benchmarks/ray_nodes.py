"""200 evaluations of one second on a Ray cluster of two nodes, one of which is killed on the way.

Claims: every evaluation gives its result, none is begun more often than what was under way on the lost node explains,
and what is left at the loss takes little more time than the surviving node's processors need for it. Both nodes are on
this machine, on loopback; an evaluation sleeps, so that the machine's own processors do not matter. Needs the extra
``ray``.

    python benchmarks/ray_nodes.py --json benchmarks/results/ray_nodes.json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _result import ROOT, write_result

from search.executors.executor import Job, Outcome
from search.executors.ray_cluster import RayExecutor
from search.executors.testing import note_and_sleep

JOBS, SECONDS, SLOTS, KILL_AT = 200, 1.0, 4, 60
TARGETS = {"results": ("==", float(JOBS)), "wall_over_ideal": ("<=", 1.3), "begun_more_than_twice": ("==", 0.0)}


@contextmanager
def two_nodes() -> Iterator[tuple[Any, Any]]:
    """Start a head and a second node on loopback; yield the cluster and the second node."""
    # Nodes are processes of their own and import ours by name, wherever this script is run from.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    # Without the second, Ray takes the machine's own address, and listens on every one.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    from ray.cluster_utils import Cluster

    own = {"node_ip_address": "127.0.0.1", "num_cpus": SLOTS}
    cluster = Cluster(initialize_head=True, head_node_args=own)
    try:
        yield cluster, cluster.add_node(**own)
    finally:
        cluster.shutdown()


def lose(cluster: Any, node: Any) -> None:
    """Let a node vanish as a machine does: all of its processes at once, jobs included, which would outlive it."""
    raylet = node.all_processes["raylet"][0].process.pid
    children = [path.read_text(encoding="utf-8").split() for path in Path(f"/proc/{raylet}/task").glob("*/children")]
    for pid in (raylet, *(int(pid) for group in children for pid in group)):
        os.kill(pid, signal.SIGKILL)
    cluster.remove_node(node, allow_graceful=False)


def measure(note: Path) -> dict[str, Any]:
    """Run the evaluations, kill the second node when some are done, and return what came of it."""
    told: list[tuple[float, Outcome]] = []
    jobs = [Job(note_and_sleep, (str(note), str(number), SECONDS)) for number in range(JOBS)]
    with two_nodes() as (cluster, second):
        lost_s = 0.0

        def on_done(index: int, outcome: Outcome) -> None:
            nonlocal lost_s
            told.append((time.perf_counter(), outcome))
            if len(told) == KILL_AT:
                lost_s = time.perf_counter()
                lose(cluster, second)

        started = time.perf_counter()
        with RayExecutor(cluster.address) as executor:
            outcomes = executor.map_in_order(jobs, on_done)
            ended = time.perf_counter()
    begun = Counter(note.read_text(encoding="utf-8").split())
    ideal = (JOBS - KILL_AT) * SECONDS / SLOTS
    return {
        "results": sum(outcome.value == str(number) for number, outcome in enumerate(outcomes)),
        "wall_over_ideal": (ended - lost_s) / ideal,
        "wall_after_loss_s": ended - lost_s,
        "ideal_after_loss_s": ideal,
        "wall_before_loss_s": lost_s - started,
        "begun": sum(begun.values()),
        "begun_twice": sum(count == 2 for count in begun.values()),
        "begun_more_than_twice": sum(count > 2 for count in begun.values()),
        "tried_again": sum(outcome.attempts > 1 for outcome in outcomes),
        "told": len(told),
        "slots_a_node": SLOTS,
        "ray": importlib.metadata.version("ray"),
    }


def main() -> int:
    """Measure and write; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, default=None, help="file for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mnas-ray-nodes-") as folder:
        figures = measure(Path(folder) / "begun.txt")
    return 0 if write_result("ray_nodes", figures, TARGETS, [], options.json) else 1


if __name__ == "__main__":
    sys.exit(main())
