"""When a search ends: by evaluations, time, time of devices, or a flat hypervolume, over any number of sittings."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.testing import made_up_table
from mnas.budget import parse_budget
from search.events import EventLog
from search.goal import set_goal
from search.ranking import Ranking
from search.stopping import SITTING, Stopping, used_s
from search.study import Study
from search.testing import MadeUpTraining


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def log(store, make_study):
    return EventLog(store, make_study().study_id)


def at(second):
    return datetime.fromtimestamp(second, UTC).isoformat(timespec="seconds")


@given(sittings=st.lists(st.lists(st.integers(0, 500), max_size=6), max_size=5), gaps=st.integers(0, 10**6))
def test_used_is_each_sitting_from_its_beginning_to_its_last_work(sittings, gaps):
    """However long nobody drove, and whatever other events stand between."""
    now, history, expected = 1_000_000, [], 0
    for steps in sittings:
        now += gaps
        history += [{"kind": "notice", "at_utc": at(now)}, {"kind": SITTING, "at_utc": at(now)}]
        for step in steps:
            now += step
            history.append({"kind": "evaluated", "at_utc": at(now)})
        expected += sum(steps)
    assert used_s(history) == expected


def test_time_counts_from_the_first_evaluation_and_goes_on_over_sittings(log):
    clock = Clock()
    stopping = Stopping(log, parse_budget("60s"), 0, clock)
    clock.now += 1000  # an algorithm that is run anew
    assert stopping.reason(0, 0.0) == ""
    stopping.begin(0)
    clock.now += 59
    assert stopping.reason(8, 0.0) == "" and stopping.left_s(8, 0.0) == pytest.approx(1)
    clock.now += 1
    assert "60 s" in stopping.reason(8, 0.0)
    assert [event["kind"] for event in log.history()] == [SITTING]


def test_what_is_recorded_is_never_left_out_for_want_of_time(log):
    for number in range(3):
        log.append("evaluated", {}, str(number))
    clock = Clock()
    stopping = Stopping(log, parse_budget("1s"), 0, clock)
    stopping.begin(0)
    clock.now += 5
    assert [bool(stopping.reason(done, 0.0)) for done in range(5)] == [False, False, False, True, True]


def test_an_end_that_is_recorded_is_the_end_again_whatever_the_clock_says(log):
    limits = parse_budget("1s")
    stopping = Stopping(log, limits, 0)
    stopping.over(4, "the budget of 1 s is used up")
    again = Stopping(log, limits, 0)
    assert again.reason(4, 0.0) == "the budget of 1 s is used up"
    assert again.reason(3, 0.0) == "" and Stopping(log, parse_budget("2s"), 0).reason(4, 0.0) == ""


def test_evaluations_and_time_of_devices_end_it_whichever_comes_first(log):
    stopping = Stopping(log, parse_budget("10,1m-device"), 0)
    assert (stopping.room(0), stopping.room(7), stopping.room(12)) == (10, 3, 0)
    assert stopping.reason(9, 59.9) == ""
    assert "of devices" in stopping.reason(9, 60.0) and "10 evaluations" in stopping.reason(10, 0.0)


@pytest.mark.parametrize("gain", [0.0, 1e-9])
def test_a_flat_hypervolume_ends_it_and_rounding_is_no_gain(log, gain):
    stopping = Stopping(log, parse_budget("1000"), 3)
    for volume in (0.5, 0.6, 0.6 + gain, 0.6 + 2 * gain):
        stopping.note(volume)
        assert stopping.reason(8, 0.0) == ""
    stopping.note(0.6 + 3 * gain)
    assert "3 generations" in stopping.reason(8, 0.0)


def test_a_gain_begins_the_count_anew(log):
    stopping = Stopping(log, parse_budget("1000"), 2)
    for volume in (0.5, 0.5, 0.51, 0.51):
        stopping.note(volume)
    assert stopping.reason(8, 0.0) == ""


def test_what_is_left_is_told_by_the_rate_of_this_sitting(log):
    clock = Clock()
    stopping = Stopping(log, parse_budget("30"), 0, clock)
    assert stopping.left_s(0, 0.0) is None
    stopping.begin(10)
    clock.now += 20
    assert stopping.left_s(20, 0.0) == pytest.approx(20)


def test_a_search_ends_by_time_of_devices_and_replays_to_the_same(make_study):
    """Each made-up training takes half a second of CPU, as the log says; so four generations of four come to 8 s."""
    context = make_study(MadeUpTraining(stop_after=9), budget="7500s,8s-device", population=4)
    table = made_up_table(context.space)
    goal = set_goal(context.space, table, None, context.config.seed, 10)
    with pytest.raises(KeyboardInterrupt):
        Ranking(context, table, goal).run()
    again = make_study(study=Study(context.store, context.study_id, context.config))
    found = Ranking(again, table, goal).run()
    assert sum(one.cost_s for one in found) == pytest.approx(8.0)
    assert len(found) == 16 and len(again.executor.trained) == 7
    whole = make_study(budget=16, population=4)
    assert [one.to_json() for one in Ranking(whole, table, goal).run()] == [one.to_json() for one in found]
    assert list(again.log.payloads("sitting")) == ["0", "1"]
    (end,) = again.log.payloads("search over").values()
    assert "of devices" in end["why"] and end["evaluations"] == 16
    last = again.reporter.lines[-2]
    assert "16 evaluations" in last and "best under T" in last and "left" in last
