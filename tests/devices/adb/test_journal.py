"""The journal of changed settings: on the disk first, whole or passed over, gone when nothing is left."""

import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.adb.journal import Journal
from mnas.errors import StateError
from mnas.liveness import is_alive, process_token


def brief(journal):
    return [(one.setting, one.old, one.new) for one in journal.pending()]


def test_the_last_change_is_put_back_first(tmp_path):
    journal = Journal("S", folder=tmp_path)
    assert journal.pending() == []
    journal.record("stay_on", "0", "true")
    journal.record("governor", "policy0=walt", "performance")
    assert brief(journal) == [("governor", "policy0=walt", "performance"), ("stay_on", "0", "true")]
    assert journal.pending()[0].owner == process_token()
    journal.mark_restored("governor")
    assert brief(Journal("S", folder=tmp_path)) == [("stay_on", "0", "true")]
    journal.mark_restored("stay_on")
    assert not journal.path.exists() and journal.pending() == []


def test_the_first_old_value_counts_when_a_setting_was_changed_twice(tmp_path):
    journal = Journal("S", folder=tmp_path)
    journal.record("stay_on", "0", "true")
    journal.record("stay_on", "15", "true")
    assert brief(journal) == [("stay_on", "0", "true")]


def test_a_setting_changed_again_after_it_was_put_back_has_its_new_old_value(tmp_path):
    journal = Journal("S", folder=tmp_path)
    journal.record("screen", "on", "off")
    journal.record("stay_on", "0", "true")
    journal.mark_restored("stay_on")
    journal.record("stay_on", "3", "true")
    assert brief(journal) == [("stay_on", "3", "true"), ("screen", "on", "off")]


def test_each_phone_has_its_own(tmp_path):
    Journal("S", folder=tmp_path).record("stay_on", "0", "true")
    assert Journal("T", folder=tmp_path).pending() == []


@given(st.integers(0, 10_000), st.binary(max_size=40))
def test_a_line_cut_off_anywhere_hides_no_other(tmp_path_factory, place, rubbish):
    journal = Journal("S", folder=tmp_path_factory.mktemp("state"))
    journal.record("stay_on", "0", "true")
    whole = journal.path.read_bytes()
    journal.record("screen", "off", "on")
    both = journal.path.read_bytes()
    cut = len(whole) + place % (len(both) - len(whole))
    journal.path.write_bytes(both[:cut] + rubbish.replace(b"{", b""))
    assert ("stay_on", "0", "true") in brief(journal)
    journal.record("governor", "policy0=walt", "performance")
    assert ("governor", "policy0=walt", "performance") in brief(journal)


def test_a_change_is_on_the_disk_when_its_process_is_killed(tmp_path):
    text = """
import os, signal, sys
from pathlib import Path
from devices.adb.journal import Journal
Journal("S", folder=Path(sys.argv[1])).record("stay_on", "0", "true")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", text, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (change,) = Journal("S", folder=tmp_path).pending()
    assert (change.setting, change.old) == ("stay_on", "0")
    assert not is_alive(change.owner, 0.0)


def test_a_journal_that_cannot_be_written_is_an_error(tmp_path):
    journal = Journal("S", folder=tmp_path)
    journal.path.mkdir()
    with pytest.raises(StateError, match="ADB38"):
        journal.record("stay_on", "0", "true")
    os.rmdir(journal.path)
