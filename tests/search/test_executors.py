"""Executors: order, failures, dead workers, interrupts and no stray process."""

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
from search.executors.testing import ExecutorConformance, ProcessExecutorConformance

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="SKIPPED: signals are POSIX")


class TestInProcess(ExecutorConformance):
    @pytest.fixture
    def executor(self):
        with InProcessExecutor() as made:
            yield made


@POSIX
class TestProcesses(ProcessExecutorConformance):
    @pytest.fixture
    def executor(self):
        with ProcessExecutor(2) as made:
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


def test_results_are_told_as_they_finish_not_at_the_end():
    order = []
    with ProcessExecutor(2) as executor:
        executor.map_in_order([Job(abs, (-1,)), Job(abs, (-1,))])
        jobs = [Job(time.sleep, (1.0,)), Job(time.sleep, (0.01,)), Job(time.sleep, (0.01,))]
        executor.map_in_order(jobs, lambda index, outcome: order.append(index))
    assert order == [1, 2, 0]


@POSIX
def test_how_a_worker_died_is_told():
    with ProcessExecutor(2) as executor:
        outcome = executor.map_in_order([Job(signal.raise_signal, (signal.SIGKILL,))])[0]
    assert "by signal 9" in outcome.error_message


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
from search.executors.testing import ExecutorConformance, ProcessExecutorConformance

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
