"""Launches that fail: made again twice at most, each job once and in order, whatever fails and whenever it ends."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from runner_programs import transcript

from devices.adb.batch_events import Ended, Reading
from devices.adb.intake import Job, Launched
from devices.adb.repeats import REPEATS_PER_JOB, Doubtful, Sequel
from devices.runners.dialect import dialect_of
from devices.runners.launch import LaunchRequest

_NOW = Reading(1.0)
_GOOD, _TOLD = transcript("tflite_2026.out"), transcript("tflite_2026.err")
_HUNG, _GONE = "hung", "gone"


def job_of(model: int, *, per_op: bool = False) -> Job:
    return Job(LaunchRequest(f"/m{model}", 50, 5, 1, "xnnpack", per_op), 10)


def ended(job: Job, what: str) -> Launched:
    """A launch that is ``good``, that crashed, miscounted, hung, or took the phone down."""
    if what == _GONE:
        return Launched(job, None, "the phone restarted 2 times while this model ran")
    if what == _HUNG:
        return Launched(job, Ended(0, 137, "f", "", "", "", Reading(0.0), Reading(11.0)))
    text = _GOOD.replace("count=50", "count=49") if what == "miscounted" else _GOOD
    return Launched(job, Ended(0, 139 if what == "crashed" else 0, "f", text, _TOLD, "", _NOW, _NOW))


def played(jobs: list[Job], outcome, doubtful: Doubtful | None = None, cut_after: int = 10_000):
    """Return (place, launch) of what is given out, and how often each job was made; the link is lost after so many."""
    sequel, given_out, made = Sequel(jobs, doubtful or Doubtful(dialect_of("tflite"))), [], [0] * len(jobs)
    numbers = {id(job): place for place, job in enumerate(jobs)}
    left = itertools.count(cut_after, -1)
    while turn := sequel.next_jobs():
        for job in turn:
            if next(left) == 0:
                given_out += sequel.rest()
                return given_out, made, sequel
            place = numbers[id(job)]
            given_out += sequel.take(ended(job, outcome(place, made[place])))
            made[place] += 1
    return given_out, made, sequel


_OUTCOMES = st.lists(
    st.lists(st.sampled_from(["good", "crashed", "miscounted", _HUNG, _GONE]), min_size=3, max_size=3), max_size=12
)


def wanted(tries: list[str]) -> int:
    """How often a job is made whose launches end so: until the first that is good or not to be made again."""
    return next((n for n, one in enumerate(tries, 1) if one in ("good", _HUNG, _GONE)), 1 + REPEATS_PER_JOB)


@given(_OUTCOMES)
def test_each_job_has_one_result_in_order_and_failures_are_repeated_twice_at_most(plan: list[list[str]]) -> None:
    jobs = [job_of(place) for place in range(len(plan))]
    given_out, made, sequel = played(jobs, lambda place, try_: plan[place][try_])
    assert [one.job for one in given_out] == jobs and all(
        a is b for a, b in zip((one.job for one in given_out), jobs, strict=True)
    )
    assert made == [wanted(tries) for tries in plan] and sequel.repeated == sum(made) - len(jobs)
    for one, tries, count in zip(given_out, plan, made, strict=True):
        assert one == ended(one.job, tries[count - 1]), "the last one is what counts"


@given(_OUTCOMES, st.integers(0, 40))
def test_when_the_phone_is_lost_what_is_known_is_given_out_once_and_in_order(
    plan: list[list[str]], cut_after: int
) -> None:
    jobs = [job_of(place) for place in range(len(plan))]
    given_out, made, _ = played(jobs, lambda place, try_: plan[place][try_], cut_after=cut_after)
    known = sum(1 for count in made if count)
    assert [one.job.request.model_path for one in given_out] == [f"/m{place}" for place in range(known)]


def test_a_model_whose_repeats_were_in_vain_gets_none_until_it_runs_again() -> None:
    doubtful, job = Doubtful(dialect_of("tflite")), [job_of(0)]
    crash, good = (lambda place, try_: "crashed"), (lambda place, try_: "good")
    assert [played(job, one, doubtful)[1] for one in (crash, crash, good, crash)] == [[3], [1], [1], [3]]
    assert played([job_of(1)], crash, doubtful)[1] == [3], "another model has its own"


def test_a_profile_that_was_written_is_no_failure_though_it_has_no_runs() -> None:
    doubtful = Doubtful(dialect_of("ortperf"))
    assert played([job_of(0, per_op=True)], lambda place, try_: "good", doubtful)[1] == [1]
    assert played([job_of(0, per_op=True)], lambda place, try_: "crashed", doubtful)[1] == [3]
