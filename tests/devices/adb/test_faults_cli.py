"""``mnas bench`` on a phone that goes wrong, as a process: 10 kinds; its exit status, its one line, what it leaves.

==========================  ==============================================================
kind                        exit status and code
==========================  ==============================================================
not authorized              4, ``ADB30``
no such phone               4, ``ADB37``
no runner                   4, ``RNR02``
in use by another bench     4, ``ADB31``
each launch crashes         4, a ``MEA`` code
another phone comes back    4, ``ADB63``
the link is cut             0, every model has its number
Ctrl-C in a launch          130; the phone is at once as it was
kill -9 in a launch         the next run puts the phone back
the terminal is closed      the same (HUP)
==========================  ==============================================================
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from fault_kit import Scene, Trap
from software_phone.adb_server import OwnAdbServer, wait_until
from software_phone.fixtures import clean_phone, software_phone, software_phone_build  # noqa: F401
from software_phone.phone import SoftwarePhone
from software_phone.python_adbd import Faults
from software_phone.small_phone import MakePhone

from mnas.export.artifact import ModelArtifact
from mnas.store import FILE_NAME

MakeNet = Callable[[str, int], ModelArtifact]
_CODE = "import sys; from mnas.cli import main; sys.exit(main())"
_BENCH_S = 120.0
_LAUNCH_S = 60.0


class Bench:
    """Starts ``mnas bench`` with folders of its own.

    Args:
        own: The adb server.
        folder: For output, state and runners.
        nets: What is measured.
    """

    def __init__(self, own: OwnAdbServer, folder: Path, nets: Sequence[Path]) -> None:
        self.out = folder / "out"
        self._own, self._nets = own, nets
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("ADB_", "ANDROID_", "MNAS_"))},
            "MNAS_STATE": str(folder / "state"),
            "MNAS_RUNNERS": str(folder / "runners-lying_runner"),
        }

    @contextmanager
    def started(self, device: str, *options: str) -> Iterator[subprocess.Popen[str]]:
        """Start it; it is killed at the end of the block unless it ended."""
        words = ["bench", *map(str, self._nets), "--device", device, "--adb", self._own.server.address]
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE, *words, "--rounds", "3", "--out", str(self.out), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def run(self, device: str, *options: str) -> tuple[int, str, str]:
        """Run it to its end and return status, output and messages."""
        with self.started(device, *options) as process:
            return ended(process)

    def statuses(self) -> list[str]:
        """Return the status of each run in the store, which is whole."""
        with closing(sqlite3.connect(self.out / FILE_NAME)) as store:
            assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return [row[0] for row in store.execute("SELECT status FROM bench_runs ORDER BY number")]


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for the end; return status, output and messages."""
    out, said = process.communicate(timeout=_BENCH_S)
    return process.returncode, out, said


def wait_for_launch(process: subprocess.Popen[str], scene: Scene) -> None:
    """Wait until a runner runs on the phone."""
    wait_until(lambda: bool(scene.launches()) or process.poll() is not None, _LAUNCH_S, "no launch")
    assert process.poll() is None, process.communicate()


def assert_refused(found: tuple[int, str, str], *codes: str) -> None:
    """Exit status 4 and one line that begins with the code; nothing on stdout, and no traceback."""
    status, out, said = found
    lines = [line for line in said.splitlines() if line.startswith("mnas: ")]
    assert status == 4 and out == "", found
    assert len(lines) == 1 and lines[0].startswith(tuple(f"mnas: {code}" for code in codes)), said
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def nets(make_net: MakeNet) -> list[Path]:
    return [make_net("tflite", channels).path for channels in (8, 16)]


@pytest.fixture
def scene(clean_phone: SoftwarePhone, own_adb: OwnAdbServer, tmp_path: Path) -> Iterator[Scene]:  # noqa: F811
    made = Scene(clean_phone, own_adb, tmp_path)
    made.bench.library("lying_runner")
    yield made
    made.close()


@pytest.fixture
def bench(scene: Scene, nets: list[Path]) -> Bench:
    return Bench(scene.own, scene.folder, nets)


@pytest.fixture
def device(scene: Scene) -> str:
    return f"adb:{scene.bench.serial}/tflite"


def test_a_phone_that_is_not_authorized_ends_it(
    make_phone: MakePhone, own_adb: OwnAdbServer, tmp_path: Path, nets: list[Path]
) -> None:
    phone = make_phone(attached=False, faults=Faults(unauthorized=True))
    found = Bench(own_adb, tmp_path, nets).run(f"adb:{phone.link.serial}/tflite")
    assert_refused(found, "ADB12", "ADB30")
    assert "USB debugging" in found[2]


def test_a_phone_that_is_not_there_ends_it(own_adb: OwnAdbServer, tmp_path: Path, nets: list[Path]) -> None:
    assert_refused(Bench(own_adb, tmp_path, nets).run("adb:NOSUCHPHONE/tflite"), "ADB37")


@pytest.mark.software_phone
def test_a_runner_that_is_not_there_ends_it(bench: Bench, scene: Scene) -> None:
    assert_refused(bench.run(f"adb:{scene.bench.serial}/litert"), "RNR02")
    scene.assert_left_as_found()


@pytest.mark.software_phone
def test_a_phone_in_use_ends_the_second_alone(bench: Bench, scene: Scene, device: str) -> None:
    scene.phone.lie("slow 1")
    with bench.started(device) as first:
        wait_for_launch(first, scene)
        found = bench.run(device)
        assert_refused(found, "ADB31")
        assert str(first.pid) in found[2]
        scene.phone.lie("honest")
        status, _, said = ended(first)
    assert status == 0, said
    assert bench.statuses() == ["done"]
    scene.assert_left_as_found()


@pytest.mark.software_phone
def test_a_runner_that_always_crashes_ends_it(bench: Bench, scene: Scene, device: str) -> None:
    scene.phone.lie("crash")
    found = bench.run(device)
    assert found[0] == 4 and "Traceback" not in found[2] and "SIGSEGV" in found[1] + found[2], found
    scene.assert_left_as_found()


@pytest.mark.software_phone
def test_another_phone_in_its_place_ends_it(bench: Bench, scene: Scene, device: str) -> None:
    properties = scene.phone.read("properties")

    def swap() -> None:
        scene.phone.write("properties", properties.replace(scene.phone.serial, "ANOTHER1"))
        scene.phone.kill_adbd()
        scene.phone.restart_adbd()

    scene.phone.lie("slow 1")
    with Trap(lambda: bool(scene.launches()), swap):
        assert_refused(bench.run(device), "ADB63")
    scene.phone.write("properties", properties)
    scene.phone.lie("honest")
    assert "running" not in bench.statuses()
    scene.assert_usable()


@pytest.mark.software_phone
def test_a_link_that_is_cut_changes_no_result(bench: Bench, scene: Scene, device: str) -> None:
    scene.phone.lie("slow 1", once=True)
    with Trap(lambda: bool(scene.launches()), scene.cut) as trap:
        status, out, said = bench.run(device, "--format", "json")
    assert trap.has_struck and status == 0, said
    models = json.loads(out)["models"]
    assert [model["problem"] for model in models] == [None, None]
    assert all(model["measurement"]["latency_ms"] > 0 for model in models)
    assert "was lost and came back" in said
    scene.assert_left_as_found()


@pytest.mark.software_phone
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGHUP])
def test_a_bench_that_is_ended_in_a_launch(bench: Bench, scene: Scene, device: str, number: signal.Signals) -> None:
    scene.phone.lie("slow 30")
    with bench.started(device) as process:
        wait_for_launch(process, scene)
        assert scene.phone.setting("stay_on_while_plugged_in") != "0"
        process.send_signal(number)
        status, _, said = ended(process)
    assert "Traceback" not in said
    if number == signal.SIGINT:
        assert status == 130
        scene.assert_left_as_found()
    else:
        assert status == -number
    scene.phone.lie("honest")
    status, _, said = bench.run(device)
    assert status == 0 and "Traceback" not in said, said
    assert bench.statuses()[-1] == "done"
    scene.assert_left_as_found()
