"""`onnxruntime_perf_test`: its rows are the runs, and what it prints must agree with them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runner_programs import transcript

from devices.runners.launch import LaunchRequest
from devices.runners.ort_perf_test import OrtPerfTest
from mnas.errors import ConfigError, DeviceError

REQUEST = LaunchRequest("/c/m.onnx", runs=5, warmup=2, threads=1, delegate="none", output_path="/b/out.csv")
OUT, ROWS, NNAPI = (transcript(f"ort_2026{end}") for end in (".out", ".csv", "_nnapi.err"))


def read(stdout=OUT, stderr="", rows=ROWS, rc=0, **changes):
    return OrtPerfTest().read(replace(REQUEST, **changes), rc, stdout, stderr, rows)


def failed(result):
    assert result.error
    assert result.samples_ms == ()
    assert result.statistic == "run"
    return result.error


def test_the_second_of_two_times_is_the_run():
    result = read()
    assert result.error == ""
    assert result.samples_ms == pytest.approx((10.2, 10.1, 10.0, 9.9, 9.8))
    assert result.statistic == "run"
    assert result.warmup_ms == pytest.approx((196.0, 10.5))
    assert (result.init_ms, result.first_ms) == (217.932, 196.0)
    assert result.peak_memory_bytes == 271122432
    assert (result.min_ms, result.max_ms) == pytest.approx((9.8, 10.2))
    assert result.std_ms == pytest.approx(0.1414213562)


def test_builds_of_2020_have_one_time_and_no_first():
    result = read(transcript("ort_2020.out"), rows=transcript("ort_2020.csv"), runs=4)
    assert result.error == ""
    assert result.samples_ms == pytest.approx((17.0, 16.5, 16.4, 16.3236))
    assert (result.warmup_ms, result.first_ms, result.init_ms) == (pytest.approx((18.1,)), None, pytest.approx(60.94))


def test_a_first_run_of_less_than_a_millisecond_is_not_told():
    result = read(OUT.replace("First inference time cost: 196 ms", "First inference time cost: 0 ms"))
    assert result.error == "" and result.first_ms is None and result.warmup_ms == pytest.approx((10.5,))


def test_colons_without_blanks_and_an_older_wording():
    text = transcript("ort_2020.out").replace(": ", ":")
    assert read(text, rows=transcript("ort_2020.csv"), runs=4).init_ms == pytest.approx(60.94)
    older = "Total time cost:0.0843236\nTotal iterations:5\nAverage time cost:16.8647 ms\n"
    assert len(read(older, rows=transcript("ort_2020.csv"), runs=4).samples_ms) == 4


def test_the_command_makes_the_warm_up_out_of_rows():
    argv = OrtPerfTest().command("/x/perf", replace(REQUEST, delegate="xnnpack", threads=4))
    assert argv == "/x/perf -e xnnpack -m times -r 6 -x 4 -s -I /c/m.onnx /b/out.csv".split()
    assert "5" in OrtPerfTest().command("/x/perf", replace(REQUEST, warmup=0))
    profiled = OrtPerfTest().command("/x/perf", replace(REQUEST, per_op=True))
    assert profiled[profiled.index("-p") + 1].startswith("/b/out.csv")
    with pytest.raises(ConfigError, match="RNR11"):
        OrtPerfTest().command("/x/perf", replace(REQUEST, output_path=""))


def test_what_was_not_asked_for_is_noted():
    assert any("warm-up" in note for note in read(warmup=0, runs=6).notes)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", "0 rows"),
        (ROWS.split("\n\n")[0].rsplit("\n", 1)[0] + "\n", "5 rows of runs instead of 6"),
        (ROWS + ROWS, "more than this launch"),
        (ROWS[:100], "broken off"),
        (ROWS.replace("0.0102", "nan"), "no time"),
        (ROWS.replace("0.0102", "0"), "no time"),
        (ROWS.replace("0.0102", "x"), "cannot be read"),
        ("a,1\n", "cannot be read"),
        (ROWS.replace("0.0105", "0.9"), "not that of its rows"),
    ],
)
def test_rows_that_cannot_be_are_no_number(rows, said):
    assert said in failed(read(rows=rows))


def test_what_it_prints_must_agree():
    assert "counts 7 runs" in failed(read(OUT.replace("requests: 6", "requests: 7")))
    assert "states no mean" in failed(read(OUT.partition("Average")[0]))
    assert "not that of its rows" in failed(read(OUT.replace("total: 10.08", "total: 20.08")))


def test_failure_and_flags():
    said = "Run failed:Non-zero status code returned while running Conv node\n"
    assert "Conv node" in failed(read(OUT + said, rc=255))
    assert "XNNPACK" in failed(read("", "XNNPACK execution provider is not supported in this build.\n", "", rc=255))
    assert "unrecognized" in failed(read(stderr="perf: unrecognized option '-I'\n"))


def test_parts_outside_the_provider():
    refused = read(stderr=NNAPI, delegate="nnapi")
    assert "49 of 52 nodes" in failed(refused)
    assert (refused.delegation, refused.partitions) == ("partial", 2)
    allowed = read(stderr=NNAPI, delegate="nnapi", allow_partial=True)
    assert (allowed.error, allowed.delegation, allowed.delegate) == ("", "partial", "nnapi")
    nothing = NNAPI.replace("by NNAPI: 49", "by NNAPI: 0")
    failed(read(stderr=nothing, delegate="nnapi", allow_partial=True))
    warned = NNAPI.splitlines()[1]
    assert "only parts" in failed(read(stderr=warned, delegate="xnnpack"))
    assert read(delegate="xnnpack").delegation == "full"


@given(st.integers(0, len(ROWS) - 1))
def test_a_file_cut_anywhere_gives_no_wrong_number(end):
    result = read(rows=ROWS[:end])
    assert result.error or result.samples_ms == read().samples_ms


def test_a_profile_is_read_with_the_reader_of_this_machine():
    events = (
        '[{"ph": "X", "cat": "Session", "name": "model_run", "ts": 10, "dur": 100},'
        '{"ph": "X", "cat": "Node", "name": "conv_kernel_time", "ts": 20, "dur": 60, "args": {"op_name": "Conv"}}]'
    )
    (op,) = OrtPerfTest().read_profile("", events)
    assert (op.name, op.op, op.mean_ms, op.share) == ("conv", "Conv", 0.06, 0.6)
    for broken in ("", events[:-1], "[]", "{}", "[1]"):
        with pytest.raises(DeviceError, match="RNR17"):
            OrtPerfTest().read_profile("", broken)
