"""One builder a table; a dead one is replaced at once."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from latency.builder import LutBuilder
from latency.lock import BuildLock, builders
from latency.table import list_tables
from mnas import heartbeat
from mnas.errors import LutError, StoreError
from mnas.store import Store

POSIX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SKIPPED: reads /proc")
_BUILDER = """
import sys
from pathlib import Path
from latency.lock import BuildLock
from latency.schema import LATENCY
from mnas.store import Store

with Store(Path(sys.argv[1]), (LATENCY,)) as store, BuildLock(store, sys.argv[2]):
    print("building", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def other(store, plan, additive_device):
    """A process that builds the plan's table, and the table's identity."""
    identity = plan.identity(additive_device().info)
    process = subprocess.Popen(
        [sys.executable, "-c", _BUILDER, str(store.path), identity],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "building\n"
        yield process, identity
    finally:
        process.kill()
        process.communicate()


@POSIX
def test_a_second_builder_is_refused_and_told_by_whom_until_the_first_is_done(store, plan, additive_device, other):
    process, identity = other
    device = additive_device()
    for anew in (False, True):
        with pytest.raises(LutError, match="LUT20") as caught:
            LutBuilder(store, device, plan, lambda *_: None).build(anew=anew)
        assert f":{process.pid}:" in str(caught.value) and caught.value.exit_code == 6
    assert list_tables(store) == [] and device.time_ms == 0
    assert list(builders(store)) == [identity]
    process.communicate("done\n")
    assert process.returncode == 0 and builders(store) == {}
    LutBuilder(store, device, plan, lambda *_: None).build()
    assert builders(store) == {}


@POSIX
def test_a_table_that_is_ready_needs_no_right(store, plan, additive_device, other):
    other[0].communicate("done\n")
    table = LutBuilder(store, additive_device(), plan, lambda *_: None).build()
    store.execute("INSERT INTO lut_builder VALUES (?, ?, ?)", (other[1], "elsewhere:1:5", time.time()))
    assert LutBuilder(store, additive_device(), plan, lambda *_: None).build().lut_id == table.lut_id


@POSIX
def test_other_tables_can_be_built_meanwhile(store, other):
    with BuildLock(store, "another identity"):
        assert set(builders(store)) == {other[1], "another identity"}


@POSIX
def test_after_kill_the_next_takes_over_at_once_even_if_nobody_waited_for_the_dead(store, other):
    process, identity = other
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert builders(store) == {}
    with BuildLock(store, identity):
        assert f":{os.getpid()}:" in builders(store)[identity]


@pytest.mark.parametrize(("age_s", "is_refused"), [(0, True), (30, True), (61, False)])
def test_a_builder_on_another_machine_lives_by_its_heartbeat(store, age_s, is_refused):
    assert socket.gethostname() != "elsewhere"
    store.execute("INSERT INTO lut_builder VALUES ('x', 'elsewhere:1:5', ?)", (time.time() - age_s,))
    if is_refused:
        with pytest.raises(LutError, match=r"LUT20.*elsewhere"), BuildLock(store, "x"):
            pass
        assert builders(store) == {"x": "elsewhere:1:5"}
    else:
        with BuildLock(store, "x"):
            assert builders(store)["x"] != "elsewhere:1:5"


def test_it_beats_while_it_is_held(store, monkeypatch):
    monkeypatch.setattr(heartbeat, "_BEAT_S", 0.01)

    def beat():
        return store.query("SELECT heartbeat_s FROM lut_builder")[0][0]

    with BuildLock(store, "x"):
        first = beat()
        end = time.monotonic() + 60
        while beat() == first:
            assert time.monotonic() < end, "it never beat"
            time.sleep(0.005)


def test_the_right_ends_with_an_error_too_and_a_full_disk_hides_no_error(store, monkeypatch):
    with pytest.raises(LookupError), BuildLock(store, "x"):
        raise LookupError
    assert builders(store) == {}

    def full(*_):
        raise StoreError("STO05", "the store cannot be written")

    with pytest.raises(LookupError), BuildLock(store, "x"):
        monkeypatch.setattr(Store, "execute", full)
        raise LookupError
