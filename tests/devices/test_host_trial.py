"""Models that are broken, hostile or strange, in real runtimes: each costs one line, and nothing outlives its trial."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from devices.measurement import Visit
from devices.runtimes.host import HostDevice
from devices.spec import DeviceSpec
from devices.trial import Trial
from mnas.export.artifact import SUFFIXES, ModelArtifact
from mnas.jsonio import sha256_bytes

MakeNet = Callable[[str, int], ModelArtifact]
Save = Callable[..., ModelArtifact]
_INF = 2**62

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits as Linux has them")


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def make(data: bytes, model_format: str = "onnx", shape: Sequence[int] = (), **fields: Any) -> ModelArtifact:
        path = tmp_path / f"model{SUFFIXES[model_format]}"
        path.write_bytes(data)
        return ModelArtifact(
            path, model_format, "float32", tuple(shape), sha256_bytes(data), len(data), "", "", **fields
        )

    return make


def _value(name: str, kind: int = TensorProto.FLOAT, shape: Sequence[object] | None = (1, 3)) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def _onnx(nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], **constants: Any) -> bytes:
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, stored)
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)]
    return bytes(helper.make_model(graph, opset_imports=domains, ir_version=8).SerializeToString())


def _endless_loop() -> bytes:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["goes_on"]), helper.make_node("Relu", ["state"], ["next"])],
        "body",
        [_value("turn", TensorProto.INT64, ()), _value("go", TensorProto.BOOL, ()), _value("state")],
        [_value("goes_on", TensorProto.BOOL, ()), _value("next")],
    )
    loop = helper.make_node("Loop", ["turns", "yes", "x"], ["y"], body=body)
    return _onnx([loop], [_value("x")], [_value("y")], turns=np.int64(_INF), yes=np.bool_(True))


def _try(artifact: ModelArtifact, runtime: str = "ort", **options: Any) -> Trial:
    with HostDevice(DeviceSpec("host", runtime), **options) as device:
        return device.try_model(artifact)


def _edit_tflite(data: bytes, change: Callable[[Any], None]) -> bytes:
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_a_good_model_tells_its_costs_and_outputs(make_net: MakeNet) -> None:
    for runtime, model_format in (("ort", "onnx"), ("litert", "tflite")):
        trial = _try(make_net(model_format, 8), runtime)
        assert trial.how == "ok" and trial.bad_outputs == ()
        assert [(one.dtype, one.shape) for one in trial.outputs] == [("float32", (1, 10))]
        assert trial.load_ms and trial.first_run_ms


@linux_only
def test_peak_memory_grows_with_what_the_model_takes(save: Save) -> None:
    peaks = []
    for megabytes in (1, 200):
        nodes = [helper.make_node("ConstantOfShape", ["s"], ["z"]), helper.make_node("ReduceMax", ["z"], ["y"])]
        size = np.array([megabytes * 250_000], np.int64)
        # The shape is an input, or the runtime would work the constant out while loading.
        data = _onnx(nodes, [_value("s", TensorProto.INT64, (1,))], [_value("y", shape=(1,))])
        peak = _try(save(data, input_fill=(("s", float(size[0])),))).peak_memory_bytes
        assert peak is not None
        peaks.append(peak)
    assert 150e6 < peaks[1] - peaks[0] < 300e6


@pytest.mark.parametrize("domain", ["acme", ""])
def test_an_operator_that_the_runtime_lacks_is_named(save: Save, domain: str) -> None:
    data = _onnx([helper.make_node("Frobnicate", ["x"], ["y"], domain=domain)], [_value("x")], [_value("y")])
    trial = _try(save(data))
    name = f"{domain}:Frobnicate" if domain else "Frobnicate"
    assert (trial.how, trial.error) == ("refused", f"the runtime has no operator {name}")


def test_a_custom_operator_of_tflite_is_named(save: Save, make_net: MakeNet) -> None:
    def customise(model: Any) -> None:
        model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = 32
        model.operatorCodes[0].customCode = b"AcmeThing"
        for operator in model.subgraphs[0].operators:
            if operator.opcodeIndex == 0:
                operator.builtinOptions, operator.builtinOptionsType = None, 0

    artifact = save(_edit_tflite(make_net("tflite", 8).path.read_bytes(), customise), "tflite")
    trial = _try(artifact, "litert")
    assert (trial.how, trial.error) == ("refused", "the runtime has no operator AcmeThing")


@pytest.mark.parametrize(("runtime", "model_format"), [("ort", "onnx"), ("litert", "tflite"), ("torch", "pt2")])
def test_garbage_is_refused_in_one_line(save: Save, runtime: str, model_format: str) -> None:
    trial = _try(save(bytes(range(256)) * 8, model_format), runtime)
    assert trial.how == "refused" and trial.error and "\n" not in trial.error and len(trial.error) <= 400


def test_a_model_that_never_ends_hangs_and_is_killed(save: Save, make_net: MakeNet) -> None:
    good = make_net("onnx", 8)
    with HostDevice(DeviceSpec("host", "ort"), deadline_s=2.0) as device:
        device.load([good])
        pid = device.worker_pid
        trial = device.try_model(save(_endless_loop()))
        (event,) = device.run([Visit(good, 2, 0)])
        assert device.worker_pid == pid and not event.error
    assert trial.how == "hung" and "no answer within 2 s" in trial.error and trial.first_run_ms is None


@linux_only
def test_a_model_that_wants_200_gb_is_out_of_memory(save: Save) -> None:
    nodes = [helper.make_node("ConstantOfShape", ["s"], ["y"])]
    data = _onnx(nodes, [_value("s", TensorProto.INT64, (1,))], [_value("y", shape=None)])
    trial = _try(save(data, input_fill=(("s", 5e10),)))
    assert trial.how == "out of memory" and "200.0 GB" in trial.error


@linux_only
def test_the_limit_to_memory_is_what_was_asked_for(save: Save) -> None:
    nodes = [helper.make_node("ConstantOfShape", ["s"], ["z"]), helper.make_node("ReduceMax", ["z"], ["y"])]
    data = _onnx(nodes, [_value("s", TensorProto.INT64, (1,))], [_value("y", shape=(1,))])
    artifact = save(data, input_fill=(("s", 100e6),))
    assert _try(artifact).how == "ok"
    trial = _try(artifact, memory_limit_bytes=200_000_000)
    assert trial.how == "out of memory" and "it may take 0.2 GB" in trial.error


@linux_only
def test_an_input_that_does_not_fit_is_out_of_memory(save: Save) -> None:
    data = _onnx([helper.make_node("Relu", ["x"], ["y"])], [_value("x", shape=("n", 1000))], [_value("y", shape=None)])
    trial = _try(save(data, input_shapes=(("x", (50_000_000, 1000)),)))
    assert trial.how == "out of memory"


def test_a_runtime_that_aborts_is_a_crash(make_net: MakeNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A stand-in for a runtime with a bug: the worker imports it in the place of LiteRT and dies inside an inference.
    folder = tmp_path / "ai_edge_litert"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "interpreter.py").write_text(
        "import os\nfrom enum import Enum\n"
        "class OpResolverType(Enum):\n    AUTO = 0\n    BUILTIN_WITHOUT_DEFAULT_DELEGATES = 3\n"
        "class Interpreter:\n"
        "    def __init__(self, **_): pass\n"
        "    def get_input_details(self): return []\n"
        "    def allocate_tensors(self): pass\n"
        "    def invoke(self):\n        os.write(2, b'corrupted size vs. prev_size')\n        os.abort()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    trial = _try(make_net("tflite", 8), "litert")
    assert trial.how == "crashed" and "SIGABRT" in trial.error and "corrupted size" in trial.error


def test_a_tflite_that_calls_itself_without_end_costs_one_trial(save: Save, make_net: MakeNet) -> None:
    def recurse(model: Any) -> None:
        options = schema.CallOnceOptionsT()
        options.initSubgraphIndex = 0
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = schema.BuiltinOperator.CALL_ONCE, 127, 1
        model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = len(model.operatorCodes) - 1, [], []
        operator.builtinOptionsType = schema.BuiltinOptions.CallOnceOptions
        operator.builtinOptions = options
        model.subgraphs[0].operators.insert(0, operator)

    trial = _try(save(_edit_tflite(make_net("tflite", 8).path.read_bytes(), recurse), "tflite"), "litert")
    assert trial.how in ("crashed", "refused") and trial.error and "\n" not in trial.error


@pytest.mark.parametrize("word", ["nan", "inf"])
def test_outputs_that_are_no_numbers_are_named(save: Save, word: str) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["fine"]),
        helper.make_node("Mul", ["x", "zero"], ["none"]),
        helper.make_node("Div", ["none" if word == "nan" else "one", "none"], ["bad"]),
    ]
    outputs = [_value("fine"), _value("bad", shape=None)]
    trial = _try(save(_onnx(nodes, [_value("x")], outputs, zero=np.float32(0), one=np.float32(1))))
    assert trial.how == "ok" and trial.bad_outputs == ("bad",)
    assert [one.name for one in trial.outputs] == ["fine", "bad"]


def test_an_index_out_of_range_says_what_to_do_and_a_filling_mends_it(save: Save) -> None:
    nodes = [helper.make_node("Gather", ["table", "index"], ["y"])]
    data = _onnx(
        nodes, [_value("index", TensorProto.INT64, (2,))], [_value("y", shape=None)], table=np.ones((10, 2), np.float32)
    )
    trial = _try(save(data))
    assert trial.how == "refused" and "out of data bounds" in trial.error and "0 to 99" in trial.error
    assert _try(save(data, input_fill=(("index", 3.0),))).how == "ok"


@pytest.mark.parametrize(
    ("field", "word"),
    [
        ({"input_fill": (("nosuch", 1.0),)}, "no input nosuch"),
        ({"input_shapes": (("x", (1, 4)),)}, "were given and the model has"),
        ({"input_fill": (("flag", 0.5),)}, "does not fit into bool"),
    ],
)
def test_what_does_not_fit_the_inputs_is_refused(save: Save, field: dict[str, Any], word: str) -> None:
    nodes = [helper.make_node("Where", ["flag", "x", "x"], ["y"])]
    data = _onnx(nodes, [_value("x"), _value("flag", TensorProto.BOOL, ())], [_value("y")])
    assert _try(save(data)).how == "ok"
    trial = _try(save(data, **field))
    assert trial.how == "refused" and word in trial.error


def test_text_inputs_are_refused(save: Save) -> None:
    data = _onnx(
        [helper.make_node("Identity", ["t"], ["y"])],
        [_value("t", TensorProto.STRING)],
        [_value("y", TensorProto.STRING)],
    )
    trial = _try(save(data))
    assert trial.how == "refused" and "tensor(string), which cannot be filled" in trial.error


def test_a_stateful_speech_model_of_several_inputs_runs(save: Save) -> None:
    # Like a voice detector: audio of a free length, a state that is fed back, a scalar rate that it checks.
    wrong = helper.make_graph(
        [helper.make_node("Gather", ["empty", "zero"], ["scale"])], "wrong", [], [_value("scale", shape=None)]
    )
    right = helper.make_graph(
        [helper.make_node("Identity", ["one"], ["scale_"])], "right", [], [_value("scale_", shape=())]
    )
    nodes = [
        helper.make_node("Equal", ["sr", "rate"], ["is_right"]),
        helper.make_node("If", ["is_right"], ["gain"], then_branch=right, else_branch=wrong),
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "gain"], ["output"]),
        helper.make_node("Add", ["h", "output"], ["hn"]),
    ]
    inputs = [_value("input", shape=("n", "t")), _value("sr", TensorProto.INT64, ()), _value("h", shape=(2, "n", 64))]
    outputs = [_value("output", shape=None), _value("hn", shape=None)]
    constants = {"rate": np.int64(16000), "one": np.float32(1), "zero": np.int64(0), "empty": np.zeros(0, np.float32)}
    data = _onnx(nodes, inputs, outputs, **constants)
    shapes = (("input", (1, 512)), ("sr", ()), ("h", (2, 1, 64)))
    artifact = save(data, input_shapes=shapes)
    with HostDevice(DeviceSpec("host", "ort")) as device:
        trial = device.try_model(artifact)
        assert trial.how == "ok", trial.error
        assert [one.shape for one in trial.outputs] == [(1, 1), (2, 1, 64)]
        (event,) = device.run([Visit(artifact, 3, 2)])
        assert not event.error and len(event.samples) == 3
        assert device.try_model(save(data, input_shapes=shapes, input_fill=(("sr", 8000.0),))).how == "refused"


@pytest.mark.parametrize("numbers", [4000, 2])
def test_an_output_whose_size_depends_on_the_data_runs(save: Save, numbers: int) -> None:
    nodes = [
        helper.make_node("RandomUniform", [], ["r"], shape=[numbers], low=-1.0, high=1.0),
        helper.make_node("Greater", ["r", "zero"], ["mask"]),
        helper.make_node("NonZero", ["mask"], ["where"]),
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("SequenceConstruct", ["x", "y"], ["both"]),
    ]
    sequence = helper.make_tensor_sequence_value_info("both", TensorProto.FLOAT, None)
    data = _onnx(
        nodes, [_value("x")], [_value("where", TensorProto.INT64, (1, "n")), _value("y"), sequence], zero=np.float32(0)
    )
    artifact = save(data)
    with HostDevice(DeviceSpec("host", "ort")) as device:
        trial = device.try_model(artifact)
        (event,) = device.run([Visit(artifact, 40, 2)])
    assert trial.how == "ok" and not event.error and len(event.samples) == 40
    assert [one.name for one in trial.outputs] == ["where", "y"]
    # Of two numbers, as many are often positive in two runs; of thousands, hardly ever.
    assert numbers == 2 or "where, both" in trial.notes[0]
    assert "both" in trial.notes[0] and " y" not in trial.notes[0].partition(":")[2]


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT8, TensorProto.INT16])
def test_inputs_of_every_numeric_type_run(save: Save, kind: int) -> None:
    data = _onnx([helper.make_node("Identity", ["x"], ["y"])], [_value("x", kind, ())], [_value("y", kind, ())])
    trial = _try(save(data))
    assert trial.how == "ok" and trial.outputs[0].shape == ()


def test_a_tflite_is_resized_by_name(save: Save, make_net: MakeNet) -> None:
    data = make_net("tflite", 8).path.read_bytes()
    trial = _try(save(data, "tflite", input_shapes=(("input", (2, 16, 16, 3)),)), "litert")
    assert trial.how == "ok" and trial.outputs[0].shape == (2, 10)


def test_a_program_of_torch_with_nan_integers_and_names(save: Save, tmp_path: Path) -> None:
    import torch

    from mnas.export.program import write_program

    class Strange(torch.nn.Module):
        def forward(self, ids: torch.Tensor, scale: torch.Tensor, *, on: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"bad": torch.log(-scale.abs() - 1), "ids": ids * 2, "on": on.logical_not()}

    inputs = (torch.zeros(1, 4, dtype=torch.int64), torch.zeros(()))
    data = write_program(Strange(), inputs, {"on": torch.zeros(3, dtype=torch.bool)})
    trial = _try(save(data, "pt2"), "torch")
    assert trial.how == "ok", trial.error
    assert len(trial.bad_outputs) == 1
    assert [(one.dtype, one.shape) for one in trial.outputs] == [("float32", ()), ("int64", (1, 4)), ("bool", (3,))]


def test_reloading_with_other_shapes_measures_those(save: Save) -> None:
    data = _onnx([helper.make_node("Relu", ["x"], ["y"])], [_value("x", shape=("n", 4))], [_value("y", shape=None)])
    small, large = (save(data, input_shapes=(("x", (n, 4)),)) for n in (1, 400_000))
    with HostDevice(DeviceSpec("host", "ort")) as device:
        fast, slow = device.run([Visit(small, 9, 2), Visit(large, 9, 2)])
    assert min(one.value_ms for one in slow.samples) > 3 * min(one.value_ms for one in fast.samples)
    assert small.identity != large.identity


def test_no_process_is_left(save: Save) -> None:
    import subprocess

    _try(save(_endless_loop()), deadline_s=1.0)
    children = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True, text=True)
    assert "devices.runtimes.worker" not in children.stdout
