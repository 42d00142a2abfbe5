"""LiteRT's newer tool and onnxruntime's on the software phone: programs that speak as they do and really run models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from software_phone.adb_server import OwnAdbServer
from software_phone.gap_models import with_gaps
from software_phone.open_device import DeviceBench, assert_left_as_found, device_bench, runner_name
from software_phone.phone import SoftwarePhone

from devices.device import Device
from devices.measurement import Visit
from devices.runners.library import RunnerLibrary
from devices.runners.recognition import recognise_runner
from devices.testing import DeviceConformance
from mnas.errors import ConfigError, MeasurementError
from mnas.export.artifact import ModelArtifact, save_artifact
from mnas.export.network import write_network
from mnas.named_networks import named_network

pytestmark = pytest.mark.software_phone

MakeNet = Callable[[str, int], ModelArtifact]
LITERT, ORT = "litert_benchmark_model", "onnxruntime_perf_test"
FORMATS = {LITERT: "tflite", ORT: "onnx"}
_GARBAGE = bytes(range(256)) * 8
_BENCH_S = 240.0


@pytest.fixture
def bench(clean_phone: SoftwarePhone, own_adb: OwnAdbServer, tmp_path: Path) -> Iterator[DeviceBench]:
    with device_bench(clean_phone, own_adb, tmp_path) as made:
        yield made


class _OtherRunner(DeviceConformance):
    is_lazy = False
    knows_outputs = False
    program = ""

    @pytest.fixture
    def device(self, bench: DeviceBench) -> Iterator[Device]:
        with bench.open(self.program) as device:
            yield device

    @pytest.fixture
    def good_artifacts(self, make_net: MakeNet) -> Sequence[ModelArtifact]:
        return [make_net(FORMATS[self.program], channels) for channels in (8, 16, 24)]

    @pytest.fixture
    def bad_artifact(self, tmp_path: Path) -> ModelArtifact:
        name = FORMATS[self.program]
        return save_artifact(_GARBAGE, tmp_path / f"bad.{name}", model_format=name, input_shape_chw=(3, 16, 16))


class TestLitert(_OtherRunner):
    program = LITERT


class TestOnnxruntime(_OtherRunner):
    program = ORT


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[ModelArtifact]]:
    """Two real networks of a format, the second of many times the work."""
    folder = tmp_path_factory.mktemp("nets")

    def make(model_format: str) -> list[ModelArtifact]:
        return [
            write_network(named_network("mobilenetv3-small", px), folder / f"{model_format}{px}", model_format)
            for px in (32, 160)
        ]

    return make


@pytest.mark.parametrize("program", [LITERT, ORT])
def test_its_numbers_follow_the_model(
    bench: DeviceBench, nets: Callable[[str], list[ModelArtifact]], program: str
) -> None:
    assert recognise_runner(bench.phone.image.runners[program]) == runner_name(program)
    small, large = nets(FORMATS[program])
    with bench.open(program) as device:
        assert device.info.runtime == runner_name(program) and device.info.is_simulated
        visits = [Visit(model, 5, 2) for model in (small, large, small, large)]
        events = list(device.run(visits))
        assert [event.error for event in events] == [""] * 4
        quickest = [min(sample.value_ms for event in events[place::2] for sample in event.samples) for place in (0, 1)]
        assert quickest[1] > 2 * quickest[0]
        each = 1 if program == ORT else 5
        assert all([sample.runs for sample in event.samples] == [each] * (5 // each) for event in events)
        assert all(sum(sample.runs for sample in event.warmup_samples) == 2 for event in events)
        trials = [device.try_model(model) for model in (small, large)]
        assert all(trial.how == "ok" and trial.load_ms and trial.peak_memory_bytes for trial in trials)
    assert_left_as_found(bench)


@pytest.mark.parametrize(("program", "kinds"), [(LITERT, ("Convolution",)), (ORT, ("Conv",))])
def test_it_is_profiled_by_operators(
    bench: DeviceBench, make_net: MakeNet, program: str, kinds: tuple[str, ...]
) -> None:
    with bench.open(program) as device:
        profile = device.profile(make_net(FORMATS[program], 8), runs=4)
    assert profile.runs == 4 and profile.total_ms > 0
    told = " ".join(f"{op.op} {op.name}" for op in profile.ops)
    assert all(kind in told for kind in kinds), told
    assert_left_as_found(bench)


def test_a_model_of_which_litert_delegates_parts_gives_no_number(bench: DeviceBench, tmp_path: Path) -> None:
    whole = write_network(named_network("mobilenetv3-small", 32), tmp_path / "whole", "tflite")
    data = with_gaps(whole.path.read_bytes())
    gaps = save_artifact(data, tmp_path / "gaps.tflite", model_format="tflite", input_shape_chw=(3, 32, 32))
    with bench.open(LITERT) as device:
        part, good = device.run([Visit(gaps, 2, 0), Visit(whole, 2, 0)])
    assert part.samples == () and "only parts of the model are run by the delegate xnnpack" in part.error
    assert " in 2 partitions" in part.error or " in 3 partitions" in part.error
    assert good.error == ""


@pytest.mark.parametrize(
    ("program", "delegate", "words"),
    [(LITERT, "gpu", "Failed to compile model"), (ORT, "xnnpack", "not supported"), (ORT, "nnapi", "not supported")],
)
def test_a_delegate_that_is_not_there_gives_no_number(
    bench: DeviceBench, make_net: MakeNet, program: str, delegate: str, words: str
) -> None:
    net = make_net(FORMATS[program], 8)
    with pytest.raises(ConfigError) as unknown:
        bench.open(program, ",delegate=none" if program == LITERT else ",delegate=gpu")
    assert unknown.value.code == "RNR12"
    with bench.open(program, f",delegate={delegate}") as device:
        (event,) = device.run([Visit(net, 2, 0)])
        trial = device.try_model(net)
        with pytest.raises(MeasurementError) as caught:
            device.profile(net)
    assert event.samples == () and words in event.error
    # A trial and a profile let parts of a model run elsewhere: then LiteRT runs all of it on the CPU, which is told.
    untold = f"was not run by the delegate {delegate}"
    assert trial.how == "refused" and (words in trial.error or untold in trial.error)
    assert caught.value.code == "MEA20" and (words in str(caught.value) or untold in str(caught.value))


@pytest.mark.parametrize("program", [LITERT, ORT])
def test_a_file_that_only_the_runner_knows_for_none_gives_its_reason(
    bench: DeviceBench, make_net: MakeNet, tmp_path: Path, program: str
) -> None:
    name = FORMATS[program]
    # It passes for a model until it is opened.
    data = (b"\x1c\0\0\0TFL3" if program == LITERT else b"\x08\x08") + _GARBAGE
    made = save_artifact(data, tmp_path / f"bad.{name}", model_format=name, input_shape_chw=(3, 16, 16))
    bad, good = replace(made, writer_version="1"), make_net(name, 8)
    with bench.open(program) as device:
        assert device.load([bad, good]) == {}
        wrong, right = device.run([Visit(bad, 2, 0), Visit(good, 2, 0)])
        assert device.try_model(bad).how == "refused"
    assert wrong.samples == () and "failed" in wrong.error.lower() and right.error == ""


@pytest.mark.parametrize("program", [LITERT, ORT])
def test_bench_measures_with_it_from_end_to_end(bench: DeviceBench, make_net: MakeNet, program: str) -> None:
    models = [str(make_net(FORMATS[program], channels).path) for channels in (8, 64)]
    runners = bench.folder / "runners"
    # Recognised by its texts, as a person adds it.
    assert RunnerLibrary(runners).add(bench.phone.image.runners[program]).name == runner_name(program)
    keep = {"MNAS_ADB": bench.own.server.address, "MNAS_RUNNERS": runners, "MNAS_STATE": bench.folder / "state"}
    words = ["--device", f"adb:{bench.serial}/{runner_name(program)}", "--rounds", "3", "--per-op", "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "mnas", "bench", *models, *words, "--out", str(bench.folder / "out")],
        env={**os.environ, **{name: str(value) for name, value in keep.items()}},
        capture_output=True,
        text=True,
        timeout=_BENCH_S,
    )
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert run["device"]["runtime"] == runner_name(program) and run["device"]["is_simulated"] is True
    latencies = [model["measurement"]["latency_ms"] for model in run["models"]]
    assert 0 < latencies[0] < latencies[1]
    assert_left_as_found(bench)
