"""What runs on a node of a cluster: one job, given as bytes, by the caller's own versions or not at all."""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from search.executors.executor import Job, Outcome, run_safely
from search.executors.files import gathered_files
from search.executors.worker import use_one_thread

_PACKAGES = ("torch", "numpy")
_OURS = ("mnas", "devices", "latency", "search")


@lru_cache(maxsize=1)
def code_versions() -> dict[str, str]:
    """Return what a result may depend on: Python, numeric packages, and a hash of our own source here.

    A suffix such as ``+cpu`` is left out: it says for what a package was built, not what it computes.
    """
    found = {"python": platform.python_version(), "mnas": _source_hash()}
    for package in _PACKAGES:
        try:
            found[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _source_hash() -> str:
    root, digest = Path(__file__).resolve().parents[2], hashlib.sha256()
    for package in _OURS:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


Answer = tuple[str, dict[str, str], bytes, dict[str, bytes]]
"""A host's name and process, its versions, a pickled `Outcome` or nothing, and files by the path at the caller's."""


def run_task(job: bytes, versions: dict[str, str]) -> Answer:
    """Run a job, where the versions are the caller's.

    Only built-in types go in and come out, so that another version of this code can read them.

    Args:
        job: A pickled `Job`.
        versions: `code_versions` at the caller.

    Returns:
        The answer; without an outcome where the versions differ.
    """
    place = f"{platform.node()} (process {os.getpid()})"
    here = code_versions()
    if here != versions:
        return place, here, b"", {}
    use_one_thread()
    with gathered_files() as files:
        return place, here, _outcome(job), files


def _outcome(message: bytes) -> bytes:
    try:
        job = pickle.loads(message)
    except Exception as error:
        return pickle.dumps(Outcome(error_message=f"the job cannot be read by a worker: {error}"))
    outcome = run_safely(job) if isinstance(job, Job) else Outcome(error_message="that is no job")
    try:
        return pickle.dumps(outcome)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError) as error:
        return pickle.dumps(Outcome(error_message=f"the result cannot be sent back: {error}"))
