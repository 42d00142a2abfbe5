"""A trial on this machine: a worker of its own, one request, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from devices.models.description import TensorSpec
from devices.runtimes.failures import explain
from devices.runtimes.worker_process import WorkerProcess
from devices.trial import Trial
from mnas.export.artifact import ModelArtifact


def load_request(artifact: ModelArtifact, op: str = "load") -> dict[str, Any]:
    """Return the request that makes a worker load a model (``load``), or try it (``try``).

    A load may also have ``has_run``, for a model that ran in another worker: it is not run at once.
    """
    return {
        "op": op,
        "sha256": artifact.identity,
        "path": str(artifact.path.resolve()),
        "shape": list(artifact.input_shape),
        "shapes": {name: list(sizes) for name, sizes in artifact.input_shapes},
        "fill": dict(artifact.input_fill),
    }


def run_trial(
    arguments: Sequence[str], artifact: ModelArtifact, *, start_deadline_s: float, deadline_s: float
) -> Trial:
    """Load a model and run it once in a worker that is started for it alone and ends with it.

    Args:
        arguments: Command line of `devices.runtimes.worker`.
        artifact: The model.
        start_deadline_s: For the worker to come up.
        deadline_s: For loading and running, together.
    """
    # At ordinary priority: a model that is not known yet must not keep a CPU from everything else.
    worker = WorkerProcess([*arguments, "--ordinary"])
    try:
        greeting = worker.greet(start_deadline_s)
        if "ready" not in greeting:
            return Trial("crashed", f"the process for the trial does not start: {explain(greeting)[1]}")
        return trial_of(
            {"memory_limit": greeting["memory_limit"], **worker.ask(load_request(artifact, "try"), deadline_s)}
        )
    finally:
        worker.close()


def trial_of(reply: Mapping[str, Any]) -> Trial:
    """Return what a worker's reply to ``try`` says."""
    how, error = explain(reply)
    if error:
        return Trial(how, error)
    return Trial(
        how,
        load_ms=float(reply["load_ms"]),
        first_run_ms=float(reply["first_run_ms"]),
        peak_memory_bytes=reply["peak_memory_bytes"],
        bad_outputs=tuple(reply["bad_outputs"]),
        outputs=tuple(TensorSpec.from_json(one) for one in reply["outputs"]),
        notes=tuple(reply["notes"]),
    )
