"""From visits to launches and back: what a visit asks of a runner, and what a launch says of a model."""

from __future__ import annotations

import math

from devices.adb.batch import STORAGE_LIMIT_BYTES
from devices.adb.intake import Job, Launched
from devices.measurement import Sample, SampleEvent, Statistic, Visit
from devices.runners.dialect import RunnerDialect
from devices.runners.launch import LaunchRequest, LaunchResult, failed_launch
from devices.trial import How, Trial

_RUNS_PER_DEADLINE = 10
_SIGNALS = range(129, 193)
_FILE_TOO_LARGE = 128 + 25
_RUNS_FILE = "runs.csv"
_PROFILE_GLOB = ".profile_*"


def job_of(
    model_path: str,
    runs: int,
    warmup: int,
    *,
    place: int,
    dialect: RunnerDialect,
    threads: int,
    delegate: str,
    deadline_s: float,
    per_op: bool = False,
    peak_memory: bool = False,
    allow_partial: bool = False,
) -> Job:
    """Return the launch for one model.

    Args:
        model_path: On the phone.
        runs: Timed inferences.
        warmup: Inferences before them.
        place: A number that no other job of the batch has.
        dialect: Of the runner.
        threads: Of the runtime.
        delegate: As in a device spec, "" for the runner's default.
        deadline_s: For up to ten runs; more have more time in proportion.
        per_op: Profile the operators.
        peak_memory: Watch the memory.
        allow_partial: Let the delegate take only parts of the model; a profile, which shows them, always does.
    """
    has_file = dialect.name == "ortperf"
    output = f"{place}-{_RUNS_FILE}" if has_file else ""
    request = LaunchRequest(
        model_path, runs, warmup, threads, delegate, per_op, output, per_op or allow_partial, peak_memory
    )
    whole_s = math.ceil(deadline_s * max(1.0, (runs + warmup) / _RUNS_PER_DEADLINE))
    return Job(request, whole_s, f"{output}{_PROFILE_GLOB}" if has_file and per_op else output)


def result_of(launched: Launched, dialect: RunnerDialect) -> LaunchResult:
    """Return what a launch gave, with the error that it is when the launch was killed."""
    ended, job = launched.ended, launched.job
    if ended is None:
        return failed_launch(launched.error)
    if ended.is_hung(job.deadline_s):
        return failed_launch(f"hung: killed after {job.deadline_s} s")
    if ended.rc == _FILE_TOO_LARGE:
        return failed_launch(
            f"the runner printed more than a runner has to say, or wrote {STORAGE_LIMIT_BYTES >> 20} MiB into one file "
            "or shared memory and was killed"
        )
    return dialect.read(job.request, ended.rc, ended.stdout, ended.stderr, ended.output)


def event_of(visit: Visit, launched: Launched, dialect: RunnerDialect) -> SampleEvent:
    """Return what a visit gave: one aggregate of a launch, or each run where the runner tells them."""
    result = result_of(launched, dialect)
    if result.error or not result.samples_ms:
        return SampleEvent(visit, (), error=result.error or "the runner gave no number")
    each = result.runs if result.statistic != "run" else 1
    warm_each = visit.warmup if len(result.warmup_ms) == 1 and visit.warmup > 1 else 1
    warm: Statistic = "launch_mean" if warm_each > 1 else "run"
    return SampleEvent(
        visit,
        tuple(Sample(value, each, result.statistic) for value in result.samples_ms),
        tuple(Sample(value, warm_each, warm) for value in result.warmup_ms),
    )


def trial_of(launched: Launched, dialect: RunnerDialect) -> Trial:
    """Return what a launch of one run says; a phone's runners tell nothing of a model's outputs."""
    result = result_of(launched, dialect)
    if result.error or not result.samples_ms:
        return Trial(_how(launched), result.error or "the runner gave no number", notes=result.notes)
    first_ms = result.first_ms if result.first_ms is not None else result.samples_ms[0]
    return Trial(
        "ok",
        load_ms=result.init_ms,
        first_run_ms=first_ms,
        peak_memory_bytes=result.peak_memory_bytes,
        notes=result.notes,
    )


def _how(launched: Launched) -> How:
    ended = launched.ended
    if ended is None or ended.rc in _SIGNALS:
        is_hung = ended is not None and ended.is_hung(launched.job.deadline_s)
        return "hung" if is_hung else "crashed"
    return "hung" if ended.is_hung(launched.job.deadline_s) else "refused"
