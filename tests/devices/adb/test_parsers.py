"""Parsers on transcripts of many phones, whole, cut off at every place, denied and odd."""

from pathlib import Path

import pytest
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st

from devices.adb.parsers.battery import parse_battery
from devices.adb.parsers.cpus import Core, cpus_of_mask, fill_offline, find_clusters, mask_of, parse_cpu_list
from devices.adb.parsers.power import parse_flag, parse_power_save, parse_screen_on
from devices.adb.parsers.props import parse_props, serialno_of
from devices.adb.parsers.sections import split_sections
from devices.adb.parsers.storage import parse_df
from devices.adb.parsers.thermal import parse_thermal, parse_zones
from devices.adb.probe import describe_conditions, read_facts

FOLDER = Path(__file__).parent / "transcripts"
TRANSCRIPTS = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.txt"))}


def facts_of(name):
    return read_facts(split_sections(TRANSCRIPTS[name]))


CLUSTERS = {
    "pixel-8-android-15": ["big 8 1024", "middle 4-7 580", "little 0-3 160"],
    "galaxy-s24-android-14": ["big 9 1024", "middle 7-8 842", "middle 4-6 755", "little 0-3 289"],
    "galaxy-a52-android-12": ["big 6-7 1024", "little 0-5 376"],
    "xiaomi-13t-pro-android-15": ["big 7 1024", "middle 4-6 846", "little 0-3 321"],
    "pixel-2-android-8": ["big 4-7 None", "little 0-3 None"],
    "moto-g7-android-9": ["big 4-7 1024", "little 0-3 523"],
    "oneplus-6-android-11": ["big 4-7 1024", "little 0-3 384"],
    "denied-android-10": [],
    "emulator-android-13": [],
    "go-phone-android-8.1": ["big 0-3 1024"],
}


def shown(cluster):
    first, last = cluster.cpus[0], cluster.cpus[-1]
    span = str(first) if first == last else f"{first}-{last}"
    assert cluster.cpus == tuple(range(first, last + 1))
    return f"{cluster.name} {span} {cluster.capacity}"


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_clusters(name):
    assert [shown(one) for one in facts_of(name).clusters] == CLUSTERS[name]


PHONES = {
    # serialno, model, soc, Android, API, first ABI, free GB, uid
    "pixel-8-android-15": ("37251FDJH0004X", "Pixel 8", "Google Tensor G3", "15", 35, "arm64-v8a", 50, 2000),
    "galaxy-s24-android-14": ("RZCX10AB1CD", "SM-S921B", "Samsung s5e9945", "14", 34, "arm64-v8a", 126, 2000),
    "galaxy-a52-android-12": ("R5CR70ABCDE", "SM-A526B", "lito", "12", 31, "arm64-v8a", 31, 2000),
    "pixel-2-android-8": ("HT7AB1A01234", "Pixel 2", "msm8998", "8.0.0", 26, "arm64-v8a", 34, 2000),
    "moto-g7-android-9": ("ZY225ABCDE", "moto g(7) plus", "sdm660", "9", 28, "arm64-v8a", 42, 2000),
    "oneplus-6-android-11": ("a1b2c3d4", "ONEPLUS A6003", "sdm845", "11", 30, "arm64-v8a", 64, 0),
    "emulator-android-13": ("EMULATOR33X1X19X0", "sdk_gphone64_x86_64", "AOSP ranchu", "13", 33, "x86_64", 4, 2000),
    "go-phone-android-8.1": ("MBV0815G4711", "Nokia 1", "mt6735", "8.1.0", 27, "armeabi-v7a", 3, 2000),
}


@pytest.mark.parametrize("name", PHONES)
def test_who_a_phone_is(name):
    facts = facts_of(name)
    free = round(facts.free_bytes / 1e9 - 0.5)
    found = (facts.serialno, facts.model, facts.soc, facts.android_version, facts.sdk, facts.abis[0], free, facts.uid)
    assert found == PHONES[name]
    assert facts.root == (facts.uid == 0)
    assert not facts.is_simulated


HEAT = {
    # status, override, readings of the hardware layer, zones
    "pixel-8-android-15": (0, False, {"VIRTUAL-SKIN": 29.312, "battery": 27.1, "TPU": 30.2}, {"quiet_therm": 30.123}),
    "galaxy-s24-android-14": (1, False, {"SKIN": 41.2, "AP": 44.8}, {}),
    "galaxy-a52-android-12": (0, False, {"LRB": 24.7, "AP": 25.6}, {}),
    "xiaomi-13t-pro-android-15": (3, True, {"CPU": 57.9, "SKIN": 34.351}, {"cpu-big-core1#2": 55.21, "ap_ntc": 34.351}),
    "pixel-2-android-8": (None, False, {}, {"tsens_tz_sensor0": 33.1, "pm8998_tz": 29.0, "quiet_therm": 31.0}),
    "moto-g7-android-9": (None, False, {}, {"pm660_tz": 35.0, "cpu0": 36.0, "cpu4": 38.0}),
    "oneplus-6-android-11": (0, False, {"skin": 30.2}, {"skin-therm": 30.218}),
    "emulator-android-13": (0, False, {"test temperature sensor": 30.8}, {"battery": 25.0}),
    "go-phone-android-8.1": (None, False, {}, {"mtktscpu": 38.6, "mtktsbattery": 33.0}),
}


@pytest.mark.parametrize("name", HEAT)
def test_heat(name):
    thermal = facts_of(name).thermal
    status, override, hal, zones = HEAT[name]
    readings = {one.name: one.value_c for one in thermal.hal}
    assert (thermal.status, thermal.is_override) == (status, override)
    assert {one: readings.get(one) for one in hal} == hal
    assert {one: thermal.zones.get(one) for one in zones} == zones


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_nothing_that_is_no_temperature_is_taken_for_one(name):
    thermal = facts_of(name).thermal
    readings = {} if thermal is None else {**thermal.zones, **{one.name: one.value_c for one in thermal.hal}}
    strangers = {"SUBBAT", "USB", "vbat", "soc", "virtual", "GPU", "pmic_vbat", "ibat-high", "bms-batt-soc", "nrpa_ntc"}
    assert not strangers & set(readings)
    assert not {"xo_therm", "mtktspmic", "charger_skin_therm", "NOT-A-READING"} & set(readings)
    assert all(20 < value < 60 for value in readings.values())


BATTERIES = {
    # percent, degrees, status, frozen, charging
    "pixel-8-android-15": (87, 27.1, 2, False, True),
    "galaxy-s24-android-14": (75, 35.7, 2, False, True),
    "galaxy-a52-android-12": (100, 23.8, 5, False, True),
    "xiaomi-13t-pro-android-15": (12, 42.2, 3, False, False),
    "pixel-2-android-8": (91, 26.5, 4, False, False),
    "moto-g7-android-9": (1, 25.5, 3, True, False),
    "oneplus-6-android-11": (80, 31.2, 2, False, True),
    "emulator-android-13": (100, 25.0, 1, False, True),
}


@pytest.mark.parametrize("name", BATTERIES)
def test_batteries(name):
    one = facts_of(name).battery
    assert (one.level, one.temperature_c, one.status, one.updates_stopped, one.is_charging) == BATTERIES[name]


@pytest.mark.parametrize("name", ["denied-android-10", "go-phone-android-8.1"])
def test_a_battery_that_is_not_told_is_none(name):
    assert facts_of(name).battery is None


def test_power_and_screen():
    found = {name: (facts_of(name).power_save, facts_of(name).screen_on) for name in TRANSCRIPTS}
    assert found == {
        "pixel-8-android-15": (False, True),
        "galaxy-s24-android-14": (False, True),
        "galaxy-a52-android-12": (False, False),
        "xiaomi-13t-pro-android-15": (True, True),
        "pixel-2-android-8": (False, False),
        "moto-g7-android-9": (False, True),
        "oneplus-6-android-11": (False, True),
        "denied-android-10": (None, None),
        "emulator-android-13": (False, True),
        "go-phone-android-8.1": (None, None),
    }


def test_a_phone_that_denies_everything_is_all_unknown():
    facts = facts_of("denied-android-10")
    told = {name: getattr(facts, name) for name in facts.__dataclass_fields__}
    assert told.pop("has") == {"ps"}
    assert told.pop("possible_cpus") == (0, 1, 2, 3)
    assert told.pop("uid") == 2000 and told.pop("is_whole") and told.pop("is_booted")
    assert [name for name, value in told.items() if value] == []
    assert 0 not in [value for value in told.values() if not isinstance(value, bool)]
    assert describe_conditions(facts) == {}


def test_a_text_that_was_cut_off_says_so_and_drops_the_section_it_was_cut_in():
    facts = facts_of("go-phone-android-8.1")
    assert not facts.is_whole
    assert facts.thermal.status is None and facts.thermal.hal == ()
    assert facts.online_cpus == (0, 2, 3) and facts.cur_khz == {}


def test_caps_are_told_by_core():
    facts = facts_of("galaxy-s24-android-14")
    assert facts.capped_cpus == (7, 8, 9)
    assert facts.caps[9] == (2016000, 3207000)
    assert describe_conditions(facts)["capped_cpus"] == {"cpu7": 0.649, "cpu8": 0.649, "cpu9": 0.629}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_a_transcript_cut_anywhere_never_tells_another_value(name):
    """Whatever a cut leaves is either what the whole says or nothing: never a number that half a line gives."""
    text, whole = TRANSCRIPTS[name], facts_of(name)
    for place in range(0, len(text), 7):
        facts = read_facts(split_sections(text[:place]))
        assert facts.serialno in (whole.serialno, "")
        assert facts.free_bytes in (whole.free_bytes, None)
        assert facts.battery in (whole.battery, None)
        assert facts.possible_cpus in (whole.possible_cpus, ())
        assert facts.clusters in (whole.clusters, ())
        assert facts.boot_id in (whole.boot_id, "") or facts.boot_id.startswith("boottime-")
        assert facts.thermal is None or facts.thermal.status in (whole.thermal.status, None)


@fuzzed
@given(st.sampled_from(sorted(TRANSCRIPTS)), st.data())
def test_a_damaged_transcript_never_crashes(name, data):
    text = TRANSCRIPTS[name]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 200)))
    facts = read_facts(split_sections(text[:start] + data.draw(st.text(max_size=30)) + text[end:]))
    describe_conditions(facts)


@fuzzed
@given(st.text())
def test_no_text_crashes_a_parser(text):
    for parse in (parse_props, parse_battery, parse_df, parse_zones, parse_flag, parse_screen_on, parse_cpu_list):
        parse(text)
    parse_thermal(text, text)
    parse_power_save(text, text)


def test_properties_with_many_lines_and_brackets():
    props = parse_props("[a]: [1]\n[b]: [x\ny: [z]\n[c]: []\n[d]: [half")
    assert props == {"a": "1", "b": "x\ny: [z", "c": ""}


@pytest.mark.parametrize("serial", ["", "unknown", "0123456789ABCDEF", "0"])
def test_a_serial_that_is_everybodys_is_nobodys(serial):
    assert serialno_of({"ro.serialno": serial, "ro.boot.serialno": "REAL"}) == "REAL"
    assert serialno_of({"ro.serialno": serial}) == ""


@given(st.sets(st.integers(0, 63)))
def test_a_mask_holds_exactly_its_cores(cpus):
    assert set(cpus_of_mask(mask_of(cpus))) == cpus


def test_lists_of_cores():
    assert parse_cpu_list("0-3,6,8-9\n") == (0, 1, 2, 3, 6, 8, 9)
    assert parse_cpu_list("0 1 2") == (0, 1, 2)
    assert parse_cpu_list("") == parse_cpu_list("0-") == parse_cpu_list("a") == ()


def test_equal_capacities_tell_nothing_so_clocks_do():
    cores = [Core(n, 1024, 1_800_000 if n < 4 else 2_400_000) for n in range(8)]
    assert [(one.name, one.cpus) for one in find_clusters(cores)] == [("big", (4, 5, 6, 7)), ("little", (0, 1, 2, 3))]


def test_one_core_without_capacity_makes_all_be_told_apart_by_clock():
    cores = [Core(0, 400, 1_000), Core(1, None, 1_000), Core(2, 1024, 2_000)]
    assert [(one.name, one.cpus) for one in find_clusters(cores)] == [("big", (2,)), ("little", (0, 1))]


def test_an_offline_core_is_filled_from_its_like_but_never_guessed():
    online = {n: Core(n, 400, 1_000) for n in range(4)}
    alone = find_clusters(fill_offline(online, range(8)))
    assert [(one.name, one.cpus) for one in alone] == [("big", (0, 1, 2, 3))]
    before = find_clusters([*online.values(), *(Core(n, 1024, 2_000) for n in range(4, 8))])
    again = find_clusters(fill_offline(online, range(8), before))
    assert [(one.name, one.cpus) for one in again] == [("big", (4, 5, 6, 7)), ("little", (0, 1, 2, 3))]
    hole = {n: core for n, core in online.items() if n != 2}
    assert find_clusters(fill_offline(hole, range(4)))[0].cpus == (0, 1, 2, 3)


DF = {
    "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/x 100 40 60 40% /data\n": 60 << 10,
    "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/long\n 100 40 60 40% /data\n": 60 << 10,
    "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/x 100 40 60 40% /data\n": 60 << 10,
    "Filesystem               Size     Used     Free   Blksize\n/data    12.0G     6.3G     5.5G   4096\n": int(
        5.5 * 2**30
    ),
    "Filesystem Size Used Avail Use% Mounted on\n/dev/x 9.8G 1.0G 8.8G 11% /data\n": None,
    "df: /data/local/tmp: Permission denied\n": None,
    "": None,
}


@pytest.mark.parametrize("text", DF)
def test_room_in_every_form_of_df(text):
    assert parse_df(text) == DF[text]


def test_a_status_beyond_the_known_ones_is_unknown():
    assert parse_thermal("Thermal Status: 9\n", "").status is None
    assert parse_thermal("Thermal Status: 6\n", "").status == 6
    assert parse_thermal("Can't find service: thermalservice\n", "") is None
