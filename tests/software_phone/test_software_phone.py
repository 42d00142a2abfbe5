"""The software phone: what it tells, that it can be changed in mid-test, and that nothing of it is left."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from software_phone import fetch
from software_phone.adb_server import wait_until
from software_phone.fetch import PhoneUnavailable
from software_phone.phone import SoftwarePhone

pytestmark = pytest.mark.software_phone
UNREACHABLE = fetch.SOURCE.replace("deb.debian.org", "127.0.0.1:9")
START = Path(__file__).parent / "start.py"


@pytest.fixture
def make(software_phone, software_phone_build):
    """Start further phones, which end with the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(SoftwarePhone(software_phone_build, **options))


def left_behind(folder):
    """What mentions a phone's folder: mounts and processes of this machine, and the folder itself."""
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]
    processes = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes().decode(errors="replace")
            where = os.readlink(f"/proc/{name}/root")
        except OSError:
            continue
        if str(folder) in words or str(folder) in where:
            processes.append((name, words))
    return mounts, processes, [path for path in [Path(folder)] if path.exists()]


NOTHING = ([], [], [])


def commands(phone):
    return [process.command[0] for process in phone.processes()]


def refuses(address):
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


class TestWhatItTells:
    def test_it_is_an_unrooted_phone_marked_as_simulated(self, clean_phone, adb):
        names = ("ro.mnas.simulated", "ro.serialno", "ro.product.cpu.abilist")
        said = adb.say(clean_phone, "id -u; " + "; ".join(f"getprop {name}" for name in names))
        assert said.split() == ["2000", "1", clean_phone.serial, "x86_64"]

    def test_the_mark_cannot_be_taken_away(self, make, adb):
        phone = make(properties={"ro.mnas.simulated": "0", "ro.product.model": "Other", "ro.soc.model": ""})
        said = adb.say(phone, "getprop ro.mnas.simulated; getprop ro.product.model; getprop | grep -c soc.model; true")
        assert said.split() == ["1", "Other", "0"]

    def test_a_rooted_one_has_root_but_no_power_over_this_machine(self, make, adb):
        phone = make(rooted=True)
        assert adb.say(phone, "id -u") == "0"
        assert adb.run(phone, "echo 1 > /proc/sys/vm/overcommit_memory").returncode != 0
        assert adb.run(phone, "mount -t tmpfs none /data").returncode != 0
        assert adb.say(phone, "echo performance > /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor; echo done")

    def test_shell_v2_tells_exit_codes_and_signals(self, clean_phone, adb):
        assert adb.run(clean_phone, "exit 3").returncode == 3
        assert adb.run(clean_phone, "sh -c 'kill -SEGV $$'").returncode == 139
        done = adb.run(clean_phone, "echo out; echo err >&2")
        assert (done.stdout, done.stderr) == ("out\n", "err\n")

    def test_one_phone_over_two_transports(self, make, adb):
        phone = make(transports=2)
        script = "getprop ro.serialno; cat /proc/sys/kernel/random/boot_id"
        said = set()
        for address in phone.addresses:
            adb.own.attach(address)
            said.add(adb.call("-s", address, "shell", script).stdout)
        assert len(set(phone.addresses)) == 2
        assert len(said) == 1
        assert phone.serial in said.pop()

    def test_a_port_that_is_taken(self, software_phone, software_phone_build):
        taken = SoftwarePhone(software_phone_build, ports=[int(software_phone.address.split(":")[1])])
        with pytest.raises(OSError, match="in use"):
            taken.start()
        assert left_behind(taken.folder) == NOTHING

    def test_two_phones_are_two(self, clean_phone, make, adb):
        other = make()
        assert other.serial != clean_phone.serial
        script = "cat /proc/sys/kernel/random/boot_id; cat /data/local/tmp/mine 2>/dev/null; true"
        adb.say(clean_phone, "echo here > /data/local/tmp/mine")
        assert adb.say(clean_phone, script).split()[1:] == ["here"]
        assert adb.say(other, script).split()[1:] == []
        assert adb.say(clean_phone, script).split()[0] != adb.say(other, script).split()[0]

    def test_a_mask_holds_and_a_core_that_is_not_there_is_refused(self, clean_phone, adb):
        core = max(os.sched_getaffinity(0))
        said = adb.say(clean_phone, f"taskset {1 << core:x} grep Cpus_allowed_list /proc/self/status")
        assert said.split() == ["Cpus_allowed_list:", str(core)]
        done = adb.run(clean_phone, f"taskset {1 << (os.cpu_count() + 1):x} true")
        assert done.returncode == 1
        assert "Invalid argument" in done.stderr

    def test_adbd_listens_on_nothing_of_this_machine(self, clean_phone, adb):
        adb.say(clean_phone, "true")
        ports = set()
        for table in ("tcp", "tcp6"):
            rows = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
            ports |= {int(row.split()[1].rpartition(":")[2], 16) for row in rows if row.split()[3] == "0A"}
        assert 7601 not in ports
        assert int(clean_phone.address.split(":")[1]) in ports
        assert adb.say(clean_phone, "grep Seccomp: /proc/self/status").split() == ["Seccomp:", "2"]


class TestWhatChanges:
    def test_temperature_and_status_in_mid_session(self, clean_phone, adb):
        script = "dumpsys thermalservice; cat /sys/class/thermal/thermal_zone3/temp"
        before = adb.say(clean_phone, script)
        clean_phone.set_thermal(3, {"cpu": 70.0, "gpu": 60.0, "battery": 40.0, "skin": 47.5}, cached_c={"skin": 30.0})
        after = adb.say(clean_phone, script)
        assert "Thermal Status: 0" in before
        assert "mValue=31.5, mType=3, mName=skin, mStatus=0" in before
        assert "Thermal Status: 3" in after
        cached, current = after.split("Current temperatures from HAL:")
        assert "Temperature{mValue=30.0, mType=3, mName=skin" in cached
        assert "Temperature{mValue=47.5, mType=3, mName=skin, mStatus=3}" in current
        assert after.endswith("\n47500")

    def test_a_script_of_changes_plays_by_itself(self, clean_phone, adb):
        clean_phone.play([(0.0, lambda: clean_phone.set_thermal(1)), (1.0, lambda: clean_phone.set_thermal(0))])
        wait_until(lambda: clean_phone.read("thermal/status") == "1", 5, "it did not become hot")
        wait_until(lambda: "Status: 0" in adb.say(clean_phone, "dumpsys thermalservice"), 5, "it did not cool down")

    def test_the_battery(self, clean_phone, adb):
        clean_phone.set_battery(level=14, temperature_c=41.3, status=3, updates_stopped=True)
        said = adb.say(clean_phone, "dumpsys battery")
        assert "UPDATES STOPPED" in said
        assert {"level: 14", "temperature: 413", "status: 3"} <= {line.strip() for line in said.splitlines()}
        assert "UPDATES STOPPED" not in adb.say(clean_phone, "dumpsys battery reset; dumpsys battery")

    def test_frequency_caps_governors_and_cores_that_are_off(self, clean_phone, adb):
        big = max(clean_phone.capacities, key=lambda core: (clean_phone.capacities[core], core))
        folder = f"/sys/devices/system/cpu/cpu{big}/cpufreq"
        script = f"cat {folder}/scaling_max_freq {folder}/cpuinfo_max_freq {folder}/scaling_governor"
        clean_phone.set_frequency_cap(big, 1_100_000)
        clean_phone.set_governor("powersave")
        assert adb.say(clean_phone, script).split() == ["1100000", str(clean_phone.max_khz(big)), "powersave"]
        clean_phone.set_frequency_cap(big, None)
        assert adb.say(clean_phone, script).split()[0] == str(clean_phone.max_khz(big))
        clean_phone.set_online([core for core in clean_phone.capacities if core != big])
        assert adb.run(clean_phone, script).returncode != 0
        assert str(big) not in adb.say(clean_phone, "cat /sys/devices/system/cpu/online").split(",")

    def test_settings_are_kept_and_seen_from_outside(self, clean_phone, adb):
        script = "svc power stayon true; settings put global low_power 1; settings get global "
        said = adb.say(clean_phone, script + "stay_on_while_plugged_in; settings get global none_such")
        assert said.split() == ["15", "null"]
        assert (clean_phone.setting("low_power"), clean_phone.setting("stay_on_while_plugged_in")) == ("1", "15")
        said = adb.say(clean_phone, "cmd power set-fixed-performance-mode-enabled true; dumpsys power")
        assert clean_phone.fixed_performance == "true"
        assert "mStayOn=true" in said
        clean_phone.reset()
        assert (clean_phone.setting("low_power"), clean_phone.fixed_performance) == ("0", "")

    def test_a_service_that_an_older_android_lacks(self, clean_phone, adb):
        clean_phone.remove_service("thermalservice")
        done = adb.run(clean_phone, "dumpsys thermalservice")
        assert (done.stdout, done.stderr) == ("", "Can't find service: thermalservice\n")


class TestStorage:
    def test_a_full_disk(self, make, adb, tmp_path):
        phone = make(storage_mb=4)
        (tmp_path / "large").write_bytes(os.urandom(6 << 20))
        (tmp_path / "small").write_bytes(b"x" * 1000)
        assert "No space left" in (lambda done: done.stdout + done.stderr)(adb.push(phone, tmp_path / "large"))
        adb.say(phone, "rm -f /data/local/tmp/*")
        assert adb.push(phone, tmp_path / "small").returncode == 0
        assert phone.files() == {"small": 1000}

    def test_a_folder_where_nothing_can_be_executed(self, make, adb, software_phone_build):
        phone = make(noexec=True)
        adb.push(phone, software_phone_build.runners["instant_runner"])
        done = adb.run(phone, "chmod 755 /data/local/tmp/instant_runner; /data/local/tmp/instant_runner")
        assert done.returncode == 126
        assert "ermission denied" in done.stderr


class TestTheEnd:
    def test_strays_are_seen_and_killed(self, clean_phone, adb):
        adb.say(
            clean_phone, "MNAS_TOKEN=abc setsid sh -c 'trap \"\" HUP; sleep 600 & wait' >/dev/null 2>&1 </dev/null &"
        )
        wait_until(lambda: commands(clean_phone) == ["sh", "sleep"], 5, "sh and sleep did not appear")
        assert {process.environment.get("MNAS_TOKEN") for process in clean_phone.processes()} == {"abc"}
        assert ("sleep", "600") in [process.command for process in clean_phone.processes()]
        clean_phone.kill_processes()
        assert clean_phone.processes() == []

    def test_adbd_dies_and_comes_back(self, clean_phone, adb):
        adb.say(clean_phone, "setsid sleep 600 >/dev/null 2>&1 </dev/null &")
        # toybox runs its own programs without an exec, so the name stays.
        wait_until(lambda: commands(clean_phone) == ["setsid"], 5, "setsid did not start")
        clean_phone.kill_adbd()
        state = adb.own.server.states
        wait_until(lambda: state().get(clean_phone.address) != "device", 10, "the link did not break")
        assert commands(clean_phone) == ["setsid"]
        clean_phone.restart_adbd()
        wait_until(lambda: state().get(clean_phone.address) == "device", 20, "the link did not come back")
        assert adb.say(clean_phone, "echo alive") == "alive"

    def test_a_reboot_ends_processes_and_keeps_files(self, clean_phone, adb):
        script = "cat /proc/sys/kernel/random/boot_id"
        adb.say(clean_phone, "echo kept > /data/local/tmp/file; setsid sleep 600 >/dev/null 2>&1 </dev/null &")
        before = adb.say(clean_phone, script)
        fresh = clean_phone.reboot()
        assert clean_phone.processes() == []
        wait_until(lambda: adb.run(clean_phone, script).stdout.strip() == fresh != before, 20, "no new boot id")
        assert adb.say(clean_phone, "cat /data/local/tmp/file") == "kept"

    def test_a_frozen_one_answers_when_it_thaws(self, clean_phone, adb):
        adb.say(clean_phone, "true")
        clean_phone.freeze()
        with pytest.raises(subprocess.TimeoutExpired):
            adb.call("-s", clean_phone.address, "shell", "true", deadline_s=1)
        clean_phone.thaw()
        assert adb.run(clean_phone, "true").returncode == 0

    def test_nothing_is_left_when_it_ends(self, software_phone, software_phone_build, adb):
        phone = SoftwarePhone(software_phone_build).start()
        adb.say(phone, "setsid sleep 600 >/dev/null 2>&1 </dev/null &")
        assert left_behind(phone.folder)[1:] != NOTHING[1:]
        phone.close()
        phone.close()
        assert left_behind(phone.folder) == NOTHING
        assert refuses(phone.address)

    def test_it_dies_with_a_killed_owner(self, software_phone):
        code = (
            "import sys, time; sys.path.insert(0, sys.argv[1])\n"
            "from software_phone.phone import SoftwarePhone\n"
            "phone = SoftwarePhone().start(); print(phone.folder, flush=True); time.sleep(600)"
        )
        owner = subprocess.Popen([sys.executable, "-c", code, str(START.parents[1])], stdout=subprocess.PIPE, text=True)
        folder = owner.stdout.readline().strip()
        assert len(left_behind(folder)[1]) >= 3
        owner.kill()
        owner.wait()
        owner.stdout.close()
        wait_until(lambda: left_behind(folder)[:2] == NOTHING[:2], 10, "the phone outlived its owner")
        shutil.rmtree(folder)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_the_program_for_a_person(self, software_phone, adb, number):
        command = [sys.executable, str(START), "--transports", "2"]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        told = ""
        while "Ctrl-C" not in told:
            line = program.stdout.readline()
            assert line, program.communicate()
            told += line
        address = told.split("adb connect ")[1].split()[0]
        folder = told.split("files below ")[1].split("/state")[0]
        adb.own.attach(address)
        assert adb.call("-s", address, "shell", "getprop ro.mnas.simulated").stdout == "1\n"
        program.send_signal(number)
        _, complaints = program.communicate(timeout=20)
        assert (program.returncode, complaints) == (130, "")
        assert left_behind(folder) == NOTHING


class TestFetching:
    def test_what_is_there_is_not_fetched_again(self, software_phone_build, monkeypatch):
        monkeypatch.setattr(fetch, "SOURCE", UNREACHABLE)
        assert (fetch.fetch_packages() / "usr/bin/toybox").is_file()

    def test_a_download_that_fails_says_so_and_leaves_nothing(self, tmp_path, monkeypatch):
        if os.geteuid() != 0:
            pytest.skip("apt needs root")
        monkeypatch.setenv("MNAS_SOFTWARE_PHONE", str(tmp_path))
        monkeypatch.setattr(fetch, "SOURCE", UNREACHABLE)
        own = Path("/var/lib/apt/lists")
        before = [(path.name, path.stat().st_mtime_ns) for path in sorted(own.glob("*"))]
        with pytest.raises(PhoneUnavailable, match=r"127\.0\.0\.1|nable to locate|failed with"):
            fetch.fetch_packages()
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]
        assert [(path.name, path.stat().st_mtime_ns) for path in sorted(own.glob("*"))] == before

    def test_who_is_not_root_is_told(self, monkeypatch):
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(PhoneUnavailable, match="needs root"):
            fetch.check_machine()
