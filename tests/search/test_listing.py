"""What a list says of studies: running only while somebody drives, and why one stopped."""

import json

import pytest

from mnas.errors import LutError
from search.driver import Driver
from search.listing import state_of, study_lines


def test_running_is_only_what_somebody_drives(store, make_study):
    study_id = make_study().study_id
    (line,) = study_lines(store)
    assert (line.status, line.driver, line.why, line.evaluations) == ("interrupted", None, "", 0)
    with Driver(store, study_id):
        (line,) = study_lines(store)
        assert line.status == "running" and line.driver["heartbeat_age_s"] < 60
        assert line.driver["process"].count(":") == 1
    store.execute("UPDATE study SET driver = 'elsewhere:1:5', heartbeat_s = 1")
    (line,) = study_lines(store)
    assert line.status == "interrupted", "its driver is on another machine and has not been heard of"


@pytest.mark.parametrize("error", [LutError("LUT02", "entries are missing", value="7"), KeyboardInterrupt()])
def test_a_study_that_stops_says_why(store, make_study, error):
    study_id = make_study().study_id
    with pytest.raises(type(error)), Driver(store, study_id):
        raise error
    (line,) = study_lines(store)
    assert line.status == "interrupted"
    assert ("LUT02" in line.why) if isinstance(error, LutError) else line.why == "interrupted by hand"
    with pytest.raises(ZeroDivisionError), Driver(store, study_id):
        raise ZeroDivisionError  # a defect is no reason
    assert study_lines(store)[0].why == line.why


def test_what_is_over_stays_so_whoever_drives():
    assert state_of("finished", "", 0) == "finished" and state_of("refused", "", 0) == "refused"


def test_failures_are_counted_and_newest_comes_first(store, make_study):
    first, second = make_study(), make_study(algorithm="random", seed=4)
    for number, status in enumerate(("done", "failed", "failed")):
        first.log.append("evaluated", {"status": status}, str(number))
    first.log.append("generation", {"evaluations": 3, "front": 1, "hypervolume": 0.5}, "0/3")
    lines = study_lines(store)
    assert [line.study_id for line in lines] == [second.study_id, first.study_id]
    assert [(line.algorithm, line.seed, line.failures, line.front) for line in lines] == [
        ("random", 4, 0, None),
        ("nsga2", 0, 2, 1),
    ]
    assert json.loads(json.dumps(lines[1].to_json()))["hypervolume"] == 0.5
