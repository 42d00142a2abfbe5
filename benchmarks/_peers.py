"""Other packages, run in a throw-away environment of their own, so that none of them touches the tool's."""

from __future__ import annotations

import json
import subprocess
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "peers.txt"
CONSTRAINTS = HERE.parent / "constraints.txt"


class PeerError(Exception):
    """A peer cannot be had or fails; the text is its own."""


def peer_python(folder: Path, package: str, *, pinned: Sequence[str] = ()) -> Path:
    """Return the interpreter of an environment with a package of `REQUIREMENTS`, made when it is not there.

    Args:
        folder: Of the environment; the caller removes it.
        package: Its name in the requirements.
        pinned: Packages that it needs, too, and that shall be of our own `CONSTRAINTS`; the newest torch would come
            with gigabytes for graphics cards.

    Raises:
        PeerError: pip's own words.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    wanted = [_line_of(REQUIREMENTS, package), *(_line_of(CONSTRAINTS, name) for name in pinned)]
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerError((done.stderr.strip() or done.stdout.strip())[-1000:])
    return python


def _line_of(file: Path, package: str) -> str:
    return next(line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith(f"{package}=="))


def run_peer(python: Path, script: str, request: Mapping[str, Any]) -> Any:
    """Run a script of this folder in a peer's environment: a request in JSON on stdin, the answer on stdout.

    Raises:
        PeerError: It failed, or its answer is none.
    """
    words = [str(python), str(HERE / script)]
    done = subprocess.run(words, input=json.dumps(request), capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerError(done.stderr.strip()[-1000:])
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise PeerError(f"{error}: {done.stdout[-200:]}") from error


def peer_version(python: Path, package: str) -> str:
    """Return the version that is installed."""
    code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
