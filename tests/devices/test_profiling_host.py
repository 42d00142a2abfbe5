"""Profiles of real models by the real runtimes, each in its own process."""

from __future__ import annotations

import copy
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from devices.profiling.profile import OpProfile, by_operator
from devices.profiling.run import profile_model
from devices.profiling.trace import chrome_trace
from devices.spec import DeviceSpec
from mnas.errors import ConfigError, MeasurementError
from mnas.export.artifact import ModelArtifact, save_artifact

MakeNet = Callable[[str, int], ModelArtifact]
MakeBad = Callable[[str, bytes], ModelArtifact]
ORT, LITERT, TORCH = (DeviceSpec("host", name) for name in ("ort", "litert", "torch"))
BUILTIN = replace(LITERT, delegate="none")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> ModelArtifact:
    """A saved torch program."""
    import torch

    from mnas.export.program import write_program

    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(10))
    module(torch.zeros(1, 3, 16, 16))
    data = write_program(module.eval(), (torch.zeros(1, 3, 16, 16),))
    path = tmp_path_factory.mktemp("programs") / "net.pt2"
    return save_artifact(data, path, model_format="pt2", input_shape_chw=(3, 16, 16))


def check(profile: OpProfile, runs: int) -> None:
    assert profile.runs == runs
    assert profile.total_ms > 0
    assert 0 < profile.coverage <= 1.001
    assert profile.coverage == pytest.approx(sum(one.share for one in profile.ops))
    assert [one.place for one in profile.ops] == list(range(len(profile.ops)))
    assert all(0 <= one.min_ms <= one.mean_ms * (1 + 1e-9) for one in profile.ops)
    wholes = [span for span in profile.trace if not span.op]
    assert len(wholes) == runs
    assert sum(span.duration_us for span in wholes) / runs / 1000 == pytest.approx(profile.total_ms)
    spans = [event for event in chrome_trace(profile)["traceEvents"] if event["ph"] == "X"]
    assert len(spans) == len(profile.trace) > runs
    for whole in wholes:
        end = whole.start_us + whole.duration_us
        inner = [span for span in profile.trace if span.run == whole.run and span.op]
        # Two microseconds, since runtimes cut starts and durations off to whole ones.
        assert all(whole.start_us <= span.start_us and span.start_us + span.duration_us <= end + 2 for span in inner)


def test_onnxruntime_names_its_nodes(make_net: MakeNet) -> None:
    profile = profile_model(ORT, make_net("onnx", 32), runs=7, warmup=2)
    check(profile, 7)
    assert {"Conv", "GlobalAveragePool", "Gemm"} <= {one.op for one in profile.ops}
    assert all(one.calls == 1.0 for one in profile.ops)
    assert profile.ops[-1].detail == {"provider": "CPUExecutionProvider", "output_shapes": [[1, 10]]}
    assert any("without profiler" in note for note in profile.notes)


def test_a_bigger_model_has_bigger_operators(make_net: MakeNet) -> None:
    small, big = (profile_model(BUILTIN, make_net("tflite", channels), runs=5) for channels in (8, 512))
    convolutions = [next(one for one in by_operator(profile) if one.op == "CONV_2D") for profile in (small, big)]
    assert convolutions[1].min_ms > 3 * convolutions[0].min_ms


def test_litert_shows_xnnpacks_operators_or_its_own(make_net: MakeNet) -> None:
    net = make_net("tflite", 256)
    theirs, own = profile_model(LITERT, net, runs=5), profile_model(BUILTIN, net, runs=5)
    check(theirs, 5)
    check(own, 5)
    assert (theirs.view, own.view) == ("XNNPACK's operators", "LiteRT's built-in kernels, without XNNPACK")
    assert {one.detail["kernel"] for one in theirs.ops} == {"XNNPACK"}
    assert {one.detail["kernel"] for one in own.ops} == {"built-in"}
    assert {"CONV_2D", "MEAN", "FULLY_CONNECTED"} <= {one.op for one in own.ops}
    assert own.ops[-1].detail["output_shapes"] == [[1, 10]]
    assert not {one.op for one in theirs.ops} & {one.op for one in own.ops}
    assert any("parts: 1" in note for note in theirs.notes)


def split_by_norm(net: ModelArtifact, path: Path) -> ModelArtifact:
    """Put an operator that XNNPACK lacks behind the convolution of a small net."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(net.path.read_bytes(), 0)
    graph = model.subgraphs[0]
    codes = [code.builtinCode for code in model.operatorCodes]
    place = [codes[one.opcodeIndex] for one in graph.operators].index(schema.BuiltinOperator.CONV_2D)
    before, after = graph.operators[place].outputs[0], len(graph.tensors)
    tensor = copy.deepcopy(graph.tensors[before])
    tensor.name = b"normed"
    graph.tensors.append(tensor)
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.L2_NORMALIZATION
    code.version, operator.opcodeIndex = 1, len(codes)
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.L2NormOptions, schema.L2NormOptionsT()
    model.operatorCodes.append(code)
    for one in graph.operators[place + 1 :]:
        one.inputs = [after if index == before else index for index in one.inputs]
    operator.inputs, operator.outputs = [before], [after]
    graph.operators.insert(place + 1, operator)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return save_artifact(bytes(builder.Output()), path, model_format="tflite", input_shape_chw=(3, 16, 16))


def test_what_xnnpack_does_not_take_is_named(make_net: MakeNet, tmp_path: Path) -> None:
    net = make_net("tflite", 64)
    profile = profile_model(LITERT, split_by_norm(net, tmp_path / "split.tflite"), runs=5)
    check(profile, 5)
    kernels = [one.detail["kernel"] for one in profile.ops]
    assert kernels.count("built-in") == 1
    assert next(one for one in profile.ops if one.detail["kernel"] == "built-in").name == "normed"
    assert {one.detail["part"] for one in profile.ops if one.detail["kernel"] == "XNNPACK"} == {0, 1}
    assert all(one.calls == 1.0 for one in profile.ops)
    assert any("L2_NORMALIZATION x 1" in note for note in profile.notes)


def test_torch_names_the_operators_that_the_program_calls(program: ModelArtifact) -> None:
    profile = profile_model(TORCH, program, runs=4)
    check(profile, 4)
    operators = [one.op for one in profile.ops]
    assert operators[:2] == ["aten::conv2d", "aten::relu"] and operators[-1] == "aten::linear"
    assert profile.ops[0].detail["input_shapes"][0] == [1, 3, 16, 16]


def test_several_inputs_open_sizes_and_a_loop(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    def value(name: str, kind: int, shape: list[object]) -> object:
        return helper.make_tensor_value_info(name, kind, shape)

    condition, state = value("c", TensorProto.BOOL, []), value("v", TensorProto.FLOAT, ["n", 64])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["c"], ["c_out"], name="keep"),
            helper.make_node("MatMul", ["v", "w"], ["v_out"], name="step"),
        ],
        "body",
        [value("i", TensorProto.INT64, []), condition, state],
        [value("c_out", TensorProto.BOOL, []), value("v_out", TensorProto.FLOAT, ["n", 64])],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["count", "", "x"], ["y"], name="loop", body=body)],
        "looped",
        [value("x", TensorProto.FLOAT, ["n", 64]), value("count", TensorProto.INT64, [])],
        [value("y", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor("w", TensorProto.FLOAT, [64, 64], np.zeros(4096, np.float32))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data = model.SerializeToString()
    made = save_artifact(data, tmp_path / "loop.onnx", model_format="onnx", input_shape_chw=(1, 1, 1))
    artifact = replace(made, input_shape=(), input_shapes=(("x", (256, 64)), ("count", ())))
    profile = profile_model(ORT, artifact, runs=3, fill={"count": 5})
    check(profile, 3)
    calls = {one.name: one.calls for one in profile.ops}
    assert calls["loop"] == 1.0 and calls["step"] == 5.0
    with pytest.raises(MeasurementError, match=r"MEA20.*no input z"):
        profile_model(ORT, replace(artifact, input_shapes=(("z", (1,)),)), runs=1)


@pytest.mark.parametrize(("spec", "model_format"), [(ORT, "onnx"), (LITERT, "tflite"), (TORCH, "pt2")])
def test_what_is_no_model_has_a_reason(spec: DeviceSpec, model_format: str, tmp_path: Path) -> None:
    path = tmp_path / "bad"
    bad = save_artifact(bytes(range(256)) * 8, path, model_format=model_format, input_shape_chw=(3, 8, 8))
    with pytest.raises(MeasurementError, match="MEA20") as caught:
        profile_model(spec, bad)
    assert str(path) in str(caught.value)
    path.unlink()
    with pytest.raises(MeasurementError, match="MEA20"):
        profile_model(spec, bad)


def test_what_no_part_profiles_is_refused_before_anything_runs(make_net: MakeNet) -> None:
    net = make_net("onnx", 8)
    phone = DeviceSpec.parse("adb:1234/litert")
    for spec in (phone, replace(ORT, cpus="big"), replace(LITERT, delegate="gpu")):
        with pytest.raises(ConfigError, match="CFG16"):
            profile_model(spec, net)
    for runs, warmup in ((0, 0), (1, -1)):
        with pytest.raises(ConfigError, match="CFG16"):
            profile_model(ORT, net, runs=runs, warmup=warmup)
    with pytest.raises(MeasurementError, match=r"MEA20.*reads tflite"):
        profile_model(LITERT, net)


def test_a_profile_that_takes_too_long_is_ended_and_leaves_nothing(
    make_net: MakeNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(MeasurementError, match=r"MEA21.*within 1 s"):
        profile_model(ORT, make_net("onnx", 8), runs=10_000_000, deadline_s=1.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
@pytest.mark.parametrize(
    ("script", "seen"), [("kill -SEGV $$", "killed by SIGSEGV.*it said: boom"), ("exit 7", "ended with code 7")]
)
def test_a_process_that_dies_is_told_from_a_model_that_fails(
    script: str, seen: str, make_net: MakeNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\necho boom >&2\n{script}\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(MeasurementError, match=f"MEA21.*{seen}"):
        profile_model(ORT, make_net("onnx", 8))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity here")
def test_cpus_that_are_not_there_are_named(make_net: MakeNet) -> None:
    with pytest.raises(MeasurementError, match=r"MEA20.*pinned"):
        profile_model(replace(ORT, cpus="8000000000000000"), make_net("onnx", 8))
