"""What a holder tells of a phone: read by others without a question to the phone, and true only while it holds it."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_phone import LocalPhone, LocalServer

from devices.adb.activity import Telling, activity_of
from devices.adb.housekeeping import tidy_phone
from devices.adb.lease import Lease, holder_of, lease_phone
from devices.adb.parsers.cpus import Cluster
from devices.adb.phones import list_phones
from devices.adb.probe import PhoneFacts
from devices.adb.server import TransportRow
from devices.adb.states import HELD, PhoneState
from devices.adb.ways import holder_on, refuse_held_on, remember_way
from mnas.errors import DeviceError

FACTS = PhoneFacts(
    serialno="S1",
    boot_id="b",
    manufacturer="Maker",
    model="One",
    soc="X1",
    android_version="15",
    sdk=35,
    is_simulated=True,
    abis=("arm64-v8a",),
    clusters=(Cluster("big", (6, 7), 1024, 3_000_000), Cluster("little", (0, 1), None, None)),
    is_whole=False,
)
WIFI = "192.168.1.5:5555"


def told(folder, serialno="S1"):
    holder = holder_of(serialno, folder=folder)
    assert holder is not None
    return activity_of(holder, folder=folder)


@pytest.fixture
def lease(tmp_path) -> Lease:
    with lease_phone("S1", what="mnas bench a.tflite", folder=tmp_path / "state") as made:
        yield made


@pytest.fixture
def telling(lease, tmp_path):
    made = Telling("S1", tmp_path / "state")
    made.know(FACTS)
    return made


@given(state=st.sampled_from(sorted(HELD)), what=st.text(max_size=40))
def test_what_is_told_is_read(tmp_path_factory, state, what):
    folder = tmp_path_factory.mktemp("state")
    with lease_phone("S1", folder=folder):
        made = Telling("S1", folder)
        made.know(FACTS)
        made.tell(PhoneState(state), what)
        found = told(folder)
    assert (found.state, found.what, found.facts) == (state, what, FACTS)


def test_its_time_is_that_of_the_state_and_not_of_the_words(telling, tmp_path):
    path = next((tmp_path / "state").rglob("leases")).parent / "activities"
    telling.tell(PhoneState.COOLING, "at 44 C")
    telling._since_utc = "2026-01-01T00:00:00+00:00"
    telling.tell(PhoneState.COOLING, "at 40 C")
    assert told(tmp_path / "state").since_utc == "2026-01-01T00:00:00+00:00"
    assert told(tmp_path / "state").what == "at 40 C"
    telling.tell(PhoneState.RUNNING)
    assert told(tmp_path / "state").since_utc > "2026-01-01T00:00:00+00:00"
    assert [one.name for one in path.iterdir() if one.name.startswith(".")] == []


def test_a_holder_that_tells_nothing_and_one_before_it_are_only_holders(telling, lease, tmp_path):
    folder = tmp_path / "state"
    telling.tell(PhoneState.RUNNING, "a batch")
    (path,) = (folder / "phones/activities").iterdir()
    for text in (json.dumps({**json.loads(path.read_text()), "token": "host:1:2"}), "{", '{"token": 3}', "[]"):
        path.write_text(text)
        found = told(folder)
        assert (found.state, found.what, found.since_utc) == (PhoneState.LEASED, "", lease.holder.since_utc)
        assert found.facts.serialno == "S1" and found.facts.model == ""
    telling.tell(PhoneState.RUNNING, "a batch")
    telling.end()
    assert told(folder).state is PhoneState.LEASED and not path.exists()


def test_a_folder_that_takes_no_file_does_not_end_the_work(lease, tmp_path):
    place = tmp_path / "a file"
    place.write_text("")
    made = Telling("S1", place)
    made.tell(PhoneState.RUNNING)
    made.end()
    assert told(tmp_path / "state").state is PhoneState.LEASED


@pytest.fixture
def server(tmp_path):
    """Phone S1 over USB and over Wi-Fi, S2 over USB."""
    first, second = LocalPhone(tmp_path / "1", "S1"), LocalPhone(tmp_path / "2", "S2")
    rows = [TransportRow("S1", "device", usb="1"), TransportRow(WIFI, "device"), TransportRow("S2", "device", usb="2")]
    return LocalServer(rows, {"S1": first, WIFI: first, "S2": second})


def test_a_list_does_not_ask_a_phone_in_use_over_any_way(server, telling, tmp_path):
    folder = tmp_path / "state"
    first, second = server.phones["S1"], server.phones["S2"]
    telling.end()
    telling.tell(PhoneState.RUNNING, "running a batch of 57 launches")
    # By its name over USB it is known at once; over Wi-Fi once it was seen there.
    list_phones(server, folder=folder)
    before, others = first.round_trips, second.round_trips
    one, two = list_phones(server, folder=folder, runners=lambda facts: ["tflite"] if "arm64-v8a" in facts.abis else [])
    assert first.round_trips == before and second.round_trips == others + 1
    assert (one.serialno, one.state, two.state) == ("S1", PhoneState.RUNNING, PhoneState.READY)
    assert [way.serial for way in one.transports] == ["S1", WIFI] and one.runners == ("tflite",)
    assert "running a batch of 57 launches, since 20" in one.remedy and "mnas bench a.tflite" in one.remedy
    row = one.to_json()
    assert row["lease"]["pid"] == str(os.getpid()) and row["lease"]["state"] == "running"
    assert (row["model"], row["is_simulated"], row["battery_percent"]) == ("One", True, None)


def test_a_phone_whose_holder_died_is_asked_again(server, tmp_path):
    folder = tmp_path / "state"
    code = f"""
from pathlib import Path
from devices.adb.activity import Telling
from devices.adb.lease import lease_phone
from devices.adb.states import PhoneState
lease = lease_phone("S1", folder=Path({str(folder)!r}))
Telling("S1", Path({str(folder)!r})).tell(PhoneState.RUNNING, "a batch")
print("held", flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        (one, *_) = list_phones(server, folder=folder)
        assert one.state is PhoneState.RUNNING and str(process.pid) in one.remedy
        process.kill()
        process.wait()
    (one, *_) = list_phones(server, folder=folder)
    assert one.state is PhoneState.READY and one.activity is None and one.facts.model == "Local"


def test_a_plan_to_clean_does_not_look_at_a_phone_in_use(server, lease, tmp_path):
    phone = next(one for one in list_phones(server, folder=tmp_path / "state") if one.serialno == "S1")
    before = server.phones["S1"].round_trips
    done = tidy_phone(server.link("S1"), phone, plan=True, folder=tmp_path / "state")
    assert server.phones["S1"].round_trips == before and done.cleaning is None
    assert "in use, would be refused" in done.error


def test_a_way_is_remembered_as_it_was_last_seen(lease, tmp_path):
    folder = tmp_path / "state"
    assert holder_on("host:5037", WIFI, folder=folder) is None
    remember_way("host:5037", WIFI, "S1", folder=folder)
    assert holder_on("host:5037", WIFI, folder=folder) == lease.holder
    assert holder_on("host:5037", "adb-S1-a1B2c3._adb-tls-connect._tcp", folder=folder) == lease.holder
    assert holder_on("other:5037", WIFI, folder=folder) is None
    with pytest.raises(DeviceError) as caught:
        refuse_held_on("host:5037", WIFI, folder=folder)
    assert caught.value.code == "ADB31"
    for serialno in ("S2", ""):
        remember_way("host:5037", WIFI, serialno, folder=folder)
        assert holder_on("host:5037", WIFI, folder=folder) is None
