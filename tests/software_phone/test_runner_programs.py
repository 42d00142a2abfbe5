"""The runners for the software phone: one that really runs the model, one that returns at once, one that lies."""

import re

import numpy as np
import pytest
from software_phone.adb_server import wait_until
from software_phone.gap_models import with_gaps

from mnas.export.tflite import write_tflite
from mnas.layers import layers_of
from mnas.named_networks import named_network
from mnas.weights import random_weights

pytestmark = pytest.mark.software_phone

EXACT = "--min_secs=0 --warmup_min_secs=0"
STATISTICS = re.compile(
    r"^INFO: count=(\d+) first=(\d+) curr=(\d+) min=(\d+) max=(\d+) avg=([\d.e+]+) std=(\d+)"
    r" p5=(\d+) median=(\d+) p95=(\d+)$",
    re.M,
)
COUNT = re.compile(r"^INFO: count=(\d+) ", re.M)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two real networks, the second of many times the work."""
    folder = tmp_path_factory.mktemp("models")
    for px in (32, 192):
        layers = layers_of(named_network("mobilenetv3-small", px, px))  # another size for each
        data = write_tflite(layers, random_weights(layers, np.random.default_rng(0)))
        (folder / f"net{px}.tflite").write_bytes(data)
    return folder


@pytest.fixture
def phone(clean_phone, software_phone_build, models, adb):
    done = adb.push(clean_phone, *software_phone_build.runners.values(), *sorted(models.iterdir()))
    assert done.returncode == 0, done
    adb.say(clean_phone, "cd /data/local/tmp && chmod 755 *_runner *benchmark_model onnxruntime_perf_test")
    return clean_phone


def launch(adb, phone, program, flags, deadline_s=60.0):
    return adb.run(phone, f"cd /data/local/tmp && ./{program} {flags}", deadline_s)


class TestBenchmarkModel:
    def test_it_runs_exactly_as_often_as_asked_and_takes_longer_for_more_work(self, phone, adb):
        medians = {}
        for px in (32, 192):
            flags = f"--graph=net{px}.tflite --num_runs=12 --warmup_runs=2 {EXACT} --use_xnnpack=true --num_threads=1"
            done = launch(adb, phone, "benchmark_model", flags)
            assert done.returncode == 0, done
            assert COUNT.findall(done.stdout) == ["2", "12"]
            first, last, low, high, mean, std, p5, median, p95 = map(float, STATISTICS.findall(done.stdout)[-1][1:])
            assert low <= p5 <= median <= p95 <= high
            assert low <= min(first, last) <= max(first, last) <= high
            assert low <= mean <= high
            assert 0 <= std <= high
            assert "Explicitly applied XNNPACK delegate, and the model graph will be completely" in done.stdout
            assert f"Inference (avg): {mean:g}" in done.stdout
            medians[px] = median
        assert medians[192] > 3 * medians[32]

    def test_time_bounds_ask_for_more_runs(self, phone, adb):
        flags = "--graph=net32.tflite --num_runs=2 --min_secs=0.3 --warmup_runs=1 --warmup_min_secs=0"
        done = launch(adb, phone, "benchmark_model", flags)
        assert int(COUNT.findall(done.stdout)[1]) > 2

    def test_it_tells_of_memory_and_of_flags_that_it_does_not_know(self, phone, adb):
        flags = f"--graph=net32.tflite --num_runs=1 {EXACT} --report_peak_memory_footprint=true --none_such=1"
        done = launch(adb, phone, "benchmark_model", flags)
        assert "WARN: Unconsumed cmdline flags: --none_such=1\n" in done.stdout
        assert (
            float(re.search(r"Overall peak memory footprint \(MB\) via periodic monitoring: (\S+)", done.stdout)[1]) > 1
        )
        assert re.search(r"^INFO: Memory footprint delta .*: init=\S+ overall=\S+$", done.stdout, re.M)
        assert re.search(r"^INFO: count=1 curr=\d+ p5=\d+ median=\d+ p95=\d+$", done.stdout, re.M)

    @pytest.mark.parametrize(("xnnpack", "op"), [("true", "Delegate/Convolution"), ("false", "CONV_2D")])
    def test_a_table_of_operators(self, phone, adb, xnnpack, op):
        flags = f"--graph=net192.tflite --num_runs=3 {EXACT} --use_xnnpack={xnnpack} --enable_op_profiling=true"
        done = launch(adb, phone, "benchmark_model", flags)
        told = done.stdout.partition("Operator-wise Profiling Info for Regular Benchmark Runs:")[2]
        order = told.partition("Top by Computation")[0].splitlines()
        rows = [line.split("\t")[1:] for line in order if line.startswith("\t")]
        header, operators = rows[0], rows[1:]
        assert [word.strip() for word in header[:3]] == ["[node type]", "[first]", "[avg ms]"]
        assert any(op in "".join(row) for row in operators)
        assert sum(float(row[3].rstrip("%")) for row in operators) == pytest.approx(100, abs=1)
        total = re.search(r"Timings \(microseconds\): count=3 .*avg=(\S+)", told)
        assert sum(float(row[2]) for row in operators) * 1000 == pytest.approx(float(total[1]), rel=0.02, abs=50)

    def test_a_delegate_that_cannot_be_had(self, phone, adb):
        flags = f"--graph=net32.tflite --num_runs=1 {EXACT} --use_gpu=true"
        assert "Though GPU delegate is explicitly applied" in launch(adb, phone, "benchmark_model", flags).stdout
        done = launch(adb, phone, "benchmark_model", flags + " --require_full_delegation=true")
        assert (done.returncode, COUNT.findall(done.stdout)) == (1, [])
        assert "ERROR: Disallowed CPU fallback detected." in done.stderr

    def test_a_graph_of_which_xnnpack_takes_parts(self, phone, adb, models, tmp_path):
        (tmp_path / "gaps.tflite").write_bytes(with_gaps((models / "net32.tflite").read_bytes()))
        adb.push(phone, tmp_path / "gaps.tflite")
        flags = f"--graph=gaps.tflite --num_runs=2 {EXACT} --use_xnnpack=true"
        done = launch(adb, phone, "benchmark_model", flags)
        assert done.returncode == 0, done
        assert "Explicitly applied XNNPACK delegate, and the model graph will be partially executed" in done.stdout
        assert re.search(r"w/ [23] delegate kernels\.$", done.stdout, re.M)
        assert launch(adb, phone, "benchmark_model", flags + " --require_full_delegation=1").returncode == 1

    def test_a_model_that_is_none(self, phone, adb):
        adb.say(phone, "echo nonsense > /data/local/tmp/none.tflite")
        for name in ("none.tflite", "missing.tflite"):
            done = launch(adb, phone, "benchmark_model", f"--graph={name}")
            assert done.returncode == 1
            assert done.stderr.endswith("ERROR: Benchmarking failed.\n")


class TestInstantRunner:
    def test_its_time_follows_from_the_size_of_the_file(self, phone, adb, models):
        for path in models.iterdir():
            done = launch(adb, phone, "instant_runner", f"--graph={path.name} --num_runs=9 {EXACT}")
            assert done.returncode == 0
            low = 1000 + path.stat().st_size % 9000
            assert [int(value) for value in STATISTICS.findall(done.stdout)[-1][:5]] == [9, low, low + 1, low, low + 6]


class TestLyingRunner:
    FLAGS = f"--graph=net32.tflite --num_runs=9 --use_xnnpack=true {EXACT}"

    def test_untold_it_is_honest(self, phone, adb):
        done = launch(adb, phone, "lying_runner", self.FLAGS)
        assert (done.returncode, COUNT.findall(done.stdout)) == (0, ["1", "9"])

    @pytest.mark.parametrize(
        ("kind", "code", "counts", "text"),
        [
            ("wrong_count", 0, ["1", "3"], "Inference (avg)"),
            ("wrong_count 8", 0, ["1", "8"], "Inference (avg)"),
            ("fail", 1, ["1", "9"], "Inference (avg)"),
            ("early_fail", 1, [], "Loaded model"),
            ("crash", 139, ["1"], "STARTING!"),
            ("truncated", 0, ["1", "9"], " mi"),
            ("garbage", 0, [], "\ufffd"),
            ("silent", 0, [], ""),
            ("chatty 2", 0, ["1", "9"], "nothing happened"),
            ("memory 64", 0, ["1", "9"], "overall=64"),
            ("unconsumed", 0, ["1", "9"], "WARN: Unconsumed cmdline flags: --num_threads=1"),
            ("partial", 0, ["1", "9"], "partially executed by the delegate w/ 3 delegate kernels"),
            ("undelegated", 0, ["1", "9"], "Though XNNPACK delegate is explicitly applied"),
            ("nan", 0, ["1", "9"], "median=nan"),
            ("zero", 0, ["1", "9"], "count=9 curr=0(all same) p5=0"),
            ("slow 1", 0, ["1", "9"], "Inference (avg)"),
        ],
    )
    def test_each_lie(self, phone, adb, kind, code, counts, text):
        phone.lie(kind)
        done = launch(adb, phone, "lying_runner", self.FLAGS)
        assert done.returncode == code
        assert COUNT.findall(done.stdout) == counts
        assert text in done.stdout
        if kind == "silent":
            assert done.stdout == ""
        if kind in ("partial", "undelegated"):
            assert "completely" not in done.stdout
        assert not phone.processes()

    def test_a_child_that_lives_on(self, phone, adb):
        phone.lie("fork")
        assert launch(adb, phone, "lying_runner", self.FLAGS).returncode == 0
        adb.run(phone, "kill -TERM $(pidof lying_runner)")
        assert [process.command[0] for process in phone.processes()] == ["./lying_runner"]

    @pytest.mark.parametrize(("kind", "survivors"), [("hang", 0), ("stubborn", 1)])
    def test_a_hanging_one_and_a_stubborn_one(self, phone, adb, kind, survivors):
        phone.lie(kind)
        start = f"cd /data/local/tmp; ./lying_runner {self.FLAGS} >/dev/null 2>&1 </dev/null & "
        done = adb.run(phone, start + "sleep 0.3; kill -TERM $!; sleep 0.3")
        assert done.returncode == 0
        # What is left waits for a signal: with the link gone, `hang` would die of HUP as well.
        wait_until(lambda: len(phone.processes()) == survivors, 5, "the wrong number of processes is left")

    def test_one_that_never_stops_talking(self, phone, adb):
        phone.lie("endless")
        said = adb.say(phone, f"cd /data/local/tmp; timeout 1 ./lying_runner {self.FLAGS} | wc -c")
        assert int(said) > 1 << 20

    def test_one_lie_for_one_launch(self, phone, adb):
        phone.lie("fail", once=True)
        assert [launch(adb, phone, "lying_runner", self.FLAGS).returncode for _ in range(3)] == [1, 0, 0]
