"""The parent's end of a measuring child process: start it, ask it with a deadline, kill it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import devices
from devices.runtimes import machine

_EXIT_WAIT_S = 1.0
_STDERR_TAIL_CHARS = 2000


class WorkerProcess:
    """One running worker. After a lost reply it is dead for good; start another.

    Args:
        arguments: Command line of `devices.runtimes.worker`.
        huge_pages: Ask for huge pages, so that how a model lies in memory varies less from process to process.
    """

    def __init__(self, arguments: Sequence[str], *, huge_pages: bool = False) -> None:
        command = [sys.executable, "-P", "-m", "devices.runtimes.worker", *arguments]
        if threading.current_thread() is threading.main_thread():
            command.append("--signal-with-parent")
        # A file, because a pipe that nobody reads blocks whoever writes much into it.
        self._stderr: IO[bytes] = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=_environment() | (machine.huge_page_variables() if huge_pages else {}),
                text=True,
                encoding="utf-8",
            )
        except OSError:
            self._stderr.close()
            raise
        self._said_before = 0
        self._ahead: dict[str, Any] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.alive = True

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    def _read(self) -> None:
        # A thread, because pipes cannot be waited for with a deadline on every system.
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put(None)

    def greet(self, deadline_s: float) -> dict[str, Any]:
        """Wait for the worker's first line; a worker that does not come up gives ``{"error", "lost"}``."""
        return self._reply(deadline_s)

    def ask(
        self, request: dict[str, Any], deadline_s: float, following: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Send a request, unless it was the one announced as following, and wait for its reply.

        Args:
            request: What is asked.
            deadline_s: For the reply.
            following: The next request, sent along, so that the worker goes on with it while this reply is worked on.
                Whatever else is asked next waits until it is done, and its reply is thrown away.

        Returns:
            The reply, or ``{"error": reason, "lost": True}`` when the worker died or did not answer in time (``"hung":
            True`` too); it has been killed then. Beside an error stands ``stderr``: what the worker printed meanwhile.
        """
        self._said_before = self._stderr_size()
        ahead, self._ahead = self._ahead, following
        is_sent = ahead is not None and ahead is request
        if ahead is not None and not is_sent:
            passed_over = self._reply(deadline_s)
            if passed_over.get("lost"):
                return passed_over
        try:
            assert self._process.stdin is not None
            for one in (None if is_sent else request, following):
                if one is not None:
                    self._process.stdin.write(json.dumps(one) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            return self._lost()
        return self._reply(deadline_s)

    def _reply(self, deadline_s: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=deadline_s)
        except queue.Empty:
            self.kill()
            return {"error": f"no answer within {deadline_s:g} s; the worker was killed", "lost": True, "hung": True}
        if line is None:
            return self._lost()
        try:
            reply = json.loads(line)
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            self.kill()
            return {"error": f"the worker's answer is not JSON: {line[:200]!r}", "lost": True}
        if "error" in reply:
            reply["stderr"] = self._stderr_tail()
        return reply

    def _lost(self) -> dict[str, Any]:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_WAIT_S)
        code = self._process.poll()
        tail = self._stderr_tail()
        self.kill()
        how = "closed its output" if code is None else _describe_exit(code)
        return {"error": f"the worker {how}", "stderr": tail, "lost": True}

    def _stderr_size(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return os.fstat(self._stderr.fileno()).st_size
        return 0

    def _stderr_tail(self) -> str:
        """Return the end of what the worker printed since the last request."""
        # pread, because the worker writes at the very offset that seeking here would move.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            size = self._stderr_size()
            start = max(self._said_before, size - _STDERR_TAIL_CHARS)
            return os.pread(self._stderr.fileno(), size - start, start).decode("utf-8", "replace").strip()
        return ""

    def close(self) -> None:
        """Let the worker end by itself, or kill it when it does not; a second call does nothing."""
        if self.alive:
            with contextlib.suppress(OSError, ValueError):
                assert self._process.stdin is not None
                self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_EXIT_WAIT_S)
            self.kill()

    def kill(self) -> None:
        """Kill the worker and release its pipes; a second call does nothing."""
        if not self.alive:
            return
        self.alive = False
        self._process.kill()
        self._process.wait()
        self._reader.join(_EXIT_WAIT_S)
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            # What was still buffered for a dead worker cannot be written, and need not be.
            with contextlib.suppress(OSError, ValueError):
                if stream is not None:
                    stream.close()


def _environment() -> dict[str, str]:
    """Return an environment in which the worker finds this very package, from whatever folder it is started."""
    root = str(Path(devices.__file__).resolve().parents[1])
    older = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": root + (os.pathsep + older if older else "")}


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"
