"""The event log: append-only, once per kind and key, safe with several writers."""

import sqlite3
import subprocess
import sys

import pytest

from mnas.errors import StoreError
from search.events import EventLog


@pytest.fixture
def log(make_study):
    return make_study().log


def test_events_come_back_in_the_order_in_which_they_were_recorded(log):
    for key, value in (("b", 2), ("a", 1), ("c", 3)):
        log.append("evaluated", {"value": value, "text": "Grün <&> \n"}, key)
    log.append("goal", {"target_ms": 0.1})
    found = log.payloads("evaluated")
    assert list(found) == ["b", "a", "c"]
    assert found["a"] == {"value": 1, "text": "Grün <&> \n"}
    assert log.payload("goal") == {"target_ms": 0.1}
    assert log.payload("goal", "other") is None and log.payloads("never") == {}
    history = log.history()
    assert [(event["sequence"], event["kind"], event["key"]) for event in history] == [
        (1, "evaluated", "b"),
        (2, "evaluated", "a"),
        (3, "evaluated", "c"),
        (4, "goal", ""),
    ]


def test_the_first_record_of_a_kind_and_key_stands(log):
    log.append("goal", {"value": 1})
    log.append("goal", {"value": 2})
    log.append("goal", {"value": 3}, "another key")
    log.append("lut", {"value": 4})
    assert (log.payload("goal"), log.payload("goal", "another key")) == ({"value": 1}, {"value": 3})
    assert [event["sequence"] for event in log.history()] == [1, 2, 3]


def test_studies_do_not_see_each_other(make_study):
    one, other = make_study().log, make_study().log
    one.append("goal", {"value": 1})
    other.append("goal", {"value": 2})
    assert (one.payload("goal"), other.payload("goal")) == ({"value": 1}, {"value": 2})
    assert len(one.history()) == len(other.history()) == 1


@pytest.mark.parametrize("statement", ["UPDATE event SET payload_json = '{}'", "DELETE FROM event"])
def test_events_can_be_neither_changed_nor_removed(store, log, statement):
    log.append("goal", {"value": 1})
    with pytest.raises((sqlite3.IntegrityError, StoreError), match="append-only"):
        store.execute(statement)
    assert log.payload("goal") == {"value": 1}


def test_an_event_of_no_study_is_refused(store):
    with pytest.raises((sqlite3.IntegrityError, StoreError), match="FOREIGN KEY"):
        EventLog(store, "study that is not").append("goal", {})


_WRITER = """
import sys
from pathlib import Path
from mnas.store import Store
from search.events import EventLog
from search.schema import SEARCH

with Store(Path(sys.argv[1]), (SEARCH,)) as store:
    log = EventLog(store, sys.argv[2])
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(120):
        log.append("own", {"number": number}, f"{sys.argv[3]}/{number}")
        log.append("shared", {"number": number}, str(number))
"""


def test_two_processes_lose_nothing_and_double_nothing(store, log):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(store.path), log.study_id, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    try:
        assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 2
        for writer in writers:
            writer.stdin.write("go\n")
            writer.stdin.flush()
        for writer in writers:
            writer.communicate()
        assert [writer.returncode for writer in writers] == [0, 0]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert [event["sequence"] for event in log.history()] == list(range(1, 361))
    assert set(log.payloads("own")) == {f"{name}/{n}" for name in ("one", "two") for n in range(120)}
    assert log.payloads("shared") == {str(n): {"number": n} for n in range(120)}
