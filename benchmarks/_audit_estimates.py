"""What estimators say of networks, kept row by row; any estimator behind the protocol can take part."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from _audit_rows import Deadline, Row, Rows
from _audit_truth import size_of

from mnas.architecture import Architecture
from mnas.errors import TrainingError
from search.accuracy.estimator import AccuracyEstimator
from search.executors.executor import Job, Outcome
from search.executors.processes import ProcessExecutor

PART = "estimate"
_EVERY = 20


def _key(estimator: AccuracyEstimator) -> str:
    return f"{estimator.name}:{estimator.fidelity}"


def run_estimates(
    rows: Rows, estimator: AccuracyEstimator, networks: Sequence[Architecture], deadline: Deadline
) -> None:
    """Estimate the networks that no earlier run has.

    A network that could not be estimated has a row that says why, and counts as the worst.

    Raises:
        OutOfTimeError: The minutes are over.
    """
    key = _key(estimator)
    done = {row["arch_id"] for row in rows.of(PART, key)}
    todo = [one for one in networks if one.arch_id not in done]
    if not todo:
        return
    deadline.check(f"{len(todo)} estimates by {estimator.name}")
    jobs: list[Job] = []
    owners: list[int] = []
    for number, network in enumerate(todo):
        own = estimator.jobs(network)
        jobs += own
        owners += [number] * len(own)
    gathered: dict[int, dict[int, Outcome]] = {}
    finished = 0

    def keep(index: int, outcome: Outcome) -> None:
        nonlocal finished
        parts = gathered.setdefault(owners[index], {})
        parts[index] = outcome
        if len(parts) < owners.count(owners[index]):
            return
        network = todo[owners[index]]
        rows.add(PART, key, arch_id=network.arch_id, **_estimated(estimator, network, parts), **size_of(network))
        finished += 1
        if finished % _EVERY == 0:
            print(f"{estimator.name} {finished}/{len(todo)}", file=sys.stderr)
        deadline.check(f"{len(todo) - finished} estimates by {estimator.name} or fewer")

    with ProcessExecutor(2) as executor:
        executor.map_in_order(jobs, keep)


def _estimated(estimator: AccuracyEstimator, network: Architecture, parts: dict[int, Outcome]) -> Row:
    try:
        found = estimator.estimate(network, [parts[at] for at in sorted(parts)])
    except TrainingError as error:
        return {"error": None, "loss": None, "cost_s": None, "failure": str(error)}
    return {"error": found.error, "loss": found.loss, "cost_s": found.cost_s}


def column(
    rows: Rows, estimator: AccuracyEstimator, networks: Sequence[Architecture], name: str
) -> npt.NDArray[np.float64]:
    """Return one column of the networks' rows, e.g. ``loss``, in the networks' order; NaN where there is none."""
    found: dict[str, Row] = {row["arch_id"]: row for row in rows.of(PART, _key(estimator))}
    return np.array([found[one.arch_id][name] for one in networks], dtype=np.float64)
