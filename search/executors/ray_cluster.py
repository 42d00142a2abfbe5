"""Jobs on the nodes of a Ray cluster, their outcomes back to this process one by one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from search.executors.executor import Job, OnDone, Outcome
from search.executors.processes import ProcessExecutor
from search.executors.ray_link import connect, lacking, node_resources, parse_address
from search.executors.ray_round import RayRound, RayTerms


class RayExecutor:
    """Runs jobs as Ray tasks on the nodes of a cluster that is running; local jobs run in processes of this machine.

    Every node must have the same Python, numpy, torch and source of ours.

    Args:
        address: ``HOST:PORT`` of the cluster's head, or ``auto`` for the cluster that this machine is part of.
        terms: What a job takes, and how often it is tried.

    Raises:
        ConfigError: ``CFG60``: not an address.
    """

    def __init__(self, address: str, terms: RayTerms | None = None) -> None:
        parse_address(address)
        self._address, self._terms = address, terms or RayTerms()
        self._here = ProcessExecutor(os.cpu_count() or 1)
        self._ray: Any = None

    def __enter__(self) -> Self:
        """Join the cluster.

        Raises:
            ClusterError: ``CLU01``, ``CLU02``, ``CLU04``: it cannot be joined.
        """
        self._ray = connect(self._address)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the cluster, which ends what this process has running there."""
        self._here.close()
        self._ray.shutdown()

    def offers(self, needs: Sequence[str]) -> bool:
        """Return whether a living node has what jobs need by name; never for no needs."""
        return bool(needs) and not lacking(node_resources(self._ray), dict.fromkeys(needs, 1.0))

    def map_in_order(self, jobs: Sequence[Job], on_done: OnDone | None = None) -> list[Outcome]:
        """Run every job and return the outcomes in the order of the jobs.

        Whatever is raised here (``KeyboardInterrupt``, an error of ``on_done``) ends the tasks before it goes on up.

        Raises:
            ClusterError: ``CLU03``: no node has what the jobs left take; ``CLU04``: a node has other versions;
                ``CLU05``: the cluster is gone.
        """
        outcomes: dict[int, Outcome] = {}

        def keep(index: int, outcome: Outcome) -> None:
            outcomes[index] = outcome
            if on_done is not None:
                on_done(index, outcome)

        while len(outcomes) < len(jobs):  # again for what `on_done` has added
            left = {index: job for index, job in enumerate(jobs) if index not in outcomes}
            RayRound(self._ray, self._terms, keep).run({i: job for i, job in left.items() if not job.is_local})
            self._run_here([(index, job) for index, job in left.items() if job.is_local], keep)
        return [outcomes[index] for index in range(len(jobs))]

    def _run_here(self, jobs: Sequence[tuple[int, Job]], keep: OnDone) -> None:
        self._here.map_in_order([job for _, job in jobs], lambda place, outcome: keep(jobs[place][0], outcome))
