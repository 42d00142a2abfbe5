"""Adb's own words and what they mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.adb.states import NEEDS_PERSON, PhoneState, not_usable, remedy_of, state_of

WORDS = {
    "device": PhoneState.READY,
    "offline": PhoneState.OFFLINE,
    "unauthorized": PhoneState.UNAUTHORIZED,
    "authorizing": PhoneState.CONNECTING,
    "connecting": PhoneState.CONNECTING,
    "no permissions (user in plugdev group; are your udev rules wrong?); see [http://developer.android.com/tools]": (
        PhoneState.NO_PERMISSION
    ),
    "no permissions": PhoneState.NO_PERMISSION,
    "no": PhoneState.NO_PERMISSION,
    "bootloader": PhoneState.OFFLINE,
    "recovery": PhoneState.OFFLINE,
    "sideload": PhoneState.OFFLINE,
    "rescue": PhoneState.OFFLINE,
    "host": PhoneState.OFFLINE,
    "no device": PhoneState.ABSENT,
    "": PhoneState.ABSENT,
}


@pytest.mark.parametrize("word", WORDS)
def test_each_word_of_adb_has_its_state(word):
    assert state_of(word) is WORDS[word]


@given(st.text())
def test_an_unknown_word_is_never_ready(word):
    assert (state_of(word) is PhoneState.READY) == (word.strip() == "device")


_UNUSABLE = {*NEEDS_PERSON, PhoneState.ABSENT, PhoneState.CONNECTING, PhoneState.OFFLINE, PhoneState.LOST}


@pytest.mark.parametrize("state", sorted({*_UNUSABLE, PhoneState.LEASED}))
def test_every_state_in_which_a_phone_cannot_be_used_has_a_remedy(state):
    assert len(remedy_of(state)) > 20


def test_remedies_are_exact_where_a_command_mends_it():
    assert "plugdev" in remedy_of(PhoneState.NO_PERMISSION)
    assert "fastboot reboot" in remedy_of(PhoneState.OFFLINE, "bootloader")
    assert "adb reboot" in remedy_of(PhoneState.OFFLINE, "recovery")
    assert "Allow USB debugging" in remedy_of(PhoneState.UNAUTHORIZED)
    assert remedy_of(PhoneState.READY) == ""


def test_the_error_names_state_word_and_remedy():
    error = not_usable("ABC", PhoneState.UNAUTHORIZED, "unauthorized")
    assert (error.code, error.exit_code) == ("ADB30", 4)
    assert "'unauthorized'" in str(error) and "Allow USB debugging" in str(error)
