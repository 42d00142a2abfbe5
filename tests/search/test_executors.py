"""Executors: order, failures, dead workers, interrupts and no stray process."""

import operator
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mnas.errors import ConfigError
from search.executors.executor import InProcessExecutor, Job
from search.executors.processes import ProcessExecutor

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="SKIPPED: signals are POSIX")


@pytest.fixture(params=["in-process", "processes"])
def executor(request):
    with InProcessExecutor() if request.param == "in-process" else ProcessExecutor(2) as made:
        yield made


def is_alive(pid):
    """Whether a process runs; one that is dead and not yet reaped does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_outcomes_come_in_the_order_of_the_jobs_and_each_is_told_once(executor):
    jobs = [Job(operator.mul, (i, i)) for i in range(9)]
    told = {}
    outcomes = executor.map_in_order(jobs, lambda index, outcome: told.setdefault(index, []).append(outcome))
    assert [one.value for one in outcomes] == [i * i for i in range(9)]
    assert told == {index: [outcome] for index, outcome in enumerate(outcomes)}
    assert executor.map_in_order([]) == []


def test_a_failing_job_stops_no_other(executor):
    outcomes = executor.map_in_order([Job(operator.truediv, (1, value)) for value in (1, 0, 2)])
    assert [one.is_ok for one in outcomes] == [True, False, True]
    assert outcomes[1].error_message == "ZeroDivisionError: division by zero"
    assert outcomes[1].attempts == 1 and not outcomes[1].is_lost


def test_an_error_of_the_listener_goes_up(executor):
    def refuse(index, outcome):
        raise LookupError(index)

    with pytest.raises(LookupError):
        executor.map_in_order([Job(abs, (-1,))], refuse)


def test_results_are_told_as_they_finish_not_at_the_end():
    order = []
    with ProcessExecutor(2) as executor:
        executor.map_in_order([Job(abs, (-1,)), Job(abs, (-1,))])
        jobs = [Job(time.sleep, (1.0,)), Job(time.sleep, (0.01,)), Job(time.sleep, (0.01,))]
        executor.map_in_order(jobs, lambda index, outcome: order.append(index))
    assert order == [1, 2, 0]


def test_a_result_that_cannot_be_pickled_is_an_error():
    with ProcessExecutor(1) as executor:
        assert "cannot be sent back" in executor.map_in_order([Job(threading.Lock)])[0].error_message
        assert executor.map_in_order([Job(abs, (-3,))])[0].value == 3


class Unreadable:
    """Its pickle raises when it is read."""

    def __reduce__(self):
        return (int, ("no number",))


def test_a_job_that_a_worker_cannot_read_is_an_error_and_the_worker_lives():
    with ProcessExecutor(1) as executor:
        outcomes = executor.map_in_order([Job(abs, (Unreadable(),)), Job(abs, (-3,))])
        assert "cannot be read" in outcomes[0].error_message and outcomes[0].attempts == 1
        assert outcomes[1].value == 3


@POSIX
def test_a_worker_that_dies_costs_only_its_job_after_one_more_try():
    jobs = [Job(abs, (-1,)), Job(signal.raise_signal, (signal.SIGKILL,)), *[Job(abs, (-i,)) for i in range(4)]]
    with ProcessExecutor(2) as executor:
        outcomes = executor.map_in_order(jobs)
    assert [one.value for one in outcomes] == [1, None, 0, 1, 2, 3]
    assert outcomes[1].is_lost and outcomes[1].attempts == 2
    assert "by signal 9" in outcomes[1].error_message


@POSIX
def test_a_job_whose_worker_is_killed_once_is_done_on_the_second_try():
    with ProcessExecutor(1) as executor:
        executor.map_in_order([Job(abs, (-1,))])
        victim = executor.worker_pids[0]
        threading.Timer(0.3, os.kill, (victim, signal.SIGKILL)).start()
        outcome = executor.map_in_order([Job(time.sleep, (1.0,))])[0]
        assert outcome.is_ok and outcome.attempts == 2
        assert executor.worker_pids[0] != victim


@POSIX
def test_an_idle_worker_that_died_is_replaced():
    with ProcessExecutor(1) as executor:
        executor.map_in_order([Job(abs, (-1,))])
        victim = executor.worker_pids[0]
        os.kill(victim, signal.SIGKILL)
        assert wait_until(lambda: not is_alive(victim))
        assert executor.map_in_order([Job(abs, (-5,))])[0].value == 5


def test_workers_use_one_thread_and_end_with_the_block():
    with ProcessExecutor(2) as executor:
        outcomes = executor.map_in_order([Job(os.getenv, ("OMP_NUM_THREADS",)), Job(os.getpid)])
        pids = executor.worker_pids
        assert outcomes[0].value == "1" and outcomes[1].value in pids
    assert executor.worker_pids == ()
    assert not any(is_alive(pid) for pid in pids)


def test_no_worker_is_refused():
    with pytest.raises(ConfigError, match="workers"):
        ProcessExecutor(0)


_PARENT = """
import sys, threading, time
from search.executors.executor import Job
from search.executors.processes import ProcessExecutor

def work():
    with ProcessExecutor(2) as executor:
        executor.map_in_order([Job(abs, (-1,)), Job(abs, (-1,))])
        print(*executor.worker_pids, flush=True)
        executor.map_in_order([Job(time.sleep, (60,)), Job(time.sleep, (60,))])

if __name__ == "__main__":
    if sys.argv[1] == "thread":
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    else:
        work()
"""


@pytest.fixture
def start_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    started = []

    def start(how):
        parent = subprocess.Popen(
            [sys.executable, str(script), how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(parent)
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        time.sleep(0.2)
        assert len(pids) == 2 and all(is_alive(pid) for pid in pids)
        return parent, pids

    yield start
    for parent in started:
        parent.kill()
        parent.communicate()


@POSIX
@pytest.mark.parametrize("how", ["main", "thread"])
def test_a_killed_parent_leaves_no_worker(start_parent, how):
    parent, pids = start_parent(how)
    parent.kill()
    parent.wait()
    assert wait_until(lambda: not any(is_alive(pid) for pid in pids), 5.0)


@POSIX
def test_an_interrupt_ends_the_workers_promptly(start_parent):
    parent, pids = start_parent("main")
    started = time.monotonic()
    for pid in pids:
        os.kill(pid, signal.SIGINT)
    time.sleep(0.2)
    assert all(is_alive(pid) for pid in pids)
    parent.send_signal(signal.SIGINT)
    _, errors = parent.communicate(timeout=10)
    assert time.monotonic() - started < 5
    assert errors.count("KeyboardInterrupt") == 1 and "mnas-worker" not in errors
    assert wait_until(lambda: not any(is_alive(pid) for pid in pids), 5.0)
