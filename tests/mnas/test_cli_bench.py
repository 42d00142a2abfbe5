"""``mnas bench`` as a person types it, on this machine with onnxruntime and LiteRT; sessions are kept short."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mnas.cli import main
from mnas.cli.bench_request import duration_s, raw_percentile, share
from mnas.errors import ConfigError

_FLOAT = TensorProto.FLOAT
_SHORT = ("--rounds", "4", "-q")


def _save(path: Path, nodes: list[onnx.NodeProto], inputs: dict[str, list[object]], **weights: np.ndarray) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, _FLOAT, sizes) for name, sizes in inputs.items()],
        [helper.make_tensor_value_info("y", _FLOAT, None)],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("their", 1)])
    model.ir_version = 9
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def conv(path: Path, channels: int = 16, px: int = 64) -> Path:
    weights = np.random.default_rng(0).standard_normal((channels, 3, 3, 3))
    return _save(path, [helper.make_node("Conv", ["x", "w"], ["y"])], {"x": [1, 3, px, px]}, w=weights)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder whose devices are calibrated."""
    folder = tmp_path_factory.mktemp("bench") / "out"
    for device in ("host:ort", "host:litert"):
        assert main(["devices", "calibrate", "--device", device, "--out", str(folder), "-o", "/dev/null"]) == 0
    return folder


def _bench(out: Path, *words: object, code: int = 0) -> list[str]:
    given = ["bench", *map(str, words), *_SHORT, "--out", str(out)]
    assert main(given) == code
    return given


def _json(capsys: pytest.CaptureFixture[str], out: Path, *words: object, code: int = 0) -> dict:
    _bench(out, *words, "--format", "json", code=code)
    return json.loads(capsys.readouterr().out)


def test_prints_a_table_writes_a_page_and_keeps_the_run(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", str(conv(tmp_path / "small.onnx")), str(conv(tmp_path / "large.onnx", 64)), "--rounds", "4"]
    assert main([*words, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    for text in ("small.onnx", "large.onnx", "latency ms", "relative", "MMACs", "peak MB", "load ms", "verdict", " x"):
        assert text in captured.out
    run_id = re.search(r"next: mnas runs show (run\d+-\w{6})", captured.err)
    assert run_id is not None
    page = (out / "reports" / f"{run_id[1]}.html").read_text(encoding="utf-8")
    assert "large.onnx" in page and run_id[1] in page
    assert main(["runs", "show", run_id[1], "--out", str(out)]) == 0
    assert capsys.readouterr().out == captured.out


def test_json_holds_raw_samples_and_provenance(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, out, conv(tmp_path / "net.onnx"))
    (model,) = found["models"]
    assert found["schema"] == "mnas.bench/1" and found["schema_version"] == 1
    assert model["description"]["macs"] == 62 * 62 * 16 * 27 and model["size_bytes"] > 1000
    measured = model["measurement"]
    assert len(measured["samples_ms"]) == len(measured["rounds"]) == model["raw"]["count"] >= 12
    assert measured["interval_ms"][0] <= measured["latency_ms"] <= measured["interval_ms"][1]
    assert found["stopping"]["rounds"] == 4 and found["device"]["runtime"] == "onnxruntime"
    assert set(found["session"]["reference_nominals_ms"]) >= {"dense", "mobilenetv2"}


def test_files_say_which_devices_are_needed(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, out, conv(tmp_path / "net.onnx"), "mobilenetv3-small@32", "--device", "all", "--rounds", "3")
    by_device = {run["device"]["device_id"]: [model["label"] for model in run["models"]] for run in found["runs"]}
    assert by_device["host:ort"] == ["net.onnx", "mobilenetv3-small@32"]
    assert by_device["host:litert"] == by_device["host:torch"] == ["mobilenetv3-small@32"]


def test_bad_models_cost_one_line_each_and_the_others_are_measured(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = conv(tmp_path / "good.onnx")
    garbage, cut, empty = (tmp_path / f"{name}.onnx" for name in ("garbage", "cut", "empty"))
    garbage.write_bytes(b"\x00\xffnot a model" * 9)
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    empty.write_bytes(b"")
    unknown = _save(tmp_path / "unknown.onnx", [helper.make_node("Magic", ["x"], ["y"], domain="their")], {"x": [1, 4]})
    nan = _save(
        tmp_path / "nan.onnx", [helper.make_node("Div", ["x", "z"], ["y"])], {"x": [1, 4]}, z=np.zeros((1, 4)) * np.nan
    )
    open_sizes = _save(tmp_path / "open.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 3, "h", "w"]})
    tflite = tmp_path / "net.tflite"
    tflite.write_bytes(b"no")
    bad = [garbage, cut, empty, tmp_path / "absent.onnx", unknown, nan, open_sizes, tflite]
    found = _json(capsys, out, good, *bad, good, "--device", "host:ort", code=2)
    problems = [model["problem"] for model in found["models"]]
    assert problems[0] is None and found["models"][0]["measurement"]["latency_ms"] > 0
    codes = [problem["code"] for problem in problems[1:]]
    assert codes == ["MOD03", "MOD03", "MOD02", "MOD02", "MEA05", "MEA09", "MOD07", "MOD05", "MOD10"]
    assert "Magic" in problems[5]["message"] and "--shape x=" in problems[7]["message"]
    assert all("\n" not in problem["message"] for problem in problems[1:])


def test_open_sizes_are_given_by_shape(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = _save(tmp_path / "open.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": ["n", 3, "h", "w"]})
    other = _save(tmp_path / "other.onnx", [helper.make_node("Relu", ["image"], ["y"])], {"image": [1, 9]})
    contrary = conv(tmp_path / "contrary.onnx")
    found = _json(capsys, out, net, other, contrary, "--shape", "x=1,3,20,30", code=2)
    assert found["models"][0]["description"]["inputs"][0]["shape"] == [1, 3, 20, 30]
    assert found["models"][1]["problem"] is None and found["models"][2]["problem"]["code"] == "MOD06"


def test_an_index_out_of_range_is_mended_by_filling(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = helper.make_tensor_value_info("i", TensorProto.INT64, [1])
    graph = helper.make_graph(
        [helper.make_node("Gather", ["w", "i"], ["y"])],
        "g",
        [index],
        [helper.make_tensor_value_info("y", _FLOAT, None)],
        [numpy_helper.from_array(np.arange(2, dtype=np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, tmp_path / "gather.onnx")
    refused = _json(capsys, out, tmp_path / "gather.onnx", code=4)
    assert refused["models"][0]["problem"]["code"] == "MEA05"
    assert _json(capsys, out, tmp_path / "gather.onnx", "--fill", "i=1")["models"][0]["problem"] is None


def test_two_files_of_one_name_are_told_apart(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, out, conv(tmp_path / "a" / "net.onnx"), conv(tmp_path / "b" / "net.onnx", 32))
    assert [model["label"] for model in found["models"]] == ["a/net.onnx", "b/net.onnx"]


def test_a_limit_that_is_broken_or_held_sets_the_exit_status(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = conv(tmp_path / "net.onnx")
    failed = _json(capsys, out, net, "--max-latency-ms", "0.0001", code=3)
    assert [gate["outcome"] for gate in failed["gates"]] == ["fail"]
    _bench(out, net, "--max-latency-ms", "10000")
    capsys.readouterr()
    assert main(["bench", str(net), *_SHORT, "--out", str(out), "--gate-raw", "p90", "--max-latency-ms", "9e3"]) == 0
    assert "flakes" in capsys.readouterr().err


def test_a_regression_is_judged_against_a_file_or_a_run(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, large = conv(tmp_path / "small.onnx", 16, 100), conv(tmp_path / "large.onnx", 64, 100)
    found = _json(capsys, out, large, "--against", small, "--max-regression", "5%", code=3)
    (gate,) = found["gates"]
    assert gate["value"] > 0.5 and gate["label"] == "large.onnx"
    assert [model["role"] for model in found["models"]] == ["model", "baseline"]
    again = _json(capsys, out, small, "--against", found["run_id"], "--max-regression", "100%")
    assert again["models"][1]["label"] == "large.onnx (baseline)" and again["models"][0]["relative"]["ratio"] < 1
    large.write_bytes(conv(tmp_path / "other.onnx", 8, 100).read_bytes())
    changed = _json(capsys, out, small, "--against", found["run_id"], "--max-regression", "100%", code=2)
    assert changed["models"][1]["problem"]["code"] == "CFG20"


def test_operators_and_minutes_are_measured_beside_the_session(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = conv(tmp_path / "net.onnx")
    given = ["bench", str(net), "--rounds", "3", "--per-op", "--sustained", "1s", "--out", str(out)]
    assert main(given) == 0
    captured = capsys.readouterr()
    assert "net.onnx by operator" in captured.out and "sustained" in captured.out
    trace = re.search(r"trace: (.*\.trace\.json)", captured.err)
    assert trace is not None
    events = json.loads(Path(trace[1]).read_text(encoding="utf-8"))["traceEvents"]
    assert any(event["ph"] == "X" and "Conv" in json.dumps(event) for event in events)
    assert main(["runs", "show", "--format", "json", "--out", str(out)]) == 0
    extras = json.loads(capsys.readouterr().out)["extras"]
    assert extras["sustained"]["net.onnx"]["windows"] and extras["per_op"]["net.onnx"]["ops"]


def test_a_plan_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "mobilenetv3-small", "--plan", "--out", str(tmp_path / "none")]) == 0
    assert "nothing was started" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--max-regression", "5%"], "CFG14"),
        (["--max-regression", "much", "--against", "x"], "CFG19"),
        (["--max-regression", "5", "--against", "x"], "CFG19"),
        (["--max-latency-ms", "-1"], "CFG14"),
        (["--min-delta-ms", "1"], "CFG14"),
        (["--gate-raw", "p99", "--max-latency-ms", "1"], "CFG19"),
        (["--gate-raw", "p90"], "CFG14"),
        (["--budget", "soon"], "CFG19"),
        (["--rounds", "1"], "CFG15"),
        (["--device", "host:nosuch"], "CFG10"),
        (["--device", "host:ort", "--device", "host:ort,threads=1"], "CFG19"),
        (["--shape", "x=0"], "MOD06"),
        (["--against", "nosuch"], "CFG19"),
        (["--fill", "sr"], "CFG19"),
        (["--fill", "=1"], "CFG19"),
        (["--fill", "sr=inf"], "CFG19"),
    ],
)
def test_wrong_words_are_refused_before_anything_starts(
    words: list[str], code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "mobilenetv3-small@32", *words, "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"mnas: {code}: ") and captured.out == ""


@given(st.floats(0.001, 1e5), st.sampled_from(["s", "m", "h", ""]))
def test_durations_are_read(value: float, unit: str) -> None:
    text = f"{value:.6f}"
    factor = {"s": 1, "": 1, "m": 60, "h": 3600}[unit]
    if float(text) * factor >= 1e7:
        with pytest.raises(ConfigError):
            duration_s(text + unit, "--budget")
    else:
        assert duration_s(text + unit, "--budget") == pytest.approx(float(text) * factor)


def test_shares_and_percentiles_are_read() -> None:
    assert share("5%", "x") == pytest.approx(0.05) and share("0.05", "x") == 0.05 and share("120 %", "x") == 1.2
    assert (raw_percentile(""), raw_percentile("p90")) == (0, 90)
