"""Profiles from saved events: what counts as an operator's time, totals, traces, JSON."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.profiling.litert import read_litert_events
from devices.profiling.litert_library import DELEGATE_PROFILED_OPERATOR, OPERATOR, Event
from devices.profiling.ort import read_ort_profile
from devices.profiling.profile import LABEL, OpProfile, by_operator
from devices.profiling.raw import MAX_SPANS, RawEvent, RawProfile, RawRun, order_events, own_times, to_profile
from devices.profiling.trace import chrome_trace


def kernel(name: str, op: str, ts: int, dur: int, **more: Any) -> dict[str, Any]:
    """Return an event as onnxruntime 1.31 writes it."""
    args = {"op_name": op, "provider": "CPUExecutionProvider", "output_type_shape": [{"float": [1, 8]}], **more}
    return {
        "cat": "Node",
        "pid": 1,
        "tid": 1,
        "dur": dur,
        "ts": ts,
        "ph": "X",
        "name": f"{name}_kernel_time",
        "args": args,
    }


def session(name: str, ts: int, dur: int) -> dict[str, Any]:
    return {"cat": "Session", "pid": 1, "tid": 1, "dur": dur, "ts": ts, "ph": "X", "name": name, "args": {}}


TWO_RUNS = [
    session("model_loading_uri", 0, 50),
    session("session_initialization", 50, 40),
    {**kernel("a", "Conv", 100, 1), "name": "a_fence_before"},
    kernel("a", "Conv", 101, 10),
    {**kernel("a", "Conv", 112, 1), "name": "a_fence_after"},
    kernel("b", "Gemm", 120, 5),
    session("SequentialExecutor::Execute", 99, 29),
    session("model_run", 98, 32),
    kernel("a", "Conv", 201, 20),
    kernel("b", "Gemm", 225, 7),
    session("model_run", 200, 40),
]


def profile_of(runs: list[RawRun]) -> OpProfile:
    return to_profile(RawProfile("onnxruntime", "1", "nodes", tuple(runs), ("a note",)))


def test_onnxruntime_kernels_fall_to_their_inference_and_fences_do_not_count() -> None:
    runs = read_ort_profile(TWO_RUNS)
    assert [(run.start_us, run.duration_us) for run in runs] == [(98, 32), (200, 40)]
    assert [[(one.name, one.op, one.duration_us) for one in run.events] for run in runs] == [
        [("a", "Conv", 10), ("b", "Gemm", 5)],
        [("a", "Conv", 20), ("b", "Gemm", 7)],
    ]
    assert runs[0].events[0].detail == {"provider": "CPUExecutionProvider", "output_shapes": [[1, 8]]}
    assert read_ort_profile([]) == []


def test_means_minima_shares_and_coverage() -> None:
    profile = profile_of(read_ort_profile(TWO_RUNS))
    assert profile.total_ms == pytest.approx(0.036)
    first, second = profile.ops
    assert (first.place, first.name, first.op, first.calls) == (0, "a", "Conv", 1.0)
    assert (first.mean_ms, first.min_ms) == (pytest.approx(0.015), pytest.approx(0.010))
    assert (second.mean_ms, second.min_ms) == (pytest.approx(0.006), pytest.approx(0.005))
    assert first.share == pytest.approx(15 / 36)
    assert profile.coverage == pytest.approx(21 / 36)
    assert profile.notes == ("a note",)


def test_the_body_of_a_loop_does_not_count_twice() -> None:
    events = [
        kernel("inner", "Add", 12, 20),
        kernel("inner", "Add", 40, 20),
        kernel("loop", "Loop", 10, 60),
        kernel("after", "Relu", 75, 5),
        session("model_run", 0, 100),
    ]
    profile = profile_of(read_ort_profile(events))
    assert {one.name: (one.mean_ms * 1000, one.calls) for one in profile.ops} == {
        "loop": (pytest.approx(20), 1.0),
        "inner": (pytest.approx(40), 2.0),
        "after": (pytest.approx(5), 1.0),
    }
    assert profile.coverage == pytest.approx(0.65)


def test_of_two_equal_spans_the_later_noted_is_the_outer() -> None:
    inner, outer = RawEvent("inner", "Add", 5.0, 10.0), RawEvent("outer", "If", 5.0, 10.0)
    assert order_events([inner, outer]) == [outer, inner]
    assert own_times([outer, inner]) == [0.0, 10.0]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 30)), max_size=12))
def test_own_times_of_operators_side_by_side_are_their_times(gaps: list[tuple[int, int]]) -> None:
    now, events = 0, []
    for gap, duration in gaps:
        now += gap + 1
        events.append(RawEvent("x", "X", float(now), float(duration)))
        now += duration
    assert own_times(order_events(events)) == [event.duration_us for event in events]


def test_an_operator_that_runs_in_some_inferences_only_is_averaged_over_all() -> None:
    both = RawEvent("a", "A", 1.0, 4.0), RawEvent("b", "B", 6.0, 2.0)
    profile = profile_of([RawRun(0.0, 10.0, both), RawRun(20.0, 10.0, both[:1])])
    assert [(one.mean_ms, one.min_ms, one.calls) for one in profile.ops] == [
        (pytest.approx(0.004), 0.004, 1.0),
        (pytest.approx(0.001), 0.0, 0.5),
    ]


def test_no_operator_is_no_profile() -> None:
    with pytest.raises(ValueError, match="no operator"):
        profile_of([RawRun(0.0, 10.0, ())])
    with pytest.raises(ValueError, match="no operator"):
        profile_of([])


def test_adding_up_by_type_keeps_the_sum_and_sorts() -> None:
    events = tuple(RawEvent(f"n{place}", "BAC"[place % 3], place * 10.0, place + 1.0) for place in range(9))
    profile = profile_of([RawRun(0.0, 100.0, events)])
    groups = by_operator(profile)
    assert [one.op for one in groups] == ["C", "A", "B"]
    assert [one.detail["nodes"] for one in groups] == [3, 3, 3]
    assert sum(one.mean_ms for one in groups) == pytest.approx(sum(one.mean_ms for one in profile.ops))
    assert sum(one.share for one in groups) == pytest.approx(profile.coverage)


def litert_event(tag: bytes, kind: int, start: int, elapsed: int, node: int = 0, extra: int = 0) -> Event:
    return Event(tag=tag, kind=kind, start_us=start, elapsed_us=elapsed, node=node, extra=extra)


def test_xnnpacks_operators_are_laid_end_to_end_around_built_in_ones() -> None:
    """As LiteRT 2.3 notes them: XNNPACK's carry no start."""
    events = [
        litert_event(b"LiteRT::Run[buffer registration]", 1, 900, 50),
        litert_event(b"Invoke", 1, 1000, 100),
        litert_event(b"Convolution", DELEGATE_PROFILED_OPERATOR, 0, 30, 0),
        litert_event(b"Clamp", DELEGATE_PROFILED_OPERATOR, 0, 0, 1),
        litert_event(b"GATHER", OPERATOR, 1040, 10, 2),
        litert_event(b"Convolution", DELEGATE_PROFILED_OPERATOR, 0, 20, 0),
        litert_event(b"Invoke", 32, 0, 4294967296),
    ]
    run = read_litert_events(events, [("x", [(1,)]), ("y", [(1,)]), ("picked", [(1, 4)])])
    assert (run.start_us, run.duration_us) == (1000, 100)
    assert [(one.name, one.op, one.start_us, one.duration_us) for one in run.events] == [
        ("Convolution 0", "Convolution", 1000, 30),
        ("Clamp 1", "Clamp", 1030, 0),
        ("picked", "GATHER", 1040, 10),
        ("Convolution 1.0", "Convolution", 1050, 20),
    ]
    assert run.events[2].detail == {"output_shapes": [[1, 4]], "kernel": "built-in"}
    with pytest.raises(ValueError, match="no inference"):
        read_litert_events(events[:1], [])


def test_the_body_of_a_control_operator_lies_inside_it() -> None:
    events = [
        litert_event(b"Invoke", 1, 1000, 100),
        litert_event(b"WHILE", OPERATOR, 1000, 50, 0),
        litert_event(b"ADD", OPERATOR, 1010, 10, 0, extra=2),
        litert_event(b"Mul", DELEGATE_PROFILED_OPERATOR, 0, 10, 0),
    ]
    run = read_litert_events(events, [("loop", [(1,)])])
    assert [one.name for one in run.events] == ["loop", "ADD 0 of subgraph 2", "Mul 0"]
    assert own_times(run.events) == [30, 10, 10]


def check_trace(trace: dict[str, Any], profile: OpProfile) -> None:
    """Hold a trace to the format: strict JSON, times in order, operators within their inference, sums kept."""
    trace = json.loads(json.dumps(trace, allow_nan=False))
    spans = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert {event["ph"] for event in trace["traceEvents"]} == {"M", "X"}
    assert all({"name", "cat", "ts", "dur", "pid", "tid", "args"} <= set(event) for event in spans)
    assert all(event["ts"] >= 0 and event["dur"] >= 0 for event in spans)
    wholes = [event for event in spans if event["cat"] == "inference"]
    assert [event["args"]["inference"] for event in wholes] == list(range(len(wholes)))
    for before, after in itertools.pairwise(wholes):
        assert before["ts"] + before["dur"] <= after["ts"]
    assert sum(event["dur"] for event in wholes) / len(wholes) / 1000 == pytest.approx(profile.total_ms)
    for whole in wholes:
        inner = [one for one in spans if one["args"]["inference"] == whole["args"]["inference"] and one is not whole]
        assert inner
        assert [one["ts"] for one in inner] == sorted(one["ts"] for one in inner)
        assert all(whole["ts"] <= one["ts"] for one in inner)
        # A microsecond each, since some runtimes cut starts and durations off to whole ones.
        assert all(one["ts"] + one["dur"] <= whole["ts"] + whole["dur"] + 2 for one in inner)
    covered = sum(event["dur"] for event in spans if event["cat"] != "inference") / len(wholes) / 1000
    assert covered == pytest.approx(sum(one.mean_ms for one in profile.ops), rel=1e-6)


def test_a_trace_is_valid_and_says_what_it_is() -> None:
    profile = profile_of(read_ort_profile(TWO_RUNS))
    trace = chrome_trace(profile, "net.onnx")
    check_trace(trace, profile)
    names = [event["args"]["name"] for event in trace["traceEvents"] if event["ph"] == "M"]
    assert LABEL in names[0] and names[1] == "net.onnx"
    assert trace["traceEvents"][2]["ts"] == 0.0
    assert trace["otherData"]["label"] == LABEL


def test_a_long_trace_holds_whole_inferences_and_says_so() -> None:
    events = tuple(RawEvent(f"n{place}", "A", float(place), 1.0) for place in range(999))
    profile = profile_of([RawRun(number * 2000.0, 1000.0, events) for number in range(30)])
    assert len(profile.trace) == MAX_SPANS
    assert {span.run for span in profile.trace} == set(range(20))
    assert "first 20 of 30" in profile.notes[-1]


def test_profiles_survive_json() -> None:
    profile = profile_of(read_ort_profile(TWO_RUNS))
    document = json.loads(json.dumps(profile.to_json(), allow_nan=False))
    assert document["label"] == LABEL
    assert OpProfile.from_json(document) == profile
    raw = RawProfile("x", "1", "y", tuple(read_ort_profile(TWO_RUNS)), ("n",))
    assert RawProfile.from_json(json.loads(json.dumps(raw.to_json()))) == raw
