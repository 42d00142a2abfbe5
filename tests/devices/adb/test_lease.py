"""Leases and quarantines between real processes."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from devices.adb.host_state import state_file, state_folder
from devices.adb.lease import holder_of, lease_phone
from devices.adb.quarantine import lift_quarantine, put_in_quarantine, quarantine_of, refuse_quarantined
from mnas.errors import DeviceError, StateError
from mnas.liveness import process_token

FIELDS = ("serialno", "token", "since_utc", "what", "folder")
_HOLD = """
import sys, time
from pathlib import Path
from devices.adb.lease import lease_phone
lease = lease_phone("S:1/x", what="a long bench", folder=Path(sys.argv[1]))
print("held", flush=True)
if sys.argv[2] == "release":
    lease.release()
    print("released", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the phone."""
    started = []

    def start(how="hold"):
        process = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(tmp_path), how], stdout=subprocess.PIPE, text=True, cwd=tmp_path
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_another_process_is_refused_and_told_who_holds_it(tmp_path, holder):
    process = holder()
    with pytest.raises(DeviceError) as caught:
        lease_phone("S:1/x", folder=tmp_path)
    assert caught.value.code == "ADB31"
    assert f"process {process.pid} (a long bench, in {tmp_path})" in str(caught.value)
    assert "since 20" in str(caught.value)
    found = holder_of("S:1/x", folder=tmp_path)
    assert (found.pid, found.what) == (str(process.pid), "a long bench")


def test_another_phone_is_free(tmp_path, holder):
    holder()
    with lease_phone("S:1_x", folder=tmp_path) as lease:
        assert lease.is_held
    assert holder_of("S:1_x", folder=tmp_path) is None


def test_a_killed_holder_holds_nothing(tmp_path, holder):
    process = holder()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert holder_of("S:1/x", folder=tmp_path) is None
    with lease_phone("S:1/x", folder=tmp_path) as lease:
        assert lease.holder.token == process_token()


def test_a_released_phone_is_free_while_its_process_lives(tmp_path, holder):
    process = holder("release")
    assert process.stdout.readline() == "released\n"
    assert holder_of("S:1/x", folder=tmp_path) is None
    with lease_phone("S:1/x", folder=tmp_path):
        assert process.poll() is None


def test_two_threads_of_one_process_exclude_each_other(tmp_path):
    with lease_phone("S", folder=tmp_path):
        refused = []

        def take():
            try:
                lease_phone("S", folder=tmp_path)
            except DeviceError as error:
                refused.append(error.code)

        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
        assert refused == ["ADB31"]


def test_looking_never_stands_in_the_way(tmp_path):
    for _ in range(50):
        assert holder_of("S", folder=tmp_path) is None
        lease = lease_phone("S", folder=tmp_path)
        assert holder_of("S", folder=tmp_path).token == process_token()
        lease.release()
        lease.release()
        assert not lease.is_held


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"serialno": "S"}',
        "null",
        json.dumps(dict.fromkeys(FIELDS, "x")),
        json.dumps(dict.fromkeys(FIELDS, "h:x:1")),
    ],
)
def test_a_damaged_file_is_nobodys_lease(tmp_path, text):
    state_file("leases", "S", ".lock", tmp_path).write_text(text)
    assert holder_of("S", folder=tmp_path) is None
    lease_phone("S", folder=tmp_path).release()


@pytest.mark.parametrize("serialno", ["a/../../b", "..", "192.168.1.5:5555", "x" * 300, "ü \n", ""])
def test_any_serial_is_a_file_of_its_own_in_the_folder(tmp_path, serialno):
    path = state_file("leases", serialno, ".lock", tmp_path)
    assert path.parent == tmp_path / "phones" / "leases"
    assert path != state_file("leases", serialno + "_", ".lock", tmp_path)
    lease_phone(serialno, folder=tmp_path).release()
    assert path.exists()


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MNAS_STATE", str(tmp_path / "here"))
    assert state_folder() == tmp_path / "here"
    monkeypatch.delenv("MNAS_STATE")
    assert state_folder().name == "mnas"


def test_a_folder_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"ADB38.*MNAS_STATE"):
        lease_phone("S", folder=tmp_path / "file")


def test_quarantine_lasts_until_the_phone_starts_anew(tmp_path):
    assert quarantine_of("S", "boot-1", folder=tmp_path) is None
    put_in_quarantine("S", "boot-1", "a runner does not end", folder=tmp_path)
    assert quarantine_of("S", "boot-1", folder=tmp_path).reason == "a runner does not end"
    assert quarantine_of("S", "", folder=tmp_path) is not None
    assert quarantine_of("T", "boot-1", folder=tmp_path) is None
    with pytest.raises(DeviceError, match=r"ADB36.*a runner does not end.*mnas devices clean"):
        refuse_quarantined("S", "boot-1", folder=tmp_path)
    assert quarantine_of("S", "boot-2", folder=tmp_path) is None
    assert quarantine_of("S", "boot-1", folder=tmp_path) is None
    refuse_quarantined("S", "boot-1", folder=tmp_path)


def test_quarantine_can_be_lifted_by_hand(tmp_path):
    put_in_quarantine("S", "", "unknown boot", folder=tmp_path)
    assert quarantine_of("S", "boot-9", folder=tmp_path) is not None
    assert lift_quarantine("S", folder=tmp_path)
    assert not lift_quarantine("S", folder=tmp_path)
    assert quarantine_of("S", "boot-9", folder=tmp_path) is None


def test_a_quarantine_that_cannot_be_read_holds(tmp_path):
    state_file("quarantine", "S", ".json", tmp_path).write_text(json.dumps({"serialno": "S"}))
    assert "cannot be read" in quarantine_of("S", "boot-1", folder=tmp_path).reason


def test_the_lock_is_not_inherited_by_programs(tmp_path):
    lease = lease_phone("S", folder=tmp_path)
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        lease.release()
        lease_phone("S", folder=tmp_path).release()
        names = [os.readlink(path) for path in Path(f"/proc/{child.pid}/fd").iterdir()]
        assert not [name for name in names if "phones/leases" in name]
    finally:
        child.kill()
        child.wait()
