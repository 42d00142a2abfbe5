"""What every executor must do, as tests to inherit, and jobs to do it with: importable wherever a job may run."""

from __future__ import annotations

import operator
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from search.executors.executor import Executor, Job, Outcome
from search.executors.files import file_for_caller


class Unreadable:
    """Its pickle raises when it is read."""

    def __reduce__(self) -> tuple[object, ...]:
        return int, ("no number",)


def leave_file(path: str, text: str, seconds: float = 0.0) -> str:
    """Leave a file at the caller's and return its text."""
    time.sleep(seconds)
    with file_for_caller(Path(path)) as written:
        written.write_text(text, encoding="utf-8")
    return text


def note_and_sleep(path: str, line: str, seconds: float) -> str:
    """Append a line to a file of this machine, sleep, and return the line; the file tells how often it was begun."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)
    time.sleep(seconds)
    return line


def _raised(call: Callable[[], object]) -> type[BaseException] | None:
    """Return what a call raises, Ctrl-C included."""
    try:
        call()
    except BaseException as error:
        return type(error)
    return None


class ExecutorConformance:
    """Tests that every executor must pass. A subclass gives the fixture ``executor``, which has been entered.

    Collected by pytest through the inheriting class, whose name starts with ``Test``.
    """

    def test_outcomes_are_in_the_order_of_the_jobs_and_each_is_told_once(self, executor: Executor) -> None:
        """Also of an empty list, and of a second one."""
        told: dict[int, list[Outcome]] = {}
        jobs = [Job(operator.mul, (i, i)) for i in range(9)]
        outcomes = executor.map_in_order(jobs, lambda index, outcome: told.setdefault(index, []).append(outcome))
        assert [one.value for one in outcomes] == [i * i for i in range(9)]
        assert told == {index: [outcome] for index, outcome in enumerate(outcomes)}
        assert executor.map_in_order([]) == []
        assert [one.value for one in executor.map_in_order(jobs[3:5])] == [9, 16]

    def test_what_is_added_on_the_way_runs_as_well(self, executor: Executor) -> None:
        """Jobs that follow from outcomes."""
        jobs = [Job(operator.mul, (i, i)) for i in range(3)]

        def add(index: int, outcome: Outcome) -> None:
            if index < 3:
                jobs.append(Job(operator.neg, (outcome.value,)))

        outcomes = [int(str(one.value)) for one in executor.map_in_order(jobs, add)]
        assert outcomes[:3] == [0, 1, 4] and len(outcomes) == len(jobs) == 6
        assert sorted(outcomes[3:]) == [-4, -1, 0]

    def test_a_job_that_raises_stops_no_other(self, executor: Executor) -> None:
        """And is not tried again: it would raise again."""
        outcomes = executor.map_in_order([Job(operator.truediv, (1, value)) for value in (1, 0, 2)])
        assert [one.is_ok for one in outcomes] == [True, False, True]
        assert outcomes[1].error_message == "ZeroDivisionError: division by zero"
        assert outcomes[1].attempts == 1 and not outcomes[1].is_lost

    def test_an_error_of_the_listener_goes_up_and_ends_it(self, executor: Executor) -> None:
        """Nothing is told after it, and the executor can be used again."""
        told = []

        def refuse(index: int, outcome: Outcome) -> None:
            told.append(index)
            raise LookupError(index)

        assert _raised(lambda: executor.map_in_order([Job(abs, (-1,)) for _ in range(4)], refuse)) is LookupError
        assert len(told) == 1
        assert executor.map_in_order([Job(abs, (-7,))])[0].value == 7

    def test_an_interrupt_goes_up_and_ends_it(self, executor: Executor, tmp_path: Path) -> None:
        """Ctrl-C in the middle of long jobs: what is under way is never finished."""
        path = str(tmp_path / "finished")
        jobs = [Job(leave_file, (path, "late", 8.0)) for _ in range(2)]
        timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        raised = _raised(lambda: executor.map_in_order(jobs))
        timer.cancel()
        assert raised is KeyboardInterrupt
        assert executor.map_in_order([Job(abs, (-7,))])[0].value == 7
        assert not Path(path).exists()

    def test_a_file_that_a_job_leaves_is_here_when_its_outcome_is_told(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        """Wherever the job ran."""
        paths, seen = [tmp_path / f"{i}.txt" for i in range(3)], dict[int, str]()

        def look(index: int, outcome: Outcome) -> None:
            seen[index] = paths[index].read_text(encoding="utf-8")

        outcomes = executor.map_in_order([Job(leave_file, (str(path), path.name)) for path in paths], look)
        assert [one.value for one in outcomes] == [path.name for path in paths]
        assert seen == {index: path.name for index, path in enumerate(paths)}

    def test_a_local_job_sees_files_of_this_machine(self, executor: Executor, tmp_path: Path) -> None:
        """Beside others that may run anywhere, in the order of the jobs."""
        path = tmp_path / "here"
        path.write_text("here", encoding="utf-8")
        jobs = [Job(os.path.getsize, (str(path),), is_local=True), Job(abs, (-1,)), Job(os.getpid, (), is_local=True)]
        outcomes = executor.map_in_order(jobs)
        assert [one.is_ok for one in outcomes] == [True, True, True]
        assert [one.value for one in outcomes[:2]] == [4, 1]


class ProcessExecutorConformance(ExecutorConformance):
    """Tests that every executor must pass whose jobs run in other processes than the caller's."""

    def test_a_job_that_dies_costs_only_itself(self, executor: Executor) -> None:
        """Its worker is replaced, and it is tried a bounded number of times."""
        jobs = [Job(abs, (-1,)), Job(signal.raise_signal, (signal.SIGKILL,)), *[Job(abs, (-i,)) for i in range(4)]]
        outcomes = executor.map_in_order(jobs)
        assert [one.value for one in outcomes] == [1, None, 0, 1, 2, 3]
        assert outcomes[1].is_lost and outcomes[1].attempts == 2 and outcomes[1].error_message

    def test_what_cannot_be_read_or_sent_is_an_error_and_no_death(self, executor: Executor) -> None:
        """Neither a job that a worker cannot read nor a result that it cannot send back is tried again."""
        assert _raised(lambda: pickle.loads(pickle.dumps(Unreadable()))) is ValueError
        outcomes = executor.map_in_order([Job(abs, (Unreadable(),)), Job(threading.Lock), Job(abs, (-3,))])
        assert "cannot be read" in outcomes[0].error_message and "cannot be sent back" in outcomes[1].error_message
        assert [one.attempts for one in outcomes] == [1, 1, 1]
        assert not outcomes[0].is_lost and not outcomes[1].is_lost and outcomes[2].value == 3

    def test_jobs_use_one_thread(self, executor: Executor) -> None:
        """So that a result does not depend on where and beside what it was computed."""
        assert executor.map_in_order([Job(os.getenv, ("OMP_NUM_THREADS",))])[0].value == "1"
