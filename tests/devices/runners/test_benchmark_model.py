"""`benchmark_model`, classic and LiteRT's: every wording from 2018 to 2026, and every way in which it may lie."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from fuzzing import fuzzed
from hypothesis import example, given
from hypothesis import strategies as st
from runner_programs import transcript

from devices.runners.dialect import RUNNER_NAMES, dialect_of
from devices.runners.launch import LaunchRequest
from mnas.errors import ConfigError

REQUEST = LaunchRequest("/data/local/tmp/m.tflite", runs=50, warmup=5, threads=1, delegate="xnnpack")
MODERN, MODERN_ERR = transcript("tflite_2026.out"), transcript("tflite_2026.err")
LITERT, LITERT_ERR = transcript("litert_2026.out"), transcript("litert_2026.err")


def read(stdout=MODERN, stderr=MODERN_ERR, rc=0, name="tflite", **changes):
    return dialect_of(name).read(replace(REQUEST, **changes), rc, stdout, stderr)


def read_litert(stdout=LITERT, stderr=LITERT_ERR, **changes):
    return read(stdout, stderr, name="litert", **{"runs": 100, "warmup": 10, **changes})


def failed(result):
    assert result.error
    assert "\n" not in result.error
    assert result.samples_ms == ()
    return result.error


@pytest.mark.parametrize(
    ("stem", "runs", "delegate", "statistic", "value", "init", "first", "memory_mib"),
    [
        ("tflite_2018", 50, "none", "launch_mean", 137.655, 4.512, 146.021, None),
        ("tflite_2019", 50, "none", "launch_mean", 79.7609, 38.467, 91.002, None),
        ("tflite_2020", 10, "xnnpack", "launch_mean", 10.3966, 17.851, 21.04, 6.5),
        ("tflite_2024", 20, "xnnpack", "launch_mean", 1234.57, 20.5, 2002.137, 12.8672),
        ("tflite_2026", 50, "xnnpack", "launch_median", 33.15, 0.855, 49.06, 23.5),
    ],
)
def test_every_year_is_read(stem, runs, delegate, statistic, value, init, first, memory_mib):
    result = read(transcript(stem + ".out"), transcript(stem + ".err"), runs=runs, delegate=delegate)
    assert result.error == ""
    assert result.samples_ms == pytest.approx((value,))
    assert (result.statistic, result.runs) == (statistic, runs)
    assert (result.init_ms, result.first_ms) == pytest.approx((init, first))
    memory = None if memory_mib is None else pytest.approx(memory_mib * 2**20, abs=1)
    assert result.peak_memory_bytes == memory
    assert result.min_ms <= value <= result.max_ms
    assert result.delegation == ("none" if delegate == "none" else "full")


def test_quantiles_are_the_tools_own():
    result = read()
    assert (result.p5_ms, result.p95_ms, result.std_ms) == (32.7, 33.99, 0.45)
    assert result.warmup_ms == (34.8251,)
    assert "peak memory: watched by the tool" in result.notes


def test_litert_is_read_from_both_streams():
    result = read_litert()
    assert result.error == ""
    assert result.samples_ms == (0.4615,)
    assert (result.delegate, result.delegation, result.partitions) == ("xnnpack", "full", 1)
    assert (result.init_ms, result.first_ms) == (4.478, 1.033)
    assert result.peak_memory_bytes == round(11.5 * 2**20)


def test_litert_without_its_verbose_lines_says_so():
    silent = "\n".join(line for line in LITERT_ERR.splitlines() if "VERBOSE" not in line)
    result = read_litert(stderr=silent)
    assert result.error == ""
    assert any("does not say how much" in note for note in result.notes)


@pytest.mark.parametrize("rc", [1, 126, 127, 134, 137, 139, 255])
def test_statistics_of_a_launch_that_failed_are_no_number(rc):
    error = failed(read(stderr="ERROR: Node 3 failed to invoke.\nERROR: Benchmarking failed.\n", rc=rc))
    assert "Node 3 failed" in error
    assert str(rc if rc <= 128 else rc - 128) in error or rc == 255


def test_a_signal_is_named():
    assert "SIGSEGV" in failed(read(stderr="", rc=139))
    assert "SIGKILL" in failed(read(stderr="", rc=137))


def test_a_missing_library_is_told():
    said = 'CANNOT LINK EXECUTABLE "./benchmark_model": library "libc++_shared.so" not found\n'
    assert "libc++_shared.so" in failed(read("", said, rc=1))


def test_builds_that_end_with_0_though_they_failed():
    assert "says that it failed" in failed(read(MODERN + "Benchmarking failed.\n"))


@pytest.mark.parametrize("runs", [1, 49, 51])
def test_another_count_than_asked_for_is_invalid(runs):
    assert failed(read(runs=runs)) == f"50 timed runs instead of {runs}"


def test_no_runs_are_no_time():
    broken = re.sub(r"count=50 .*", "count=0 p5=nan median=nan p95=nan", MODERN)
    assert "0 timed runs" in failed(read(broken))


def test_a_launch_without_warm_up():
    text = re.sub(r"count=5 .*", "count=0 p5=nan median=nan p95=nan", MODERN)
    text = text.replace("First inference: 49060, Warmup (avg): 34825.1", "First inference: 0, Warmup (avg): -nan")
    result = read(text, warmup=0)
    assert (result.error, result.samples_ms, result.warmup_ms) == ("", (33.15,), ())
    assert (result.first_ms, result.init_ms) == (32.891, 0.855)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_an_unknown_flag_is_invalid(stream):
    line = "WARN: Unconsumed cmdline flags: --use_xnnpack=true --foo=1\n"
    result = read(line + MODERN) if stream == "stdout" else read(stderr=line)
    assert "--use_xnnpack=true --foo=1" in failed(result)
    assert "--foo" in failed(read("Unconsumed cmdline flags: --foo\n" + transcript("tflite_2020.out"), runs=10))


def test_a_build_that_cannot_watch_its_memory_is_measured_all_the_same():
    line = "Unconsumed cmdline flags: --report_peak_memory_footprint=true"
    plain = "\n".join(one for one in transcript("tflite_2020.out").splitlines() if "footprint" not in one) + "\n"
    result = read(f"{line}\n{plain}", "", runs=10, peak_memory=True)
    assert (result.error, result.samples_ms, result.peak_memory_bytes) == ("", pytest.approx((10.3966,)), None)
    assert "peak memory: this build cannot watch it" in result.notes
    assert "--use_foo=1" in failed(read(f"{line} --use_foo=1\n{plain}", "", runs=10, peak_memory=True))
    failed(read(f"{line}\n{plain}", "", runs=10))


def test_one_run_and_equal_runs():
    one = re.sub(r"count=50 .*", "count=1 curr=20873 p5=20873 median=20873 p95=20873", MODERN)
    one = one.replace("(avg): 33209.4", "(avg): 20873")
    assert read(one, runs=1).samples_ms == (20.873,)
    same = re.sub(r"count=50 .*", "count=50 curr=100(all same) p5=100 median=100 p95=100", MODERN)
    same = same.replace("(avg): 33209.4", "(avg): 100")
    result = read(same)
    assert (result.samples_ms, result.min_ms, result.max_ms, result.std_ms) == ((0.1,), 0.1, 0.1, 0.0)
    old = re.sub(r"count=10 .*", "count=10 curr=100(all same)", transcript("tflite_2020.out"))
    result = read(old.replace("(avg): 10396.6", "(avg): 100"), runs=10)
    assert (result.samples_ms, result.statistic) == ((0.1,), "launch_mean")


@pytest.mark.parametrize(
    "line",
    [
        "count=50 first=32891 curr=33978 min=32641 max=34005 avg=nan std=450 p5=32700 median=33150 p95=33990",
        "count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450 p5=32700 median=inf p95=33990",
        "count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450 p5=32700 median=331500 p95=33990",
        "count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450 p5=32700 median=3",
        "count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450 p5=32700",
        # A fastest run of 0 may be true, but not at this spread: none of 50 is more than seven times it from the mean.
        "count=50 first=32891 curr=33978 min=0 max=34005 avg=33209.4 std=450 p5=32700 median=33150 p95=33990",
        "count=50 first=32891 curr=33978 min=32641 max=94005 avg=33209.4 std=450 p5=32700 median=33150 p95=33990",
        "count=50 first=0 curr=0 min=0 max=0 avg=33209.4 std=0 p5=0 median=0 p95=0",
        "count=50 first=32891 curr=33978 min=32641 max=34005 avg=x std=450",
        "count=50",
        "count=50 first=32891 curr=33978 min=32641 max=34005 avg=33000.1 std=450 p5=32700 median=33150 p95=33990",
    ],
)
def test_a_line_that_cannot_be_is_no_number(line):
    failed(read(re.sub(r"count=50 .*", line, MODERN)))


def told_of(times_us):
    """What the tool prints of runs: whole microseconds, six digits of the mean, whole ones of the spread."""
    ordered, mean = sorted(times_us), sum(times_us) / len(times_us)
    if len(times_us) == 1 or ordered[0] == ordered[-1]:
        line = f"count={len(times_us)} curr={times_us[-1]}" + ("(all same)" if len(times_us) > 1 else "")
    else:
        spread = int((sum((one - mean) ** 2 for one in times_us) / len(times_us)) ** 0.5)
        line = f"count={len(times_us)} first={times_us[0]} curr={times_us[-1]} min={ordered[0]} max={ordered[-1]} "
        line += f"avg={mean:g} std={spread}"
    p5, median, p95 = (ordered[min(int(share * len(ordered)), len(ordered) - 1)] for share in (0.05, 0.5, 0.95))
    line += f" p5={p5} median={median} p95={p95}"
    return re.sub(r"count=50 .*", line, MODERN).replace("(avg): 33209.4", f"(avg): {mean:g}"), median


@given(st.lists(st.one_of(st.integers(0, 3), st.integers(0, 10**8)), min_size=1, max_size=60))
@example([0, 1, 1])
@example([0, 0, 1])
@example([0] * 59 + [10**8])
def test_whatever_runs_took_is_read_unless_half_of_them_read_0(times_us):
    """Times are cut to whole microseconds: the fastest run of a tiny model truly reads 0, its median must not."""
    text, median_us = told_of(times_us)
    result = read(text, runs=len(times_us))
    assert (result.error == "") is (median_us > 0), result.error
    assert result.samples_ms == ((median_us / 1000,) if median_us else ())


@given(st.integers(0, len(MODERN) - 1))
def test_an_output_that_is_cut_anywhere_gives_no_wrong_number(end):
    result = read(MODERN[:end])
    assert result.error or result.samples_ms == (33.15,)
    if "Inference (avg): 33209" not in MODERN[:end]:
        failed(result)


@given(st.integers(0, len(LITERT) - 1))
def test_litert_cut_anywhere_gives_no_wrong_number(end):
    result = read_litert(LITERT[:end])
    assert result.error or result.samples_ms == (0.4615,)
    if "p95=478\n" not in LITERT[:end]:
        failed(result)


@fuzzed
@given(st.text(), st.text(), st.integers(-1, 300))
def test_no_output_breaks_the_reader(stdout, stderr, rc):
    for name in RUNNER_NAMES:
        result = dialect_of(name).read(replace(REQUEST, delegate=""), rc, stdout, stderr, stdout)
        assert bool(result.error) != bool(result.samples_ms)


@pytest.mark.parametrize(
    ("stem", "runs", "delegate", "partitions"),
    [("tflite_2022_partial", 10, "nnapi", 3), ("tflite_2019_gpu", 50, "gpu", None)],
)
def test_partial_delegation_is_refused_unless_allowed(stem, runs, delegate, partitions):
    text = transcript(stem + ".out")
    refused = read(text, "", runs=runs, delegate=delegate)
    failed(refused)
    assert (refused.delegation, refused.partitions) == ("partial", partitions)
    allowed = read(text, "", runs=runs, delegate=delegate, allow_partial=True)
    assert allowed.error == ""
    assert (allowed.delegate, allowed.delegation, allowed.partitions) == (delegate, "partial", partitions)
    assert allowed.notes


def test_litert_tells_partial_delegation_by_nodes():
    stderr = transcript("litert_2026_gpu_partial.err")
    assert "60 of 64 nodes" in failed(read_litert(stderr=stderr, delegate="gpu"))
    allowed = read_litert(stderr=stderr, delegate="gpu", allow_partial=True)
    assert (allowed.delegate, allowed.delegation, allowed.partitions) == ("gpu", "partial", 3)
    assert allowed.peak_memory_bytes == round(40.25 * 2**20)
    assert "says nothing" in failed(read_litert(delegate="gpu", allow_partial=True))


def test_a_delegate_that_took_nothing_is_an_error_even_when_parts_are_allowed():
    text = transcript("tflite_2026_gpu_none.out")
    result = read(text, "", runs=2, delegate="gpu", allow_partial=True)
    assert "it says so" in failed(result)
    assert result.delegate == "none"


@pytest.mark.parametrize("delegate", ["gpu", "nnapi", "external:/data/local/tmp/libx.so"])
def test_silence_about_a_delegate_is_an_error(delegate):
    assert "says nothing" in failed(read(delegate=delegate))


def test_a_delegate_that_is_not_built_in_is_told():
    line = "WARN: GPU acceleration is unsupported on this platform.\n"
    assert "unsupported" in failed(read(line + MODERN, delegate="gpu"))


def test_xnnpack_that_nobody_asked_for_is_an_error():
    assert "XNNPACK" in failed(read(delegate="none"))
    plain = "\n".join(line for line in MODERN.splitlines() if "XNNPACK" not in line) + "\n"
    assert "XNNPACK" in failed(read(plain, MODERN_ERR, delegate="none"))
    result = read(plain, "", delegate="none")
    assert (result.error, result.delegate, result.samples_ms) == ("", "none", (33.15,))


def test_an_external_delegate_is_found_under_its_name():
    text = MODERN.replace("applied XNNPACK delegate", "applied EXTERNAL delegate")
    result = read(text, "", delegate="external:/data/local/tmp/libx.so")
    assert (result.error, result.delegate) == ("", "external")


def test_another_number_of_warm_up_runs_is_noted():
    assert "5 warm-up runs instead of 7" in read(warmup=7).notes
    assert not any("warm-up" in note for note in read().notes)


def test_the_commands_ask_for_exactly_so_many_runs():
    for name in ("tflite", "litert"):
        argv = dialect_of(name).command("/x/run", REQUEST)
        assert argv[0] == "/x/run"
        flags = dict(word.split("=", 1) for word in argv[1:])
        assert flags["--graph"] == REQUEST.model_path
        assert (flags["--num_runs"], flags["--min_secs"]) == ("50", "0")
        assert (flags["--warmup_runs"], flags["--warmup_min_secs"], flags["--num_threads"]) == ("5", "0", "1")
        assert float(flags["--max_secs"]) >= 3600


@pytest.mark.parametrize(
    ("name", "delegate", "partial", "expected"),
    [
        ("tflite", "", False, {"--use_xnnpack=true"}),
        ("tflite", "none", False, {"--use_xnnpack=false"}),
        ("tflite", "gpu", False, {"--use_xnnpack=false", "--use_gpu=true"}),
        ("tflite", "nnapi", False, {"--use_xnnpack=false", "--use_nnapi=true"}),
        ("tflite", "external:/a/b.so", False, {"--use_xnnpack=false", "--external_delegate_path=/a/b.so"}),
        ("litert", "", False, {"--use_cpu=true"}),
        ("litert", "gpu", True, {"--use_gpu=true", "--use_cpu=true"}),
        ("litert", "gpu", False, {"--use_gpu=true", "--use_cpu=false", "--require_full_delegation=true"}),
    ],
)
def test_the_flags_of_each_delegate(name, delegate, partial, expected):
    argv = dialect_of(name).command("run", replace(REQUEST, delegate=delegate, allow_partial=partial))
    assert {word for word in argv if "use_" in word or "deleg" in word} == expected


def test_flags_for_more_than_times():
    asked = replace(REQUEST, per_op=True, peak_memory=True)
    assert {"--enable_op_profiling=true", "--report_peak_memory_footprint=true"} <= set(
        dialect_of("tflite").command("run", asked)
    )
    assert "--use_profiler=true" in dialect_of("litert").command("run", asked)
    assert not any("profil" in word or "memory" in word for word in dialect_of("tflite").command("run", REQUEST))


@pytest.mark.parametrize(
    ("name", "delegate"),
    [("tflite", "npu"), ("tflite", "external:"), ("litert", "none"), ("litert", "nnapi"), ("ortperf", "gpu")],
)
def test_a_delegate_that_a_runner_does_not_have_is_refused(name, delegate):
    with pytest.raises(ConfigError, match="RNR12"):
        dialect_of(name).command("run", replace(REQUEST, delegate=delegate, output_path="/o"))


@pytest.mark.parametrize("changes", [{"runs": 0}, {"warmup": -1}, {"threads": 0}])
def test_counts_that_make_no_sense_are_refused(changes):
    with pytest.raises(ConfigError, match="RNR11"):
        replace(REQUEST, **changes)


def test_an_unknown_runner_is_refused():
    with pytest.raises(ConfigError, match="RNR13"):
        dialect_of("ncnn")
