"""The probe's script, run by a real shell in a folder that looks like a phone."""

import pytest
from local_phone import LocalPhone

from devices.adb.failures import PhoneLost
from devices.adb.fitness import obstacles
from devices.adb.parsers.thermal import Thermal
from devices.adb.probe import Battery, PhoneFacts, probe, quick_conditions
from devices.adb.probe_script import conditions_script, probe_script
from mnas.errors import DeviceError


@pytest.fixture
def phone(tmp_path):
    made = LocalPhone(tmp_path)
    for number in range(6):
        is_big = number >= 4
        made.cpu(
            number,
            cpu_capacity=1024 if is_big else 400,
            cpuinfo_max_freq=2_000_000 if is_big else 1_000_000,
            scaling_max_freq=1_500_000 if is_big else 1_000_000,
            scaling_cur_freq=500_000,
            scaling_governor="schedutil",
            related_cpus="4 5" if is_big else "0 1 2 3",
        )
    made.write("root/sys/devices/system/cpu/possible", "0-5\n")
    made.write("root/sys/devices/system/cpu/online", "0-5")
    made.write("root/sys/class/thermal/thermal_zone0/type", "cpu-big\n")
    made.write("root/sys/class/thermal/thermal_zone0/temp", "41500\n")
    made.write("root/proc/loadavg", "0.52 0.40 0.30 1/100 4242\n")
    made.write("root/proc/uptime", "1234.56 2345.67\n")
    return made


def ask(phone, **more):
    return probe(phone, root=str(phone.root), **more)


def test_one_round_trip_tells_everything(phone):
    facts = ask(phone, with_exec_check=False)
    assert phone.round_trips == 1
    assert (facts.serialno, facts.model, facts.boot_id) == ("LOCAL1", "Local", "boot-1")
    assert [(one.name, one.cpus, one.mask, one.capacity) for one in facts.clusters] == [
        ("big", (4, 5), "30", 1024),
        ("little", (0, 1, 2, 3), "f", 400),
    ]
    assert facts.caps[5] == (1_500_000, 2_000_000) and facts.capped_cpus == (4, 5)
    assert facts.cur_khz[0] == 500_000 and facts.governors[0] == "schedutil"
    assert facts.thermal.status == 0 and facts.thermal.hottest("skin").value_c == 30.0
    assert facts.thermal.zones == {"cpu-big": 41.5}
    assert facts.battery == Battery(80, 28.0, 2, False, True)
    assert (facts.load1, facts.uptime_s) == (0.52, 1234.56)
    assert facts.power_save is False and facts.screen_on is True
    assert facts.free_bytes > 0 and "sha256sum" in facts.has
    assert facts.work_dir_executable is None and facts.is_whole


def test_listing_leaves_no_trace_on_the_phone(phone, tmp_path):
    before = sorted(path for path in tmp_path.rglob("*") if path.name != "calls")
    ask(phone, with_exec_check=False)
    assert sorted(path for path in tmp_path.rglob("*") if path.name != "calls") == before


def test_the_working_folder_is_tried_by_running_a_program_there(phone, tmp_path):
    text = probe_script(root=str(phone.root), work_dir=phone.work_dir)
    done = phone.run_script(text, deadline_s=20)
    assert "@@mnas exec\nyes\n" in done.stdout
    assert list((tmp_path / "data" / "mnas").iterdir()) == []


@pytest.mark.parametrize("word", ["thermalservice", "battery", "power", "props"])
def test_what_is_missing_is_none_and_the_rest_stays(phone, word):
    (phone.files / word).unlink()
    facts = ask(phone, with_exec_check=False)
    assert facts.is_whole and len(facts.clusters) == 2
    if word == "thermalservice":
        assert facts.thermal.status is None and facts.thermal.hal == ()
    elif word == "battery":
        assert facts.battery is None
    elif word == "power":
        assert facts.screen_on is None
    else:
        assert facts.serialno == "" and facts.sdk is None


def test_a_core_that_went_offline_stays_in_its_cluster(phone):
    known = ask(phone, with_exec_check=False).clusters
    for number in (4, 5):
        folder = phone.root / f"sys/devices/system/cpu/cpu{number}"
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    phone.write("root/sys/devices/system/cpu/online", "0-3\n")
    facts = ask(phone, with_exec_check=False, known=known)
    assert facts.online_cpus == (0, 1, 2, 3)
    assert facts.clusters == known
    assert [one.cpus for one in ask(phone, with_exec_check=False).clusters] == [(0, 1, 2, 3)]


def test_a_simulated_phone_says_so(phone):
    phone.write("props", "[ro.serialno]: [S1]\n[ro.mnas.simulated]: [1]\n")
    assert ask(phone, with_exec_check=False).is_simulated


def test_conditions_are_json_and_one_round_trip(phone):
    told = quick_conditions(phone, root=str(phone.root))
    assert phone.round_trips == 1
    assert told["temperatures_c"] == {"skin": 30.0} and told["thermal_status"] == 0
    assert told["cpu_mhz"] == [500.0] * 6 and told["capped_cpus"] == {"cpu4": 0.75, "cpu5": 0.75}
    assert told["battery_percent"] == 80 and told["load_average"] == [0.52]
    assert "battery_frozen" not in told


def test_conditions_of_the_kernel_alone_ask_no_service(phone):
    done = phone.run_script(conditions_script(root=str(phone.root), only_kernel=True), deadline_s=20)
    assert "@@mnas cores" in done.stdout and "@@mnas battery" not in done.stdout
    assert phone.read("calls") == ""


def test_a_link_that_breaks_in_the_middle_is_a_lost_phone(phone):
    phone.lost, phone.cut = True, 900
    with pytest.raises(PhoneLost, match=r"ADB32.*the cable was pulled"):
        ask(phone)


def test_a_service_that_hangs_does_not_cost_the_rest(phone, tmp_path):
    (tmp_path / "bin" / "dumpsys").write_text("#!/bin/sh\nexec sleep 30\n")
    (tmp_path / "bin" / "timeout").write_text('#!/bin/sh\nshift; exec /usr/bin/timeout 0.2 "$@"\n')
    (tmp_path / "bin" / "timeout").chmod(0o755)
    facts = ask(phone, with_exec_check=False)
    assert facts.is_whole and facts.battery is None and facts.screen_on is None
    assert len(facts.clusters) == 2 and facts.power_save is False


def test_a_phone_that_says_nothing_is_an_error(phone):
    phone.environment["PATH"] = "/nonexistent"
    phone.lost, phone.cut = True, 0
    with pytest.raises(DeviceError, match="did not answer"):
        ask(phone)


def test_every_obstacle_is_seen_and_a_well_phone_has_none():
    ill = PhoneFacts(
        power_save=True,
        battery=Battery(level=12),
        thermal=Thermal(status=2),
        caps={0: (1_000_000, 2_000_000), 1: (2_000_000, 2_000_000)},
        work_dir_executable=False,
    )
    assert [one.name for one in obstacles(ill)] == [
        "power save",
        "battery low",
        "hot",
        "clock capped",
        "not executable",
    ]
    assert all(one.remedy for one in obstacles(ill))
    assert [one.name for one in obstacles(PhoneFacts(battery=Battery(level=3, updates_stopped=True)))] == [
        "battery frozen"
    ]
    assert [one.name for one in obstacles(PhoneFacts(thermal=Thermal(status=3, is_override=True)))] == [
        "thermal override"
    ]
    assert obstacles(PhoneFacts()) == ()
    well = PhoneFacts(power_save=False, battery=Battery(level=80), thermal=Thermal(status=0), caps={0: (5, 5)})
    assert obstacles(well) == ()
