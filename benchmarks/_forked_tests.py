"""Run tests again and again without importing their libraries anew: a process that forks one child for each run.

A child inherits the libraries, imports the project's own modules from its folder and ends. Meant to be started by
`ForkedTests`; as a program it reads requests from stdin and answers each by a line, the exit status of pytest, or -1
where a run was ended at its deadline.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_LIBRARIES = ("numpy", "scipy.stats", "pydantic", "hypothesis.strategies", "rich.table", "typer", "adbutils", "pytest")
_OUT_OF_TIME = -1


class ForkedTests:
    """A process that runs tests of one copy of the project.

    Args:
        copy: The copy.
    """

    def __init__(self, copy: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, __file__], cwd=copy, env=environment, stdin=pipe, stdout=pipe, text=True
        )

    def run(self, words: Sequence[str], limit_s: float) -> int | None:
        """Run pytest with these words and return its exit status, or ``None`` where it had to be ended."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([list(words), limit_s]) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        return None if status == _OUT_OF_TIME else status

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _child(words: Sequence[str], limit_s: float) -> None:
    os.setsid()
    signal.setitimer(signal.ITIMER_REAL, limit_s)  # the default action ends the process, whatever the code does
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    import pytest

    os._exit(int(pytest.main(list(words))))


def main() -> None:
    """Answer requests until there are no more."""
    sys.path[0] = os.getcwd()  # where -m pytest has the tests' folder, and not that of this file
    for name in _LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        words, limit_s = json.loads(line)
        child = os.fork()
        if not child:
            _child(words, limit_s)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what a fault left running
        code = os.waitstatus_to_exitcode(status)
        print(code if code >= 0 else _OUT_OF_TIME, flush=True)


if __name__ == "__main__":
    main()
