"""Jobs in worker processes of this machine, each held to one thread, none outliving this process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Self, cast

from mnas.errors import ConfigError
from search.executors.executor import Job, OnDone, Outcome
from search.executors.worker import serve

_END_S = 2.0


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    connection: Connection
    index: int = -1
    """Of the job under way, -1 for none."""

    def end(self) -> None:
        """Kill the process: a job holds nothing that it must put in order."""
        self.connection.close()
        self.process.kill()
        self.process.join(_END_S)
        self.process.close()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Hold Ctrl-C back while a process starts: the child inherits that, so none reaches it while it imports."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class ProcessExecutor:
    """Runs jobs in spawned processes, which are kept between calls.

    A worker that dies (out of memory, ``kill -9``) costs only its own job, which is started once more on a new worker
    and, when that one dies too, gives an outcome that says so.

    Args:
        workers: Processes, 1 or more.
        attempts: How often a job whose worker dies is started.
    """

    def __init__(self, workers: int, attempts: int = 2) -> None:
        for name, value in (("workers", workers), ("attempts", attempts)):
            if value < 1:
                raise ConfigError("CFG01", f"{name} is below 1", value=value, why="no job would run", fix="give 1")
        self.workers, self.attempts = workers, attempts
        self._context = multiprocessing.get_context("spawn")
        self._pool: list[_Worker] = []

    def __enter__(self) -> Self:
        """Return itself; workers start with the first jobs."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every worker."""
        self.close()

    def close(self) -> None:
        """End every worker, at once."""
        while self._pool:
            self._pool.pop().end()

    def offers(self, needs: Sequence[str]) -> bool:
        """Return False: there is no other host."""
        return False

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of the workers that there are now."""
        return tuple(worker.process.pid or 0 for worker in self._pool)

    def map_in_order(self, jobs: Sequence[Job], on_done: OnDone | None = None) -> list[Outcome]:
        """Run every job and return the outcomes in the order of the jobs.

        Whatever is raised here (``KeyboardInterrupt``, an error of ``on_done``) ends the workers before it goes on up.
        """
        outcomes: dict[int, Outcome] = {}
        started = Counter[int]()
        waiting, known = deque[int](), 0
        try:
            while len(outcomes) < len(jobs):
                waiting.extend(range(known, len(jobs)))
                known = len(jobs)
                self._feed(jobs, waiting, started)
                for index, outcome in self._collect():
                    if outcome.is_lost and started[index] < self.attempts:
                        waiting.appendleft(index)
                        continue
                    outcomes[index] = replace(outcome, attempts=started[index])
                    if on_done is not None:
                        on_done(index, outcomes[index])
        except BaseException:
            self.close()
            raise
        return [outcomes[index] for index in range(len(jobs))]

    def _feed(self, jobs: Sequence[Job], waiting: deque[int], started: Counter[int]) -> None:
        """Give a job to every idle worker, starting workers as there is work for them."""
        idle = [worker for worker in self._pool if worker.index < 0]
        while waiting and (idle or len(self._pool) < self.workers):
            worker = idle.pop() if idle else self._start()
            index = waiting.popleft()
            try:
                worker.connection.send(jobs[index])
            except (BrokenPipeError, ConnectionResetError):
                self._drop(worker)
                waiting.appendleft(index)
                continue
            worker.index = index
            started[index] += 1

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        by_main_thread = threading.current_thread() is threading.main_thread()
        process = self._context.Process(
            target=serve, args=(theirs, os.getpid(), by_main_thread), name="mnas-worker", daemon=True
        )
        with _interrupts_held_back():
            process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._pool.append(worker)
        return worker

    def _collect(self) -> list[tuple[int, Outcome]]:
        """Wait for at least one worker and return what is there."""
        busy = {worker.connection: worker for worker in self._pool if worker.index >= 0}
        found = []
        for ready in wait(list(busy)):
            worker = busy[cast(Connection, ready)]
            index, worker.index = worker.index, -1
            try:
                outcome = cast(Outcome, worker.connection.recv())
            except (EOFError, OSError):
                outcome = Outcome(error_message=self._bury(worker), is_lost=True)
            found.append((index, outcome))
        return found

    def _bury(self, worker: _Worker) -> str:
        deadline = time.monotonic() + _END_S
        while worker.process.exitcode is None and time.monotonic() < deadline:
            worker.process.join(0.05)
        status = worker.process.exitcode
        self._drop(worker)
        how = f"by signal {-status}" if status is not None and status < 0 else f"with exit status {status}"
        return f"the worker process ended {how} in the middle of the job"

    def _drop(self, worker: _Worker) -> None:
        self._pool.remove(worker)
        worker.end()
