"""``mnas bench`` on software phones, as a process of its own: nothing that it prints or keeps is of a real phone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from runner_programs import elf_bytes
from software_phone.adb_server import OwnAdbServer
from software_phone.build import Image
from software_phone.phone import SoftwarePhone

from devices.runners.library import RunnerLibrary
from mnas.export.network import write_network
from mnas.named_networks import named_network

pytestmark = pytest.mark.software_phone


@dataclass
class Desk:
    """Two phones of one model, the server that they hang on, and a folder for all that the tool keeps."""

    phones: tuple[SoftwarePhone, SoftwarePhone]
    own: OwnAdbServer
    folder: Path
    model: Path

    def environment(self, runners: Path | None = None) -> dict[str, str]:
        own = {"MNAS_ADB": self.own.server.address, "MNAS_RUNNERS": runners or self.folder / "runners"}
        return {**os.environ, **{name: str(value) for name, value in own.items()}, "MNAS_STATE": str(self.folder / "s")}

    def bench(self, *words: str, out: Path, runners: Path | None = None) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "mnas", "bench", str(self.model), *words, "--out", str(out)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.environment(runners), stdout=pipe, stderr=pipe, text=True)


@pytest.fixture(scope="module")
def desk(software_phone_build: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    own = OwnAdbServer(folder).start()
    RunnerLibrary(folder / "runners").add(software_phone_build.runners["benchmark_model"], "tflite")
    model = write_network(named_network("mobilenetv3-small", 32), folder / "net", "tflite").path
    with SoftwarePhone(software_phone_build) as one, SoftwarePhone(software_phone_build) as other:
        for phone in (one, other):
            own.attach(phone.address)
        yield Desk((one, other), own, folder, model)
    own.stop()


def _specs(desk: Desk) -> list[str]:
    return [word for phone in desk.phones for word in ("--device", f"adb:{phone.address}/tflite")]


def _assert_no_serial(text: str, desk: Desk) -> None:
    for phone in desk.phones:
        assert phone.serial not in text and phone.address not in text


def test_two_phones_are_measured_at_once_and_their_offset_is_told(desk: Desk, tmp_path: Path) -> None:
    done = desk.bench(*_specs(desk), "--rounds", "4", "--format", "json", out=tmp_path)
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    runs = json.loads(out)
    runs = runs if isinstance(runs, list) else runs["runs"]
    assert len(runs) == 2
    assert "by the reference networks adb:phone-" in err and "over 6 networks" in err
    for run in runs:
        assert run["device"]["is_simulated"] is True and run["device"]["device_id"].startswith("adb:phone-")
        assert run["models"][0]["measurement"]["latency_ms"] > 0
    assert runs[0]["device"]["device_key"] == runs[1]["device"]["device_key"]
    _assert_no_serial(out, desk)
    for page in (tmp_path / "reports").iterdir():
        _assert_no_serial(page.read_text(encoding="utf-8"), desk)
    assert [phone.processes() for phone in desk.phones] == [[], []]


@pytest.mark.parametrize(
    ("program", "code", "why"),
    [
        (elf_bytes("arm64-v8a"), "RNR05", "arm64-v8a.*the phone runs x86_64"),
        (elf_bytes("x86"), "RNR05", "x86.*the phone runs x86_64"),
        (elf_bytes("x86_64", interpreter="/lib/ld-musl-x86_64.so.1"), "RNR06", "ld-musl"),
    ],
    ids=["another processor", "32 bits", "another loader"],
)
def test_a_runner_of_another_kind_is_refused_before_anything_is_pushed(
    desk: Desk, tmp_path: Path, program: bytes, code: str, why: str
) -> None:
    (tmp_path / "program").write_bytes(program)
    RunnerLibrary(tmp_path / "runners").add(tmp_path / "program", "tflite")
    phone = desk.phones[0]
    before = phone.files()
    done = desk.bench("--device", f"adb:{phone.address}/tflite", out=tmp_path / "out", runners=tmp_path / "runners")
    out, err = done.communicate(timeout=60)
    lines = [line for line in err.splitlines() if line.startswith("mnas: ")]
    assert done.returncode == 4 and out == "" and "Traceback" not in err
    assert len(lines) == 1 and re.search(rf"^mnas: {code}: .*{why}", lines[0])
    assert phone.files() == before and phone.processes() == []


def test_a_phone_that_is_not_there_costs_its_own_run_only(desk: Desk, tmp_path: Path) -> None:
    desk.own.server.disconnect(desk.phones[1].address)
    desk.phones[1].close()
    done = desk.bench(*_specs(desk), "--rounds", "3", out=tmp_path)
    out, err = done.communicate(timeout=120)
    assert done.returncode == 4 and "SIMULATED" in out and "Traceback" not in err
    (warning,) = [line for line in err.splitlines() if "ADB" in line]
    assert desk.phones[1].address in warning and warning.startswith("warning: ")


def test_ctrl_c_ends_both_phones_and_puts_them_back(software_phone_build: Image, desk: Desk, tmp_path: Path) -> None:
    with SoftwarePhone(software_phone_build) as other:
        desk.own.attach(other.address)
        specs = [*_specs(desk)[:2], "--device", f"adb:{other.address}/tflite"]
        done = desk.bench(*specs, "--budget", "60s", "--rounds", "400", out=tmp_path)
        assert done.stderr is not None
        for line in done.stderr:
            if "measuring, " in line:
                done.send_signal(signal.SIGINT)
                break
        _, err = done.communicate(timeout=60)
        assert done.returncode == 130 and "Traceback" not in err
        for phone in (desk.phones[0], other):
            assert phone.processes() == [] and phone.setting("stay_on_while_plugged_in") == "0"
