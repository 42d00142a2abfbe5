"""``mnas doctor --device``: the list of a phone, its formats and its exit codes."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from software_phone.adb_server import OwnAdbServer
from software_phone.fixtures import clean_phone, software_phone, software_phone_build  # noqa: F401
from software_phone.phone import SoftwarePhone

from devices.runners.library import RunnerLibrary
from mnas.cli import main
from mnas.cli.doctor import _checkup_result


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnAdbServer]:
    """An adb server of this module's own."""
    made = OwnAdbServer(tmp_path_factory.mktemp("adb")).start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder of the user's is read or written."""
    monkeypatch.setenv("MNAS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("MNAS_RUNNERS", str(tmp_path / "runners"))
    monkeypatch.delenv("MNAS_ADB", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def attached(clean_phone: SoftwarePhone, own: OwnAdbServer) -> Iterator[SoftwarePhone]:  # noqa: F811
    own.attach(clean_phone.address)
    yield clean_phone
    own.server.disconnect(clean_phone.address)


def _doctor(own: OwnAdbServer, device: str, *words: str) -> int:
    return main(["doctor", "--device", device, "--adb", f"127.0.0.1:{own.port}", *words])


@pytest.mark.software_phone
def test_a_whole_phone_gives_0_and_says_simulated(
    attached: SoftwarePhone, own: OwnAdbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    RunnerLibrary().add(attached.image.runners["benchmark_model"], "tflite")
    assert _doctor(own, f"adb:{attached.address}/tflite", "--format", "json") == 0
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["schema_version"] == 1 and document["is_simulated"] and document["was_reached"]
    assert document["seconds"] < 600
    for row in document["rows"]:
        assert set(row) == {"check", "found", "verdict", "what to do"} and row["found"]
        assert row["verdict"] in ("ok", "absent", "warn")
        # Each row was told as it came.
        assert f"{row['verdict']:6} {row['check']}: " in told.err
    assert "SIMULATED" in told.err and attached.address not in told.out and attached.serial not in told.out


@pytest.mark.software_phone
def test_something_broken_gives_1_and_what_to_do(
    attached: SoftwarePhone, own: OwnAdbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _doctor(own, f"adb:{attached.address}/tflite", "-q", "--format", "csv") == 1
    told = capsys.readouterr()
    (device,) = [row for row in csv.DictReader(io.StringIO(told.out)) if row["check"] == "device"]
    assert device["verdict"] == "broken" and "RNR02" in device["found"] and "runner fetch" in device["what to do"]
    assert told.err == ""


def test_a_phone_that_is_not_there_gives_4(own: OwnAdbServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert _doctor(own, "adb:NOSUCHPHONE/tflite") == 4
    told = capsys.readouterr()
    assert "ADB37" in told.out and "USB debugging" in told.out
    assert "2 rows in" in told.out and "1 broken" in told.out and "Traceback" not in told.err


def test_phones_that_are_switched_off_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--device", "adb:S1/tflite", "--adb", "none"]) == 4
    assert "ADB09" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--device", "host:ort"],
        ["--device", "adb:S1"],
        ["--device", "adb:S1/nonsense"],
        ["--device", "adb:S1/tflite", "--adb", "host:port"],
    ],
)
def test_what_is_no_phone_is_a_usage_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *words]) == 2
    assert capsys.readouterr().out == ""


def test_the_title_says_simulated() -> None:
    from devices.adb.checklist import Check
    from devices.adb.checkup import Checkup

    row = Check("heat", "status 0", "warn", "wait")
    titles = [_checkup_result(Checkup((row,), True, is_simulated, 1.0)).title for is_simulated in (True, False)]
    assert "SIMULATED" in titles[0] and "SIMULATED" not in titles[1]
    result = _checkup_result(Checkup((row,), True, False, 61.0))
    assert result.rows == [["heat", "status 0", "warn", "wait"]] and result.notes == ["1 rows in 61 s: 1 warn"]


def test_without_a_phone_it_is_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--format", "json"])
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert set(rows[0]) == {"check", "found", "verdict"}
    assert {"python", "package devices", "data digits"} <= {row["check"] for row in rows}


def test_the_docs_list_every_code_of_phones_and_runners() -> None:
    root = Path(__file__).resolve().parents[2]
    sources = [path.read_text(encoding="utf-8") for name in ("devices", "mnas") for path in (root / name).rglob("*.py")]
    used = {code for text in sources for code in re.findall(r'"((?:ADB|RNR)\d\d)"', text)}
    page = (root / "docs" / "phones.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| ((?:ADB|RNR)\d\d)\b", page, re.MULTILINE)
    assert len(listed) == len(set(listed)) and set(listed) == used
