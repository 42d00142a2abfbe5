"""Long work is told to other processes while it lasts, and no longer; a benchmark does not run beside it."""

import json
import subprocess
import sys

import pytest

from devices.long_work import LongWork, long_work, long_work_of_others, refuse_beside_long_work
from mnas.cli import main
from mnas.errors import DeviceError

HOLD = """
import sys
from devices.long_work import long_work

with long_work("training"):
    print("on", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("MNAS_STATE", str(tmp_path))
    monkeypatch.delenv("MNAS_BUSY", raising=False)
    return tmp_path


@pytest.fixture
def other(state):
    """Another process at long work."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD], text=True, **pipes) as process:
        assert process.stdout.readline() == "on\n"
        yield process
        process.kill()


def test_own_work_hinders_nothing_and_leaves_nothing(state):
    with long_work("training"):
        assert len(list(state.rglob("*.json"))) == 1
        assert long_work_of_others() == []
        refuse_beside_long_work()
    assert not list(state.rglob("*.json"))


def test_other_work_is_told_until_it_ends(other, state, monkeypatch):
    assert long_work_of_others() == [LongWork(other.pid, "training")]
    with pytest.raises(DeviceError, match=f"process {other.pid}: training") as caught:
        refuse_beside_long_work()
    assert caught.value.code == "DEV60"
    monkeypatch.setenv("MNAS_BUSY", "ignore")
    refuse_beside_long_work()
    monkeypatch.delenv("MNAS_BUSY")
    other.stdin.close()
    other.wait()
    assert long_work_of_others() == []


def test_a_killed_process_is_at_nothing(other, state):
    other.kill()
    other.wait()
    refuse_beside_long_work()
    assert not list(state.rglob("*.json"))


def test_what_cannot_be_read_or_written_hinders_nobody(state, monkeypatch):
    (state / "long-work").mkdir()
    (state / "long-work" / "7.json").write_text(json.dumps({"pid": "x"}))
    refuse_beside_long_work()
    (state / "file").write_text("")
    monkeypatch.setenv("MNAS_STATE", str(state / "file"))
    with long_work("training"):
        refuse_beside_long_work()


def test_a_benchmark_of_this_machine_waits_for_nobody_but_says_who_is_at_work(other, tmp_path, capsys):
    words = ["--device", "host:ort", "--out", str(tmp_path / "out")]
    assert main(["bench", "mobilenetv2", *words]) == 4
    told = capsys.readouterr().err
    assert "DEV60" in told and str(other.pid) in told and "Traceback" not in told
