"""Lists of phones: one row a phone, with what can be known of it in every state."""

import pytest
from local_phone import LocalPhone, LocalServer

from devices.adb.housekeeping import tidy_phone
from devices.adb.journal import Journal
from devices.adb.lease import lease_phone
from devices.adb.parsers.cpus import Cluster
from devices.adb.phones import describe_clusters, find_phone, list_phones, transport_of
from devices.adb.quarantine import put_in_quarantine, quarantine_of
from devices.adb.server import TransportRow
from devices.adb.states import PhoneState
from mnas.errors import DeviceError

NO_PERMISSION = "no permissions (user in plugdev group; are your udev rules wrong?); see [http://developer.android.com]"


@pytest.fixture
def world(tmp_path):
    """Phone S1 over USB and Wi-Fi, S2 over Wi-Fi, and five that cannot be asked."""
    first, second = LocalPhone(tmp_path / "1", "S1"), LocalPhone(tmp_path / "2", "S2")
    first.write("props", "[ro.serialno]: [S1]\n[ro.product.model]: [One]\n[ro.product.cpu.abilist]: [arm64-v8a]\n")
    rows = [
        TransportRow("192.168.1.5:5555", "device", model="One"),
        TransportRow("S1", "device", usb="1-2", model="One"),
        TransportRow("192.168.1.6:5555", "device"),
        TransportRow("S3", "unauthorized", usb="1-3"),
        TransportRow("S4", NO_PERMISSION, usb="1-4"),
        TransportRow("S5", "offline", model="Pixel_9"),
        TransportRow("S6", "bootloader"),
        TransportRow("adb-S1-a1B2c3._adb-tls-connect._tcp", "offline"),
    ]
    phones = {"192.168.1.5:5555": first, "S1": first, "192.168.1.6:5555": second}
    return LocalServer(rows, phones), first, second


def rows_of(world, tmp_path, **more):
    return {one.serialno: one for one in list_phones(world[0], folder=tmp_path / "state", **more)}


def test_one_phone_over_three_ways_is_one_row_and_usb_is_preferred(world, tmp_path):
    phones = rows_of(world, tmp_path)
    assert list(phones) == ["S1", "S2", "S3", "S4", "S5", "S6"]
    one = phones["S1"]
    assert [transport.serial for transport in one.transports] == [
        "S1",
        "192.168.1.5:5555",
        "adb-S1-a1B2c3._adb-tls-connect._tcp",
    ]
    assert one.serial == "S1" and one.state is PhoneState.READY and one.facts.model == "One"
    assert [transport["way"] for transport in one.to_json()["transports"]] == ["usb", "wifi", "wifi"]
    assert all(one.answers_to(serial) for serial in ("S1", "192.168.1.5:5555"))


def test_a_usb_way_that_is_offline_gives_way_to_wifi_that_answers(world, tmp_path):
    server, _, _ = world
    server.rows[1] = TransportRow("S1", "offline", usb="1-2")
    one = rows_of(world, tmp_path)["S1"]
    assert one.serial == "192.168.1.5:5555" and one.state is PhoneState.READY
    assert [transport.serial for transport in one.transports][1] == "S1"


def test_a_phone_that_cannot_be_asked_is_a_row_with_its_remedy(world, tmp_path):
    phones = rows_of(world, tmp_path)
    assert {name: str(phones[name].state) for name in ("S3", "S4", "S5", "S6")} == {
        "S3": "unauthorized",
        "S4": "no permission",
        "S5": "offline",
        "S6": "offline",
    }
    assert "Allow USB debugging" in phones["S3"].remedy
    assert "plugdev" in phones["S4"].remedy
    assert "plug it in again" in phones["S5"].remedy
    assert "fastboot reboot" in phones["S6"].remedy
    assert phones["S5"].facts is None and phones["S5"].transports[0].model == "Pixel 9"


def test_a_ready_phone_that_does_not_answer_is_lost_and_the_others_are_listed(world, tmp_path):
    world[2].lost, world[2].cut = True, 0
    phones = rows_of(world, tmp_path)
    assert phones["192.168.1.6:5555"].state is PhoneState.LOST
    assert "the cable was pulled" in phones["192.168.1.6:5555"].remedy
    assert phones["S1"].state is PhoneState.READY


def test_a_lease_and_a_quarantine_are_seen(world, tmp_path):
    with lease_phone("S1", what="mnas bench", folder=tmp_path / "state"):
        one = rows_of(world, tmp_path)["S1"]
        assert one.state is PhoneState.LEASED and "mnas bench" in one.remedy and one.facts is not None
        assert one.to_json()["lease"]["pid"] == one.holder.pid
    put_in_quarantine("S2", "", "a runner does not end", folder=tmp_path / "state")
    two = rows_of(world, tmp_path)["S2"]
    assert two.state is PhoneState.QUARANTINED
    assert "a runner does not end" in two.remedy and "mnas devices clean 192.168.1.6:5555" in two.remedy


def test_runners_are_asked_for_by_the_phones_interfaces(world, tmp_path):
    asked = []

    def runners(facts):
        asked.append(facts.abis)
        return ["tflite"] if "arm64-v8a" in facts.abis else []

    phones = rows_of(world, tmp_path, runners=runners)
    assert phones["S1"].runners == ("tflite",) and phones["S2"].runners == ()
    assert sorted(asked) == [(), ("arm64-v8a",)]


def test_phones_are_asked_at_once(world, tmp_path):
    import threading

    server, first, second = world
    server.rows = [TransportRow("S1", "device", usb="1"), TransportRow("192.168.1.6:5555", "device")]
    together = threading.Barrier(2, timeout=30)
    first.before = second.before = together.wait
    assert {one.state for one in rows_of(world, tmp_path).values()} == {PhoneState.READY}


def test_no_phone_is_an_empty_list(tmp_path):
    assert list_phones(LocalServer([], {}), folder=tmp_path) == []


@pytest.mark.parametrize(
    ("serial", "way"),
    [("R58", "usb"), ("1.2.3.4:5555", "wifi"), ("[::1]:5", "wifi"), ("emulator-5554", "emulator"), ("", "unknown")],
)
def test_the_way_to_a_phone(serial, way):
    assert transport_of(TransportRow(serial, "device")).way == way


def test_a_phone_is_found_by_any_of_its_serials_or_alone(world, tmp_path):
    phones = list(rows_of(world, tmp_path).values())
    assert find_phone(phones, "192.168.1.5:5555").serialno == "S1"
    assert find_phone(phones[:1]).serialno == "S1"
    with pytest.raises(DeviceError, match=r"ADB37.*no such phone.*S9"):
        find_phone(phones, "S9")
    with pytest.raises(DeviceError, match=r"ADB37.*several"):
        find_phone(phones)
    with pytest.raises(DeviceError, match=r"ADB37.*adb sees none"):
        find_phone([])


def test_clusters_in_a_line():
    clusters = [Cluster("big", (7,), 1024, 3_000_000), Cluster("little", (0, 1), 400, None)]
    assert describe_clusters(clusters) == "1 big 3.00 GHz + 2 little"


def test_tidying_does_all_and_says_what(world, tmp_path):
    first = world[1]
    state = tmp_path / "state"
    folder = tmp_path / "1" / "data" / "mnas" / "cache"
    folder.mkdir(parents=True)
    (folder / "model").write_bytes(b"x")
    Journal("S1", folder=state).record("stay_on", "0", "true")
    first.write("settings.global.stay_on_while_plugged_in", "15\n")
    put_in_quarantine("S1", "", "a runner does not end", folder=state)
    phone = rows_of(world, tmp_path)["S1"]
    given = {"folder": state, "work_dir": first.work_dir, "variable": "MNAS_TEST_NOBODY"}
    planned = tidy_phone(first, phone, plan=True, **given)
    assert planned.is_plan and planned.cleaning.files and planned.was_quarantined and planned.error == ""
    assert [one.name for one in planned.settings] == ["stay_on"]
    assert (folder / "model").exists() and quarantine_of("S1", "", folder=state)
    done = tidy_phone(first, phone, **given)
    assert done.error == "" and done.was_quarantined and done.cleaning.is_removed
    assert [(one.name, one.is_done) for one in done.settings] == [("stay_on", True)]
    assert not folder.exists() and first.read("settings.global.stay_on_while_plugged_in") == "0\n"
    assert quarantine_of("S1", "", folder=state) is None and Journal("S1", folder=state).pending() == []


def test_a_phone_in_use_and_one_that_cannot_be_asked_are_not_tidied(world, tmp_path):
    phones = rows_of(world, tmp_path)
    with lease_phone("S1", what="mnas bench", folder=tmp_path / "state"):
        done = tidy_phone(world[1], phones["S1"], folder=tmp_path / "state", work_dir=world[1].work_dir)
    assert "ADB31" in done.error and done.cleaning is None
    assert "ADB30" in tidy_phone(world[1], phones["S3"], folder=tmp_path / "state").error
