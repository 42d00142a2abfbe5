"""Which launches of a batch count: every job once, in order, whatever heat, caps, lost pins and cuts come between."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.adb.batch import Watch
from devices.adb.batch_events import Done, Ended, Heat, Reading, Stopped
from devices.adb.intake import Intake, Job, Launched
from devices.runners.launch import LaunchRequest

_JOBS = [Job(LaunchRequest(f"/m{number}", 1, 0, 1, "none"), 10) for number in range(6)]
_WATCH = Watch(("max",), (1_000,), ("cur",), reads_heat=True)
_COOL, _HOT = (Heat(1.0, f"IsStatusOverride: false\nThermal Status: {status}\n") for status in (0, 2))


def _ended(index: int, cap: int = 1_000, mask: str = "f0", clock: int = 900) -> Ended:
    reading = Reading(1.0, (cap,), (clock,))
    return Ended(index, 0, mask, f"output {index}", "", "", reading, reading)


def _intake(watch: Watch = _WATCH) -> tuple[deque[Job], Intake]:
    queue = deque(_JOBS)
    return queue, Intake(queue, "f0", watch)


def test_a_launch_counts_once_the_phone_said_that_it_is_cool() -> None:
    queue, intake = _intake()
    assert intake.take(_ended(0)) == intake.take(_ended(1)) == [] and intake.is_waiting
    counted = intake.take(_COOL)
    assert [one.job for one in counted] == _JOBS[:2] and list(queue) == _JOBS[2:]
    assert not intake.is_waiting and intake.next_job == _JOBS[2] and intake.lowest_khz == 900


def test_without_a_thermal_service_it_counts_at_once() -> None:
    _, intake = _intake(Watch())
    assert [one.job for one in intake.take(_ended(0))] == [_JOBS[0]]


def test_launches_before_a_hot_word_are_made_again() -> None:
    queue, intake = _intake()
    intake.take(_ended(0))
    intake.take(_COOL)
    assert intake.take(_ended(1)) == intake.take(_ended(2)) == intake.take(_HOT) == []
    intake.take(Stopped("hot"))
    assert list(queue) == _JOBS[1:] and intake.rejected.hot == 2 and intake.stopped == "hot"


_UNTOLD = [Heat(1.0, text) for text in ("", "Thermal Sta", "IsStatusOverride: true\nThermal Status: 0\n")]


@pytest.mark.parametrize("untold", _UNTOLD)
def test_launches_before_a_word_that_tells_nothing_are_made_again(untold: Heat) -> None:
    queue, intake = _intake(replace(_WATCH, insists=True))
    intake.take(_ended(0))
    intake.take(_COOL)
    assert intake.take(_ended(1)) == intake.take(untold) == []
    intake.take(Stopped("unread"))
    assert list(queue) == _JOBS[1:] and intake.rejected.unread == 1 and intake.is_unread
    assert intake.thermal is not None and intake.thermal.status == 0


@pytest.mark.parametrize("untold", _UNTOLD)
def test_where_it_does_not_insist_they_count_and_say_so(untold: Heat) -> None:
    queue, intake = _intake()
    intake.take(_ended(0))
    assert [(one.is_unread, one.is_hot) for one in intake.take(untold)] == [(True, False)] and intake.is_unread
    intake.take(_ended(1))
    assert [one.is_unread for one in intake.take(_COOL)] == [False] and not intake.is_unread
    assert list(queue) == _JOBS[2:] and intake.rejected.unread == 0


def test_the_first_reason_to_stop_stands() -> None:
    _, intake = _intake()
    intake.take(_ended(0, cap=500))
    intake.take(Stopped("capped"))
    intake.take(_UNTOLD[0])
    intake.take(Stopped("unread"))
    assert intake.stopped == "capped"


def test_when_nobody_waits_any_more_they_count_and_say_so() -> None:
    queue, intake = _intake(Watch(("max",), (1_000,), reads_heat=True, stops=False))
    intake.take(_ended(0, cap=500))
    intake.take(_ended(1))
    assert [one.is_hot for one in intake.take(_HOT)] == [True, True]
    intake.take(_ended(2, cap=500))
    intake.take(_ended(3))
    assert [one.is_hot for one in intake.take(_COOL)] == [True, False] and len(queue) == 2


def test_a_capped_or_unpinned_launch_and_all_after_it_are_made_again() -> None:
    for bad, name in ((_ended(1, cap=999), "capped"), (_ended(1, mask="f"), "unpinned")):
        queue, intake = _intake()
        intake.take(_ended(0))
        intake.take(bad)
        intake.take(_ended(2))
        assert [one.job for one in intake.take(_COOL)] == _JOBS[:1] and list(queue) == _JOBS[1:]
        assert getattr(intake.rejected, name) == 1


def test_what_is_held_at_a_cut_is_settled_by_how_hot_the_phone_is_then() -> None:
    for is_hot, is_unread, left in ((False, False, 4), (True, False, 6), (False, True, 6)):
        queue, intake = _intake(replace(_WATCH, insists=True))
        intake.take(_ended(0))
        intake.take(_ended(1))
        assert len(intake.settle(is_hot, is_unread)) == 6 - left == 6 - len(queue)


@given(st.lists(st.sampled_from(["ended", "cool", "hot", "untold", "capped", "gap", "cut"]), max_size=40))
def test_each_job_counts_once_and_in_order_over_any_course_of_batches(course: list[str]) -> None:
    watch = replace(_WATCH, insists=True)
    queue, intake = _intake(watch)
    index, counted = 0, list[Launched]()
    for step in course:
        if step in ("ended", "capped", "gap"):
            index += step == "gap"
            counted += intake.take(_ended(index, cap=500 if step == "capped" else 1_000))
            index += 1
        elif step in ("cool", "hot", "untold"):
            counted += intake.take({"cool": _COOL, "hot": _HOT, "untold": _UNTOLD[0]}[step])
        if step in ("hot", "untold", "capped", "cut") or not queue:
            intake.take(Done())
            index, intake = 0, Intake(queue, "f0", watch)
        if not queue:
            break
    assert [one.job for one in counted] + list(queue) == _JOBS
