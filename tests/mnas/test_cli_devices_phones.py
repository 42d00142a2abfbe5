"""``mnas devices`` with phones: a real adb server of the test's own, and small phones on it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from local_phone import LocalPhone
from runner_programs import TEXT, elf_bytes
from software_phone.adb_server import OwnAdbServer, free_port, wait_until
from software_phone.fixtures import clean_phone, software_phone, software_phone_build  # noqa: F401
from software_phone.python_adbd import Faults, PythonAdbd

from devices.adb.activity import Telling
from devices.adb.journal import Journal
from devices.adb.lease import lease_phone
from devices.adb.probe import PhoneFacts
from devices.adb.states import PhoneState
from devices.runners.dialect import RUNNER_NAMES
from devices.runners.library import RunnerLibrary
from mnas.cli import main
from mnas.cli.device_watch import Seen, changes
from mnas.errors import DeviceError


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """An adb server of this module's own."""
    made = OwnAdbServer(tmp_path_factory.mktemp("adb")).start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """No folder of the user's is read or written."""
    monkeypatch.setenv("MNAS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("MNAS_RUNNERS", str(tmp_path / "runners"))
    monkeypatch.delenv("MNAS_ADB", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def adb(own):
    """What to write after ``--adb``."""
    return f"127.0.0.1:{own.port}"


@pytest.fixture
def attach(own, tmp_path):
    """Start a small phone whose programs are those of `LocalPhone`, and attach it."""
    started = []

    def start(serial="CLI1", *, is_ready=True, **faults):
        local = LocalPhone(tmp_path / f"phone{len(started)}", serial)
        local.write("props", f"[ro.serialno]: [{serial}]\n[ro.product.model]: [Small {serial}]\n")
        adbd = PythonAdbd(tmp_path / f"adbd{len(started)}", faults=Faults(path=local.path, **faults)).start()
        started.append(adbd)
        if is_ready:
            own.attach(adbd.address)
        else:
            with pytest.raises(Exception, match="ADB"):
                own.server.connect(adbd.address, 20.0)
        return adbd, local

    yield start
    for adbd in started:
        own.server.disconnect(adbd.address)
        adbd.stop()


def list_json(adb, capsys):
    assert main(["devices", "list", "--adb", adb, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_hosts_and_phones_are_listed_together(adb, attach, capsys):
    adbd, _ = attach()
    document = list_json(adb, capsys)
    assert "host:ort" in [one["device"] for one in document["hosts"]]
    (phone,) = document["phones"]
    assert (phone["serial"], phone["serialno"], phone["state"]) == (adbd.address, "CLI1", "ready")
    assert (phone["model"], phone["battery_percent"], phone["temperature_c"]) == ("Small CLI1", 80, 30.0)
    assert phone["free_bytes"] > 0 and phone["is_simulated"] is False and phone["lease"] is None
    assert main(["devices", "list", "--adb", adb]) == 0
    table = capsys.readouterr().out
    assert f"adb:{adbd.address}" in table and "Small CLI1" in table and "host:ort" in table


def test_only_runners_that_a_bench_would_take_are_listed(adb, attach, capsys, tmp_path):
    """A program for Linux with glibc has the right ABI and yet no loader on a phone; a software phone has that one."""
    glibc = elf_bytes(interpreter="/lib/ld-linux-aarch64.so.1", needed=("libc.so.6",), text=TEXT["tflite"])
    for name, data in (("linux", glibc), ("android", elf_bytes(text=TEXT["litert"])), ("x86", elf_bytes("x86_64"))):
        (tmp_path / name).write_bytes(data)
        RunnerLibrary().add(tmp_path / name)
    lost = elf_bytes(text=TEXT["ortperf"])
    (tmp_path / "lost").write_bytes(lost)
    RunnerLibrary().add(tmp_path / "lost").path.write_bytes(b"another")
    for serial, mark in (("REAL1", ""), ("SOFT1", "[ro.mnas.simulated]: [1]\n")):
        _, local = attach(serial)
        local.write("props", f"[ro.serialno]: [{serial}]\n[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a]\n{mark}")
    listed = {phone["serialno"]: phone["runners"] for phone in list_json(adb, capsys)["phones"]}
    assert listed == {"REAL1": ["litert"], "SOFT1": ["litert", "tflite"]}
    for serial, facts in (
        ("REAL1", PhoneFacts(abis=("arm64-v8a",))),
        ("SOFT1", PhoneFacts(abis=("arm64-v8a",), is_simulated=True)),
    ):
        for name in RUNNER_NAMES:
            if name in listed[serial]:
                assert RunnerLibrary().find(name, facts.abis, facts.interpreters).name == name
            else:
                with pytest.raises(DeviceError, match=r"RNR0[69]"):
                    RunnerLibrary().find(name, facts.abis, facts.interpreters)


def test_a_phone_in_use_says_by_whom(adb, attach, capsys):
    attach()
    with lease_phone("CLI1", what="mnas bench big.tflite"):
        (phone,) = list_json(adb, capsys)["phones"]
    assert phone["state"] == "leased" and "mnas bench big.tflite" in phone["remedy"]
    assert phone["lease"]["pid"] == str(os.getpid())


def test_an_unauthorized_phone_is_a_row_with_its_remedy(adb, attach, capsys):
    adbd, _ = attach(is_ready=False, unauthorized=True)
    (phone,) = list_json(adb, capsys)["phones"]
    assert (phone["serial"], phone["state"]) == (adbd.address, "unauthorized")
    assert "Allow USB debugging" in phone["remedy"]


def test_one_phone_over_two_ways_is_one_row(adb, attach, capsys):
    first, _ = attach("SAME")
    second, _ = attach("SAME")
    (phone,) = list_json(adb, capsys)["phones"]
    assert {one["serial"] for one in phone["transports"]} == {first.address, second.address}


def test_no_phone_is_no_error(adb, capsys):
    document = list_json(adb, capsys)
    assert document["phones"] == [] and "no phone is attached" in document["notes"][0]
    assert document["hosts"]


def test_no_server_and_no_adb_is_no_error(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(tmp_path / "nothing"))
    document = list_json(f"127.0.0.1:{free_port()}", capsys)
    assert document["phones"] == [] and "phones are not listed" in document["notes"][0]
    assert document["hosts"]


@pytest.mark.parametrize("way", ["option", "variable"])
def test_phones_can_be_left_out(capsys, monkeypatch, tmp_path, way):
    """Nothing is asked then: the port of adb's variables has nobody, and no server is started on it."""
    port = free_port()
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    if way == "variable":
        monkeypatch.setenv("MNAS_ADB", "none")
    assert main(["devices", "list", *(["--adb", "none"] if way == "option" else []), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["phones"] == [] and document["notes"] == []


def test_an_address_that_is_none_is_a_usage_error(capsys):
    assert main(["devices", "list", "--adb", "127.0.0.1:notaport"]) == 2
    assert "ADB02" in capsys.readouterr().err


def test_every_format_has_the_same_columns_with_phones(adb, attach, capsys):
    attach()
    heads = {}
    for name in ("csv", "jsonl", "md"):
        assert main(["devices", "list", "--adb", adb, "--format", name]) == 0
        heads[name] = capsys.readouterr().out.splitlines()
    columns = heads["csv"][0].split(",")
    assert list(json.loads(heads["jsonl"][-1])) == columns
    assert f"| {' | '.join(columns)} |" in heads["md"]


def test_watch_says_what_comes_and_goes(adb, attach, own, capsys):
    adbd, _ = attach()
    timer = threading.Timer(1.0, lambda: own.server.disconnect(adbd.address))
    timer.start()
    try:
        assert main(["devices", "watch", "--adb", adb, "--for", "4", "--format", "jsonl"]) == 0
    finally:
        timer.join()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    seen = [(one["before"], one["state"]) for one in lines if one["serial"] == adbd.address]
    assert seen[0] == ("absent", "ready") and seen[-1][1] == "absent"
    assert {one["is_simulated"] for one in lines} == {False}, "asked once, and still known of one that is gone"


def test_list_and_watch_show_what_is_done_with_a_phone_in_use_and_do_not_ask_it(adb, attach, capsys):
    adbd, local = attach()
    list_json(adb, capsys)  # from now on it is known which phone hangs there
    calls = local.read("calls")
    with lease_phone("CLI1", what="mnas bench big.tflite"):
        telling = Telling("CLI1")
        telling.know(PhoneFacts(serialno="CLI1", abis=("x86_64",), is_simulated=True))
        telling.tell(PhoneState.COOLING, "cooling down: skin at 41.0 C")
        assert main(["devices", "list", "--adb", adb, "--format", "csv"]) == 0
        (row,) = [line for line in capsys.readouterr().out.splitlines() if adbd.address in line]
        assert ",cooling," in row and "skin at 41.0 C" in row and f"process {os.getpid()}" in row
        timer = threading.Timer(1.5, lambda: telling.tell(PhoneState.RUNNING, "running a batch of 3 launches"))
        timer.start()
        try:
            assert main(["devices", "watch", "--adb", adb, "--for", "4", "--format", "jsonl"]) == 0
        finally:
            timer.join()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    seen = [(one["before"], one["state"]) for one in lines if one["serial"] == adbd.address]
    assert seen == [("absent", "cooling"), ("cooling", "running")]
    assert "running a batch of 3 launches" in lines[-1]["doing"]
    assert [one["is_simulated"] for one in lines] == [True, True], "as the holder tells it"
    assert local.read("calls") == calls


def test_watch_in_words_has_remedies(adb, attach, capsys):
    adbd, _ = attach(is_ready=False, unauthorized=True)
    assert main(["devices", "watch", "--adb", adb, "--for", "0.5"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if adbd.address in line]
    assert "absent -> unauthorized; " in line and "Allow USB debugging" in line


def test_watch_ends_on_ctrl_c_without_a_word(adb, attach, tmp_path):
    adbd, _ = attach()
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "mnas", "devices", "watch", "--adb", adb], stdout=out, stderr=err
        )
        wait_until(lambda: adbd.address in (tmp_path / "out").read_text(), 30.0, "nothing was said")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert (tmp_path / "err").read_text() == ""


def test_watch_waits_for_a_server_that_ends(tmp_path, capsys):
    own = OwnAdbServer(tmp_path / "adb").start()
    adbd = PythonAdbd(tmp_path / "adbd").start()
    own.attach(adbd.address)
    timer = threading.Timer(0.7, own.stop)
    timer.start()
    started = time.monotonic()
    try:
        assert main(["devices", "watch", "--adb", f"127.0.0.1:{own.port}", "--for", "3", "--format", "jsonl"]) == 0
    finally:
        timer.join()
        adbd.stop()
    assert time.monotonic() - started >= 3.0
    captured = capsys.readouterr()
    states = [json.loads(line)["state"] for line in captured.out.splitlines()]
    assert states == ["ready", "absent"]
    assert "waiting for it" in captured.err


@pytest.mark.parametrize("name", ["json", "csv", "md"])
def test_watch_takes_only_formats_of_lines(adb, name):
    assert main(["devices", "watch", "--adb", adb, "--for", "0", "--format", name]) == 2


def test_changes_of_states():
    device, offline = Seen("device"), Seen("offline")
    running, words = Seen("device", "running", "a batch"), Seen("device", "running", "another batch")
    before = {"A": device, "B": offline, "C": device, "E": device, "F": running}
    now = {"B": device, "C": device, "D": Seen("unauthorized"), "E": running, "F": words}
    assert changes(before, now) == [
        ("A", device, Seen()),
        ("B", offline, device),
        ("D", Seen(), Seen("unauthorized")),
        ("E", device, running),
    ]
    assert changes(now, now) == []


def test_clean_needs_a_phone_that_is_named_or_alone(adb, attach, capsys):
    assert main(["devices", "clean", "--adb", adb]) == 4
    assert "ADB37" in capsys.readouterr().err
    attach("A1")
    attach("A2")
    assert main(["devices", "clean", "--adb", adb]) == 4
    assert "several phones" in capsys.readouterr().err
    assert main(["devices", "clean", "A1", "--all", "--adb", adb]) == 2


def test_clean_of_a_phone_in_use_is_refused(adb, attach, capsys):
    attach()
    with lease_phone("CLI1", what="mnas bench"):
        assert main(["devices", "clean", "CLI1", "--adb", adb, "--format", "json"]) == 4
    (one,) = json.loads(capsys.readouterr().out)["phones"]
    assert "ADB31" in one["error"] and one["cleaning"] is None and one["is_simulated"] is False


def test_a_plan_to_clean_touches_nothing(adb, attach, capsys):
    adbd, local = attach()
    model = adbd.local("/data/local/tmp/mnas/cache/model")
    model.parent.mkdir(parents=True)
    model.write_bytes(b"x" * 3000)
    Journal("CLI1").record("stay_on", "0", "true")
    local.write("settings.global.stay_on_while_plugged_in", "15\n")
    assert main(["devices", "clean", "--plan", "--adb", adb, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (one,) = document["phones"]
    assert document["plan"] and one["error"] == "" and one["settings"][0]["old"] == "0"
    assert any(name.endswith("mnas/cache/model") for name in one["cleaning"]["files"])
    assert model.exists() and local.read("settings.global.stay_on_while_plugged_in") == "15\n"
    assert len(Journal("CLI1").pending()) == 1


@pytest.mark.software_phone
def test_clean_on_the_software_phone(clean_phone, own, adb, capsys):  # noqa: F811
    """Here, since it has processes of its own: a small phone would end those of other tests on this machine."""
    own.attach(clean_phone.address)
    link = own.server.link(clean_phone.address)
    text = "mkdir -p /data/local/tmp/mnas/batch; (trap '' HUP TERM; setsid sleep 300 >/dev/null 2>&1 &) ; echo started"
    assert "started" in link.run_script(text, deadline_s=20, token="abc").stdout
    link.push(b"x" * 5000, "/data/local/tmp/mnas/cache/model", deadline_s=20)
    clean_phone.set_setting("stay_on_while_plugged_in", "15")
    Journal(clean_phone.serial).record("stay_on", "0", "true")
    try:
        (seen,) = list_json(adb, capsys)["phones"]
        assert seen["is_simulated"] and seen["serialno"] == clean_phone.serial and seen["clusters"]
        assert main(["devices", "watch", "--adb", adb, "--for", "0.5", "--format", "jsonl"]) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[0])["is_simulated"] is True
        assert main(["devices", "watch", "--adb", adb, "--for", "0.5"]) == 0
        assert f"{clean_phone.address} (simulated): absent -> ready" in capsys.readouterr().out
        assert main(["devices", "clean", clean_phone.serial, "--adb", adb, "--format", "json"]) == 0
        (one,) = json.loads(capsys.readouterr().out)["phones"]
        assert [process["command"].removeprefix("setsid ") for process in one["cleaning"]["found"]] == ["sleep 300"]
        assert one["cleaning"]["left"] == [] and one["cleaning"]["is_removed"] and one["is_simulated"]
        assert clean_phone.setting("stay_on_while_plugged_in") == "0"
        assert not (clean_phone.work_folder / "mnas").exists()
        assert main(["devices", "clean", "--adb", adb]) == 0
        words = capsys.readouterr().out
        assert "cleaned" in words and "(simulated)" in words
    finally:
        own.server.disconnect(clean_phone.address)
