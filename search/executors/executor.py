"""Where jobs run: one protocol, and the plainest way to meet it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self


@dataclass(frozen=True, slots=True)
class Job:
    """A call that can be made in another process.

    Attributes:
        function: Importable at its module's top level.
        arguments: Picklable.
        needs: Names of what must be at the host that runs it, such as a phone by its public name; executors of this
            machine alone take it that all is here.
        is_local: Whether it needs files of the caller's machine, so that it stays there.
    """

    function: Callable[..., object]
    arguments: tuple[object, ...] = ()
    needs: tuple[str, ...] = ()
    is_local: bool = False

    def run(self) -> object:
        """Make the call."""
        return self.function(*self.arguments)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job.

    Attributes:
        value: What the call returned; None after a failure.
        error_message: Why there is no value; empty after success.
        attempts: How often the job was started.
        is_lost: Whether it was the process that died, not the call that raised.
    """

    value: object = None
    error_message: str = ""
    attempts: int = 1
    is_lost: bool = False

    @property
    def is_ok(self) -> bool:
        """Return whether the call returned."""
        return not self.error_message


OnDone = Callable[[int, Outcome], None]
"""Told of each outcome, with the job's index, in the caller's process as soon as it is there."""


class Executor(Protocol):
    """Runs jobs; a context manager, so that its processes end with it."""

    def offers(self, needs: Sequence[str]) -> bool:
        """Return whether other hosts have what jobs need by name; never for no needs, as every host has these."""

    def map_in_order(self, jobs: Sequence[Job], on_done: OnDone | None = None) -> list[Outcome]:
        """Run every job and return the outcomes in the order of the jobs.

        Where ``jobs`` is a list, ``on_done`` may append to it: what is added runs as well.

        A job that fails gives an outcome that says so and stops none of the others; ``KeyboardInterrupt`` and an error
        raised by ``on_done`` stop everything at once.
        """

    def __enter__(self) -> Self:
        """Make ready."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every process."""


def run_safely(job: Job) -> Outcome:
    """Run a job here and turn what it raises into an outcome."""
    try:
        return Outcome(job.run())
    except Exception as error:
        return Outcome(error_message=f"{type(error).__name__}: {error}"[:2000])


class InProcessExecutor:
    """Runs one job after another in this process."""

    def offers(self, needs: Sequence[str]) -> bool:
        """Return False: there is no other host."""
        return False

    def map_in_order(self, jobs: Sequence[Job], on_done: OnDone | None = None) -> list[Outcome]:
        """Run every job and return the outcomes in the order of the jobs."""
        outcomes = []
        for index, job in enumerate(jobs):
            outcomes.append(run_safely(job))
            if on_done is not None:
                on_done(index, outcomes[-1])
        return outcomes

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to end."""
