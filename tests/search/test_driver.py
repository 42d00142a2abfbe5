"""One driver a study; a dead one is replaced at once."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from mnas.errors import StudyError
from search.driver import Driver

POSIX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SKIPPED: reads /proc")
_DRIVER = """
import sys, time
from pathlib import Path
from mnas.store import Store
from search.driver import Driver
from search.schema import SEARCH

with Store(Path(sys.argv[1]), (SEARCH,)) as store, Driver(store, sys.argv[2]):
    print("driving", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def other(store, make_study):
    """A process that drives a study, and the study's id."""
    study_id = make_study().study_id
    process = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(store.path), study_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "driving\n"
        yield process, study_id
    finally:
        process.kill()
        process.communicate()


def driver_of(store, study_id):
    return store.query("SELECT driver FROM study WHERE study_id = ?", (study_id,))[0]["driver"]


@POSIX
def test_a_second_driver_is_refused_until_the_first_is_done(store, other):
    process, study_id = other
    with pytest.raises(StudyError, match="STU02") as caught, Driver(store, study_id):
        pass
    assert str(process.pid) in str(caught.value) and caught.value.exit_code == 6
    process.communicate("done\n")
    assert process.returncode == 0 and driver_of(store, study_id) == ""
    with Driver(store, study_id):
        assert str(os.getpid()) in driver_of(store, study_id)
    assert driver_of(store, study_id) == ""


@POSIX
def test_after_kill_the_next_takes_over_at_once_even_if_nobody_waited_for_the_dead(store, other):
    process, study_id = other
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with Driver(store, study_id):
        assert str(os.getpid()) in driver_of(store, study_id)


@POSIX
def test_the_process_id_of_a_dead_driver_may_be_used_again(store, make_study):
    study_id = make_study().study_id
    store.execute("UPDATE study SET driver = ?", (f"{socket.gethostname()}:{os.getppid()}:1",))
    with Driver(store, study_id):
        assert str(os.getpid()) in driver_of(store, study_id)


@pytest.mark.parametrize(("age_s", "is_refused"), [(0, True), (30, True), (61, False)])
def test_a_driver_on_another_machine_lives_by_its_heartbeat(store, make_study, age_s, is_refused):
    study_id = make_study().study_id
    store.execute("UPDATE study SET driver = 'elsewhere:1:5', heartbeat_s = ?", (time.time() - age_s,))
    if is_refused:
        with pytest.raises(StudyError, match=r"STU02.*elsewhere"), Driver(store, study_id):
            pass
        assert driver_of(store, study_id) == "elsewhere:1:5"
    else:
        with Driver(store, study_id):
            assert driver_of(store, study_id) != "elsewhere:1:5"


def test_the_right_ends_with_an_error_too(store, make_study):
    study_id = make_study().study_id
    with pytest.raises(LookupError), Driver(store, study_id):
        raise LookupError
    assert driver_of(store, study_id) == ""
