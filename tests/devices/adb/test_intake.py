"""Which launches of a batch count: every job once, in order, whatever heat, caps, lost pins and cuts come between."""

from __future__ import annotations

from collections import deque

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
    for is_hot, left in ((False, 4), (True, 6)):
        queue, intake = _intake()
        intake.take(_ended(0))
        intake.take(_ended(1))
        assert len(intake.settle(is_hot)) == 6 - left == 6 - len(queue)


@given(st.lists(st.sampled_from(["ended", "cool", "hot", "capped", "gap", "cut"]), max_size=40))
def test_each_job_counts_once_and_in_order_over_any_course_of_batches(course: list[str]) -> None:
    queue, intake = _intake()
    index, counted = 0, list[Launched]()
    for step in course:
        if step in ("ended", "capped", "gap"):
            index += step == "gap"
            counted += intake.take(_ended(index, cap=500 if step == "capped" else 1_000))
            index += 1
        elif step in ("cool", "hot"):
            counted += intake.take(_COOL if step == "cool" else _HOT)
        if step in ("hot", "capped", "cut") or not queue:
            intake.take(Done())
            index, intake = 0, Intake(queue, "f0", _WATCH)
        if not queue:
            break
    assert [one.job for one in counted] + list(queue) == _JOBS
