"""Probe, settings, cooling and cleaning on the software phone: a real adbd, mksh and toybox."""

import pytest
from software_phone.fixtures import clean_phone, software_phone, software_phone_build  # noqa: F401
from software_phone.state import COOL

from devices.adb.cleaning import clean_phone as tidy
from devices.adb.cleaning import kill_leftovers, look_for_leftovers
from devices.adb.control_list import FIXED_PERFORMANCE, STAY_ON
from devices.adb.controls import Controls
from devices.adb.cooling import wait_until_cool
from devices.adb.fitness import obstacles
from devices.adb.journal import Journal
from devices.adb.phones import list_phones
from devices.adb.probe import probe, quick_conditions

pytestmark = pytest.mark.software_phone


@pytest.fixture
def phone(clean_phone):  # noqa: F811
    """The phone, cool and without settings changed."""
    return clean_phone


@pytest.fixture
def link(phone, own_adb):
    own_adb.attach(phone.address)
    yield own_adb.server.link(phone.address)
    own_adb.server.disconnect(phone.address)


def test_a_probe_is_one_round_trip_and_says_that_the_phone_is_simulated(phone, link):
    link.features  # noqa: B018  asked of the server once, before the count
    before = link.round_trips
    facts = probe(link)
    assert link.round_trips == before + 1
    assert facts.is_whole and facts.is_simulated and facts.serialno == phone.serial
    assert (facts.sdk, facts.abis, facts.uid, facts.root) == (33, ("x86_64",), 2000, False)
    assert sorted(cpu for one in facts.clusters for cpu in one.cpus) == sorted(phone.capacities)
    top = max(phone.capacities.values())
    assert facts.clusters[0].capacity == top
    assert facts.thermal.status == 0 and facts.thermal.hottest("skin").value_c == pytest.approx(COOL["skin"])
    assert facts.battery.level == 87 and facts.battery.temperature_c == 27.1
    assert facts.work_dir_executable is True and facts.free_bytes > 0 and facts.boot_id
    assert {"timeout", "sha256sum", "taskset", "setsid"} <= facts.has
    assert obstacles(facts) == ()


def test_what_the_phone_tells_moves_with_the_phone(phone, link):
    phone.set_thermal(2, {**COOL, "skin": 44.5}, cached_c=COOL)
    phone.set_battery(level=9, temperature_c=41.0, status=3, updates_stopped=False)
    phone.set_setting("low_power", "1")
    phone.set_screen(False)
    core = max(phone.capacities)
    phone.set_frequency_cap(core, phone.max_khz(core) // 2)
    facts = probe(link, with_exec_check=False)
    assert facts.thermal.hottest("skin").value_c == 44.5 and facts.screen_on is False
    assert {one.name for one in obstacles(facts)} == {"power save", "battery low", "hot", "clock capped", "screen off"}
    told = quick_conditions(link)
    assert told["thermal_status"] == 2 and told["temperatures_c"]["skin"] == 44.5
    assert told["capped_cpus"] == {f"cpu{core}": 0.5} and told["battery_percent"] == 9


def test_an_offline_core_and_an_old_phone(phone, link):
    known = probe(link, with_exec_check=False).clusters
    core = max(phone.capacities)
    phone.set_online([one for one in phone.capacities if one != core])
    phone.remove_service("thermalservice")
    facts = probe(link, with_exec_check=False, known=known)
    assert core not in facts.online_cpus and facts.clusters == known
    assert facts.thermal.status is None and facts.thermal.hal == () and facts.thermal.zones


def test_settings_are_changed_and_put_back(phone, link, tmp_path):
    with Controls(link, Journal(phone.serial, folder=tmp_path)) as controls:
        done = controls.apply([STAY_ON, FIXED_PERFORMANCE])
        assert [one.is_done for one in done] == [True, True], done
        assert int(phone.setting("stay_on_while_plugged_in")) > 0
        assert phone.fixed_performance == "true"
    assert phone.setting("stay_on_while_plugged_in") == "0"
    assert phone.fixed_performance == "false"
    assert Journal(phone.serial, folder=tmp_path).pending() == []


def test_cooling_waits_for_the_phone(phone, link):
    hot = {**COOL, "skin": 45.0}
    phone.set_thermal(1, hot)
    phone.play([(0.5, lambda: phone.set_thermal(0, COOL))])
    found = wait_until_cool(link, target_c=37.0, bound_s=60.0, interval_s=0.2)
    assert found.is_cool and len(found.readings) >= 2 and found.readings[0].temperature_c == 45.0
    phone.set_thermal(1, hot)
    assert wait_until_cool(link, bound_s=0.3, interval_s=0.1).outcome == "too hot"


STRAYS = """mkdir -p /data/local/tmp/mnas/batch
sleep 401 </dev/null >/dev/null 2>&1 &
sh -c 'trap "" HUP TERM; while :; do sleep 1; done' </dev/null >/dev/null 2>&1 &
setsid sh -c 'trap "" HUP; sleep 402 & wait' </dev/null >/dev/null 2>&1 &
(setsid nohup sleep 403 </dev/null >/dev/null 2>&1 &)
echo started"""


def test_strays_of_every_kind_are_ended_and_others_live(phone, link):
    assert "started" in link.run_script(STRAYS, deadline_s=20, token="ours").stdout
    assert "other" in link.run_script("sleep 409 </dev/null >/dev/null 2>&1 & echo other", deadline_s=20).stdout
    commands = {one.command for one in look_for_leftovers(link).found}
    assert {f"sleep {n}" for n in (401, 402)} <= commands and any("sleep 403" in one for one in commands)
    assert not any("sleep 409" in one for one in commands)
    assert kill_leftovers(link, token="our").found == ()
    found = kill_leftovers(link, token="ours", patience_s=0.6)
    assert len(found.found) >= 5 and found.is_clean, found
    assert look_for_leftovers(link).found == ()
    assert "409" in link.run_script("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '", deadline_s=20).stdout


def test_cleaning_leaves_nothing_of_ours(phone, link):
    link.push(b"x" * 9000, "/data/local/tmp/mnas/cache/model", deadline_s=20)
    link.push(b"theirs", "/data/local/tmp/theirs", deadline_s=20)
    done = tidy(link)
    assert done.is_removed and done.files == ("/data/local/tmp/mnas/cache/model",)
    assert [path.name for path in phone.work_folder.iterdir()] == ["theirs"]


def test_a_list_of_phones_leaves_no_trace(phone, link, own_adb, tmp_path):
    before = sorted(phone.work_folder.iterdir())
    (one,) = [row for row in list_phones(own_adb.server, folder=tmp_path) if row.serialno == phone.serial]
    assert one.facts.is_simulated and one.serial == phone.address
    assert sorted(phone.work_folder.iterdir()) == before
