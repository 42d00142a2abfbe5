"""Settings: journalled, set, read back, put back, whatever goes wrong between."""

import pytest
from local_phone import LocalPhone

from devices.adb.control_list import FIXED_PERFORMANCE, STAY_ON
from devices.adb.controls import Controls
from devices.adb.journal import Journal
from mnas.errors import DeviceError

STAY = "settings.global.stay_on_while_plugged_in"


@pytest.fixture
def phone(tmp_path):
    return LocalPhone(tmp_path / "phone")


@pytest.fixture
def journal(tmp_path):
    return Journal("S", folder=tmp_path / "state")


def controls_of(phone, journal, warnings=None):
    return Controls(phone, journal, warn=(warnings if warnings is not None else []).append)


def by_name(outcomes):
    return {one.name: one for one in outcomes}


@pytest.mark.parametrize("old", ["0\n", None, "3\n"])
def test_stay_on_is_set_and_put_back_to_what_it_was(phone, journal, old):
    if old is not None:
        phone.write(STAY, old)
    with controls_of(phone, journal) as controls:
        (outcome,) = controls.apply([STAY_ON])
        assert outcome.is_done
        assert int(phone.read(STAY)) > 0
        changed = old != "3\n"
        assert [one.old for one in journal.pending()] == ([(old or "null").strip()] if changed else [])
    assert phone.read(STAY) == (old or "")
    assert journal.pending() == [] and not journal.path.exists()


def test_all_settings_cost_two_round_trips_and_putting_back_one(phone, journal):
    controls = controls_of(phone, journal)
    outcomes = by_name(controls.apply([STAY_ON, FIXED_PERFORMANCE]))
    assert phone.round_trips == 2
    assert all(one.is_done for one in outcomes.values())
    assert outcomes["fixed_performance"].note == "cannot be read back"
    assert {one.name for one in controls.restore()} == {"stay_on", "fixed_performance"}
    assert phone.round_trips == 3
    assert phone.read("fixed-performance") == "false\n"
    assert controls.restore() == () and phone.round_trips == 3


def test_the_journal_is_written_before_the_phone_is_asked_to_change(phone, journal):
    seen = []
    phone.before = lambda: seen.append([one.setting for one in journal.pending()])
    controls_of(phone, journal).apply([STAY_ON, FIXED_PERFORMANCE])
    assert seen == [[], ["fixed_performance", "stay_on"]]


@pytest.mark.parametrize(
    ("says", "code"),
    [
        ("Failed to set FIXED_PERFORMANCE mode\nThis is likely because Power HAL AIDL is not implemented", "255"),
        ("No shell command implementation.", "0"),
        ("Unknown command: set-fixed-performance-mode-enabled", "255"),
        ("", "1"),
    ],
)
def test_a_phone_without_fixed_performance_is_told_not_raised(phone, journal, says, code):
    phone.write("cmd-says", says)
    phone.write("cmd-rc", code)
    (outcome,) = controls_of(phone, journal).apply([FIXED_PERFORMANCE])
    assert not outcome.is_done
    assert outcome.note == (" ".join(says.split()) or "refused")


def test_a_setting_that_does_not_take_is_seen_by_reading_back(phone, journal):
    phone.write("settings-denied", "")
    phone.write(STAY, "0\n")
    (outcome,) = controls_of(phone, journal).apply([STAY_ON])
    assert not outcome.is_done and outcome.now == "0"
    assert "Security exception" in outcome.note


def test_a_setting_whose_old_value_is_not_told_is_left_alone(phone, journal):
    phone.write(STAY, "Security exception: not allowed\n")
    (outcome,) = controls_of(phone, journal).apply([STAY_ON])
    assert not outcome.is_done and "cannot be read: Security exception" in outcome.note
    assert journal.pending() == [] and phone.read(STAY).startswith("Security") and phone.round_trips == 1


def test_ctrl_c_puts_everything_back(phone, journal):
    phone.write(STAY, "0\n")
    with pytest.raises(KeyboardInterrupt), controls_of(phone, journal) as controls:
        controls.apply([STAY_ON])
        raise KeyboardInterrupt
    assert phone.read(STAY) == "0\n"


def test_a_lost_phone_keeps_the_journal_and_the_next_start_puts_back(phone, journal):
    phone.write(STAY, "0\n")
    warnings = []
    with pytest.raises(RuntimeError, match="in the block"), controls_of(phone, journal, warnings) as controls:
        controls.apply([STAY_ON])
        phone.lost, phone.cut = True, 0
        raise RuntimeError("in the block")
    assert len(warnings) == 1 and "the journal keeps them" in warnings[0]
    phone.lost, phone.cut = False, None
    phone.write(STAY, "15\n")
    later = Journal("S", folder=journal.path.parent.parent.parent)
    (outcome,) = controls_of(phone, later).restore()
    assert (outcome.name, outcome.old, outcome.now, outcome.is_done) == ("stay_on", "0", "0", True)
    assert phone.read(STAY) == "0\n" and later.pending() == []


def test_a_link_lost_while_setting_raises_and_is_put_back_later(phone, journal):
    phone.write(STAY, "0\n")
    phone.before = lambda: setattr(phone, "lost", phone.round_trips == 2)
    phone.cut = 5
    with pytest.raises(DeviceError, match="ADB32"), controls_of(phone, journal) as controls:
        controls.apply([STAY_ON])
    # The command itself ran though its answer was lost: only the journal knew.
    assert phone.read(STAY) == "0\n" and journal.pending() == []


def test_what_cannot_be_put_back_stays_in_the_journal_and_is_told(phone, journal):
    phone.write(STAY, "0\n")
    warnings = []
    with controls_of(phone, journal, warnings) as controls:
        controls.apply([STAY_ON, FIXED_PERFORMANCE])
        phone.write("settings-denied", "")
    assert [one.setting for one in journal.pending()] == ["stay_on"]
    assert len(warnings) == 1 and "'stay_on' could not be put back to '0'" in warnings[0]


def test_a_crash_before_the_change_is_put_back_without_harm(phone, journal):
    phone.write(STAY, "0\n")
    journal.record("stay_on", "0", "true")
    (outcome,) = controls_of(phone, journal).restore()
    assert outcome.is_done and phone.read(STAY) == "0\n" and journal.pending() == []


@pytest.mark.parametrize("old", ["", "1; touch /tmp/broken", "Security exception"])
def test_a_journal_with_a_value_that_is_none_is_not_given_to_the_phone(phone, journal, old):
    journal.record("stay_on", old, "true")
    (outcome,) = controls_of(phone, journal).restore()
    assert not outcome.is_done and phone.round_trips == 0
    assert len(journal.pending()) == 1
