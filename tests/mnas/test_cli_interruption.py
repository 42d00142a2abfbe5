"""A real build in a real process: interrupted, killed, and finished by the same command."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from latency.on_device import COMPONENTS, lut_settings
from latency.plan import NETWORK_ROUNDS, LutPlan
from latency.table import load_table
from mnas.cli import main
from mnas.spaces.presets import open_space
from mnas.store import FILE_NAME, Store

COMMAND = "lut build --preset digits --resolution 8 --rounds 12 --calibration 4 --validation 4".split()
GIVE_UP_S = 120

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc to see children"),
]


def visits_of(out):
    """How often each model was visited without an error, references left out."""
    if not (out / FILE_NAME).exists():
        return {}
    with Store(out / FILE_NAME, COMPONENTS) as store:
        rows = store.query(
            "SELECT sha256, count(*) AS n FROM lut_visit WHERE json_extract(record_json, '$.ref') IS NULL "
            "AND json_extract(record_json, '$.e') IS NULL GROUP BY sha256"
        )
    return {row["sha256"]: row["n"] for row in rows}


def children_of(pid):
    """Processes that any thread of a process started: Linux lists them by thread, and each device has its own."""
    found = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has ended meanwhile
            found += map(int, listing.read_text(encoding="ascii").split())
    return found


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition):
    """Wait for something that must come; the limit is there to end a broken run, and measures nothing."""
    end = time.monotonic() + GIVE_UP_S
    while not (value := condition()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
    return value


def interrupted(out, signal_number, *options):
    """Start the build, send a signal once it has measured some more, and return how it ended."""
    before = sum(visits_of(out).values())
    command = [sys.executable, "-m", "mnas", *COMMAND, *options, "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: process.poll() is not None or sum(visits_of(out).values()) >= before + 100)
    children = children_of(process.pid)
    os.kill(process.pid, signal_number)
    _, stderr = process.communicate(timeout=GIVE_UP_S)
    until(lambda: not any(map(is_running, children)))  # the measuring process goes with it
    assert children, f"it had ended, or measured in no process of its own: {process.returncode}, {stderr}"
    return process.returncode, stderr


def test_a_build_that_was_interrupted_and_killed_is_finished_by_the_same_command(tmp_path, capsys):
    status, stderr = interrupted(tmp_path, signal.SIGINT)
    assert status == 130
    assert "mnas: interrupted; what was recorded stays" in stderr
    assert "Traceback" not in stderr
    first = visits_of(tmp_path)
    assert interrupted(tmp_path, signal.SIGKILL)[0] == -signal.SIGKILL
    second = visits_of(tmp_path)
    assert sum(second.values()) >= sum(first.values()) + 100
    assert all(second[sha256] >= count for sha256, count in first.items())
    assert main(["lut", "show", "lut1", "--out", str(tmp_path)]) == 6

    assert main([*COMMAND, "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    whole = visits_of(tmp_path)
    with Store(tmp_path / FILE_NAME, COMPONENTS) as store:
        table = load_table(store, "lut1")
        assert store.query("SELECT count(*) FROM lut")[0][0] == 1
        assert store.query("SELECT count(*) FROM lut_sitting")[0][0] == 4  # one more for the whole networks
    assert set(table.entries) == set(open_space("mobilenetv3", "digits", (8,)).segments())
    # Of probes and of whole networks: none lost, none doubled.
    assert set(whole.values()) == {12, 12 * NETWORK_ROUNDS}
    assert len(whole) == 74 + 8
    plan = LutPlan(open_space("mobilenetv3", "digits", (8,)), lut_settings("accurate", 12, 4, 4))
    assert plan.counts()["visits"] == sum(whole.values())


def test_a_build_on_two_devices_ends_at_once_when_interrupted_and_one_of_them_can_finish_it(tmp_path, capsys):
    two = ["--device", "host:ort", "--device", "host:ort,delegate=cpu"]
    status, stderr = interrupted(tmp_path, signal.SIGINT, *two)
    assert status == 130 and "Traceback" not in stderr
    first = visits_of(tmp_path)
    assert interrupted(tmp_path, signal.SIGKILL, *two)[0] == -signal.SIGKILL
    second = visits_of(tmp_path)
    assert all(second[sha256] >= count for sha256, count in first.items())
    assert main(["lut", "show", "--out", str(tmp_path)]) == 0
    assert "building" in (told := capsys.readouterr().out) and "process" not in told, "nobody builds it any more"

    assert main([*COMMAND, "--out", str(tmp_path)]) in (0, 6)  # 6 where two devices on one busy machine disagree
    capsys.readouterr()
    whole = visits_of(tmp_path)
    assert len(whole) == 74 + 8
    assert min(whole.values()) >= 12, "twice that for common probes, and more for whole networks"
