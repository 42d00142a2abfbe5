"""One call's jobs on a Ray cluster, from the first task to the last outcome, through lost workers and nodes."""

from __future__ import annotations

import math
import pickle
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from mnas.errors import ClusterError, ConfigError
from mnas.jsonio import write_bytes_atomic
from search.executors.executor import Job, OnDone, Outcome
from search.executors.ray_link import lacking, node_resources
from search.executors.ray_task import Answer, code_versions, run_task

_LOOK_S = 1.0
"""Seconds without an outcome after which the cluster's nodes are looked at."""


@dataclass(frozen=True, slots=True)
class RayTerms:
    """What a job takes of a node, and how often it is tried.

    Attributes:
        cpus: That a job takes; its libraries use one thread, whatever this is.
        gpus: That a job takes; may be a fraction.
        attempts: How often a job is started whose worker dies on a living node, which may be the job's own doing.
        moves: How often a job goes to another node when its own is lost, which is no fault of the job.
        room_s: Seconds to wait where no node could run what is left: for one that joins, or comes back.

    Raises:
        ConfigError: ``CFG01``: a number is out of range.
    """

    cpus: float = 1
    gpus: float = 0
    attempts: int = 2
    moves: int = 5
    room_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("cpus", "gpus", "attempts", "moves", "room_s"):
            value, least = getattr(self, name), int(name == "attempts")
            if not (math.isfinite(value) and value >= least):
                raise ConfigError(
                    "CFG01",
                    f"{name} is out of range",
                    value=value,
                    why="no job would run so",
                    fix=f"give {least} or more",
                )
        if not self.cpus and not self.gpus:
            raise ConfigError(
                "CFG01",
                "jobs take neither CPUs nor GPUs",
                why="a node would start all of them at once",
                fix="let a job take one CPU, or a part of one",
            )

    def resources(self, job: Job) -> dict[str, float]:
        """Return what a job takes: one of each thing that it needs by name, to have it alone, or else processors."""
        return dict.fromkeys(job.needs, 1.0) if job.needs else {"CPU": self.cpus, "GPU": self.gpus}


class RayRound:
    """Runs jobs once.

    Ray itself tries nothing again: what is tried again is counted here.

    Args:
        ray: The package, joined to a cluster.
        terms: What jobs take, and how often they are tried.
        keep: Is given each outcome.
    """

    def __init__(self, ray: Any, terms: RayTerms, keep: OnDone) -> None:
        self._ray, self._terms, self._keep = ray, terms, keep
        self._task = ray.remote(run_task)
        self._jobs: Mapping[int, Job] = {}
        self._running: dict[Any, int] = {}
        self._started, self._crashed, self._moved = Counter[int](), Counter[int](), Counter[int]()
        self._no_room_since: float | None = None

    def run(self, jobs: Mapping[int, Job]) -> None:
        """Run every job; whatever is raised ends the tasks before it goes on up.

        Raises:
            ClusterError: ``CLU03``, ``CLU04``, ``CLU05``, as `search.executors.ray_cluster.RayExecutor` says.
        """
        self._jobs = jobs
        try:
            for index in jobs:
                self._start(index)
            while self._running:
                ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=_LOOK_S)
                if not ready:
                    self._require_room()
                for reference in ready:
                    self._no_room_since = None
                    self._take(self._running.pop(reference), reference)
        except BaseException:
            self._cancel()
            raise

    def _start(self, index: int) -> None:
        job = self._jobs[index]
        taken = self._terms.resources(job)
        options = self._task.options(
            num_cpus=taken.pop("CPU", 0),
            num_gpus=taken.pop("GPU", 0),
            resources=taken,
            max_retries=0,
            name=f"mnas {getattr(job.function, '__name__', 'job')}",
        )
        self._running[options.remote(pickle.dumps(job), code_versions())] = index
        self._started[index] += 1

    def _cancel(self) -> None:
        """End what runs and forget what waits, where the cluster still listens."""
        for reference in self._running:
            try:
                self._ray.cancel(reference, force=True)
            except self._ray.exceptions.RayError:
                continue
        self._running.clear()

    def _take(self, index: int, reference: Any) -> None:
        """Keep the outcome of a task that is over, or start its job again."""
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(reference)
        except (errors.NodeDiedError, errors.ObjectLostError) as error:
            self._moved[index] += 1
            outcome = Outcome(error_message=f"the job's node was lost {self._moved[index]} times: {_short(error)}")
            is_over = self._moved[index] > self._terms.moves
        except (errors.WorkerCrashedError, errors.OutOfMemoryError, errors.TaskCancelledError) as error:
            self._crashed[index] += 1
            outcome = Outcome(
                error_message=f"the job's worker ended in the middle of it: {_short(error)}", is_lost=True
            )
            is_over = self._crashed[index] >= self._terms.attempts
        except errors.RayError as error:
            raise _unforeseen(error) from error
        else:
            outcome, is_over = _outcome(answer), True
        if is_over:
            self._keep(index, replace(outcome, attempts=self._started[index]))
        else:
            self._start(index)

    def _require_room(self) -> None:
        """Wait a bounded time for a node that could run any of the jobs that are left.

        Raises:
            ClusterError: ``CLU03``: none came.
        """
        nodes = node_resources(self._ray)
        missing = [lacking(nodes, self._terms.resources(self._jobs[index])) for index in self._running.values()]
        if not all(missing):
            self._no_room_since = None
            return
        now = time.monotonic()
        self._no_room_since = self._no_room_since or now
        if now - self._no_room_since < self._terms.room_s:
            return
        names = sorted({name for one in missing for name in one})
        raise ClusterError(
            "CLU03",
            "no node of the cluster has what the jobs take",
            value=f"{len(missing)} jobs take {', '.join(names)}; nodes: {_told(nodes)}",
            why=f"they would wait for ever; {self._terms.room_s:g} s were waited",
            fix="start a node that has it (mnas worker shows how), or ask for less with --job-cpus and --job-gpus; "
            "a search goes on with --resume",
        )


def _outcome(answer: Answer) -> Outcome:
    """Return what a task sent back, once the files that it left are here.

    Raises:
        ClusterError: ``CLU04``: it ran nothing, for its versions are others.
    """
    place, versions, message, files = answer
    if message:
        for path, content in files.items():
            write_bytes_atomic(Path(path), content)
        return cast(Outcome, pickle.loads(message))
    here = code_versions()
    differing = [
        f"{name}: {versions.get(name)} there, {here[name]} here" for name in here if versions.get(name) != here[name]
    ]
    raise ClusterError(
        "CLU04",
        "a node of the cluster has other versions",
        value=f"{place}: {'; '.join(differing)}",
        why="its results would not be those of this machine",
        fix="install the same versions on every machine, start its node anew and go on with --resume",
    )


def _unforeseen(error: Exception) -> ClusterError:
    text = _short(error)
    if any(word in text for word in ("ModuleNotFoundError", "ImportError", "No module named", "failed to import")):
        return ClusterError(
            "CLU04",
            "a node of the cluster cannot import mnas",
            value=text,
            why="jobs are given by name, not as code",
            fix="install the same versions on every machine, start its node anew and go on with --resume",
        )
    return ClusterError(
        "CLU05",
        "the Ray cluster failed",
        value=text,
        why="no outcome can come from it any more",
        fix="see the logs of Ray on that machine, start the cluster anew and go on with --resume",
    )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:400]


def _told(nodes: Mapping[str, Mapping[str, float]]) -> str:
    """Return nodes with what they have, without Ray's own resources."""
    own = ("node:", "memory", "object_store_memory", "accelerator_type:")
    told = []
    for node, has in nodes.items():
        amounts = (f"{name} {amount:g}" for name, amount in sorted(has.items()) if not name.startswith(own))
        told.append(f"{node} ({', '.join(amounts)})")
    return "; ".join(told) or "none"
