"""From what a person names to a file that a device runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from devices.models.shapes import parse_shapes
from devices.models.source import natural_formats, open_model, unique_labels
from mnas.counts import total_macs
from mnas.errors import ArchitectureError, ModelError
from mnas.layers import layers_of
from mnas.named_networks import named_network

FORMATS = ("onnx", "tflite", "pt2")
NETS = """
import sys
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.linear = nn.Linear(4, 5)
        self.dropout = nn.Dropout(0.5)

    def forward(self, image):
        return self.dropout(self.linear(torch.relu(self.conv(image)).mean((2, 3))))

class Two(nn.Module):
    def forward(self, tokens, mask):
        return nn.functional.one_hot(tokens, 10).float() @ mask

class Branching(nn.Module):
    def forward(self, x):
        return x + 1 if float(x.sum()) > 0 else x

def with_inputs():
    return Net(), (torch.zeros(2, 3, 8, 8),)

def two():
    return Two(), (torch.tensor([[1, 2]]), torch.zeros(10, 4))

def number():
    return 7

def loud():
    print("loud")
    return Net(), torch.zeros(1, 3, 8, 8)

def broken():
    raise RuntimeError("first line\\nsecond line")

def leaves():
    sys.exit(3)

def text_inputs():
    return Net(), ("x",)

ready = Net()
value = 5
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """A module of factories in the working folder, under a name of its own."""
    name = f"nets_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    yield name
    sys.modules.pop(name, None)


def refused_network(code, text, folder):
    with pytest.raises(ArchitectureError) as caught:
        open_model(text, "onnx", folder)
    assert caught.value.code == code and "\n" not in str(caught.value), str(caught.value)


def refused(code, text, model_format="onnx", folder=None, shapes=None):
    with pytest.raises(ModelError) as caught:
        open_model(text, model_format, folder, shapes)
    assert caught.value.code == code and "\n" not in str(caught.value), str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        ("mobilenetv3-large", FORMATS),
        ("mobilenetv2@96", FORMATS),
        ("a/net.onnx", ("onnx",)),
        ("NET.TFLITE", ("tflite",)),
        ("net.pt2", ("pt2",)),
        ("architecture.json", FORMATS),
        ("pkg.mod:make", ("pt2", "onnx")),
        ("pkg:Class.make", ("pt2", "onnx")),
    ],
)
def test_formats_are_told_without_loading(text, formats):
    assert natural_formats(text) == formats


@pytest.mark.parametrize("text", ["resnet", "mobilenetv2@", "mobilenetv2@x", "a b:c", ":make", "", "x" * 5000, "a\0b"])
def test_what_is_no_model_is_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = "MOD02" if not text else "MOD01"
    with pytest.raises(ModelError, match=expected):
        natural_formats(text)


def test_a_file_goes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mobilenetv2").write_text("x")
    with pytest.raises(ModelError, match=r"MOD05.*ending"):
        natural_formats("mobilenetv2")
    (tmp_path / "mobilenetv2").unlink()
    (tmp_path / "mobilenetv2").mkdir()
    with pytest.raises(ModelError, match=r"MOD02.*folder"):
        natural_formats("mobilenetv2")


@pytest.mark.parametrize("form", FORMATS)
def test_named_networks_and_architectures_give_the_same_file(tmp_path, form):
    architecture = named_network("mobilenetv3-small", 64)
    (tmp_path / "architecture.json").write_text(json.dumps(architecture.to_json()))
    named = open_model("mobilenetv3-small@64", form, tmp_path / "out")
    read = open_model(str(tmp_path / "architecture.json"), form, tmp_path / "again")
    assert named.artifact.sha256 == read.artifact.sha256 == named.artifact.identity
    assert (named.label, read.label) == ("mobilenetv3-small@64", "architecture.json")
    assert named.description.macs == total_macs(layers_of(architecture))
    assert named.artifact.path.is_file() and named.artifact.input_shapes == ()
    assert named.artifact.arch_id == architecture.arch_id


def test_all_formats_of_a_network_compute_the_same(tmp_path):
    import onnxruntime
    import torch

    onnx_file, program = (open_model("mobilenetv3-small@64", form, tmp_path).artifact.path for form in ("onnx", "pt2"))
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    expected = session.run(None, {"input": image})[0]
    got = torch.export.load(program).module()(torch.from_numpy(image)).detach().numpy()
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(got, expected, atol=1e-4 * float(np.abs(expected).max()))


def test_the_default_is_224_pixels(tmp_path):
    assert open_model("mobilenetv3-small", "onnx", tmp_path).artifact.input_shape == (1, 3, 224, 224)
    refused_network("ARC01", "mobilenetv3-small@0", tmp_path)
    refused("MOD06", "mobilenetv3-small", folder=tmp_path, shapes=parse_shapes(["1,3,160,160"]))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("{}", "ARC01"),
        ("[1", "ARC04"),
        ("null", "ARC01"),
        ('{"input_shape_chw": 3}', "ARC01"),
        ("[" * 100_000, "ARC04"),
    ],
    ids=lambda value: value[:9],
)
def test_a_file_that_is_no_architecture(tmp_path, data, code):
    path = tmp_path / "architecture.json"
    path.write_text(data)
    refused_network(code, str(path), tmp_path)


def test_a_file_stays_where_it_is(tmp_path, make_net):
    net = make_net("onnx", 8)
    opened = open_model(str(net.path), "onnx", tmp_path / "unused")
    artifact = opened.artifact
    assert (artifact.path, artifact.sha256, artifact.size_bytes) == (net.path, net.sha256, net.size_bytes)
    assert artifact.input_shapes == (("input", (1, 3, 16, 16)),) and artifact.input_shape == (1, 3, 16, 16)
    assert (artifact.dtype, artifact.writer_version, opened.label) == ("float32", "", "net8.onnx")
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize(
    ("own", "wanted", "device"),
    [("onnx", "tflite", "host:ort"), ("tflite", "onnx", "host:litert"), ("tflite", "pt2", "host:litert")],
)
def test_a_wrong_format_names_the_device_that_would_do(tmp_path, make_net, own, wanted, device):
    text = refused("MOD05", str(make_net(own, 8).path), wanted, tmp_path)
    assert f"--device {device}" in text
    text = refused("MOD05", "pkg:make", "tflite", tmp_path)
    assert "host:torch or host:ort" in text


@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_a_factory_becomes_a_file_and_the_same_one_again(nets, tmp_path, form):
    opened = open_model(f"{nets}:with_inputs", form, tmp_path / "out")
    assert opened.description.macs == 2 * (4 * 36 * 27 + 4 * 5)
    assert opened.artifact.input_shapes == (("image", (2, 3, 8, 8)),)
    assert opened.label == f"{nets}:with_inputs"
    again = open_model(f"{nets}:with_inputs", form, tmp_path / "again")
    assert again.artifact.sha256 == opened.artifact.sha256
    data = opened.artifact.path.read_bytes()
    assert str(tmp_path).encode() not in data and b"Traceback" not in data
    shaped = open_model(f"{nets}:Net", form, tmp_path / "out", parse_shapes(["1,3,16,16"]))
    assert shaped.description.macs == 4 * 14 * 14 * 27 + 4 * 5
    assert shaped.artifact.sha256 != opened.artifact.sha256


def test_the_program_of_a_factory_is_in_evaluation_mode(nets, tmp_path):
    import onnxruntime

    path = open_model(f"{nets}:with_inputs", "onnx", tmp_path).artifact.path
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    image = {"image": np.ones((2, 3, 8, 8), np.float32)}
    first, second = (session.run(None, image)[0] for _ in "ab")
    assert np.abs(first).max() > 0 and (first == second).all()


def test_what_a_factory_prints_is_no_result(nets, tmp_path, capfd):
    open_model(f"{nets}:loud", "onnx", tmp_path)
    assert capfd.readouterr() == ("", "loud\n")


def test_a_factory_with_several_inputs(nets, tmp_path):
    opened = open_model(f"{nets}:two", "pt2", tmp_path)
    assert [(one.name, one.dtype, one.shape) for one in opened.description.inputs] == [
        ("tokens", "int64", (1, 2)),
        ("mask", "float32", (10, 4)),
    ]
    larger = open_model(f"{nets}:two", "pt2", tmp_path, parse_shapes(["tokens=3,5"]))
    assert [one.shape for one in larger.description.inputs] == [(3, 5), (10, 4)]
    assert larger.description.macs == 3 * 5 * 10 * 4
    assert "tokens, mask" in refused("MOD06", f"{nets}:two", "pt2", tmp_path, {"image": (1, 2)})
    assert "tokens, mask" in refused("MOD06", f"{nets}:two", "pt2", tmp_path, {"": (1, 2)})


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("number", "MOD08", "no torch module"),
        ("broken", "MOD08", "RuntimeError: first line second line"),
        ("leaves", "MOD08", "SystemExit"),
        ("absent", "MOD08", "absent"),
        ("value", "MOD08", "neither a callable nor a module"),
        ("text_inputs", "MOD08", "not all tensors"),
        ("Net", "MOD07", "--shape image="),
        ("ready", "MOD07", "--shape image="),
    ],
)
def test_a_factory_that_gives_no_model(nets, tmp_path, name, code, words):
    before = list(sys.path)
    assert words in refused(code, f"{nets}:{name}", "pt2", tmp_path)
    assert sys.path == before


def test_modules_that_cannot_be_imported_or_exported(nets, tmp_path):
    refused("MOD08", "no_such_package.mod:make", "pt2", tmp_path)
    (tmp_path / f"{nets}x.py").write_text("def make(:\n")
    assert "SyntaxError" in refused("MOD08", f"{nets}x:make", "pt2", tmp_path)
    for form in ("pt2", "onnx"):
        refused("MOD09", f"{nets}:Branching", form, tmp_path, {"": (2,)})
        refused("MOD09", f"{nets}:Net", form, tmp_path, {"": (1, 4, 8, 8)})


def test_without_the_exporters_package_the_fix_is_named(nets, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert "mnas[torch-export]" in refused("MOD11", f"{nets}:with_inputs", "onnx", tmp_path)


def test_shapes_are_part_of_what_is_measured(nets, tmp_path):
    import torch

    class Free(torch.nn.Module):
        def forward(self, x):
            return torch.relu(x)

    program = torch.export.export(
        Free(), (torch.zeros(4, 5),), dynamic_shapes={"x": {0: torch.export.Dim("n"), 1: torch.export.Dim("m")}}
    )
    path = tmp_path / "free.pt2"
    torch.export.save(program, path)
    small, large = (open_model(str(path), "pt2", tmp_path, {"x": (2, size)}) for size in (3, 4))
    assert small.description.outputs[0].shape == (2, 3)
    assert small.artifact.sha256 == large.artifact.sha256
    assert small.artifact.identity != large.artifact.identity
    assert small.artifact.identity == open_model(str(path), "pt2", tmp_path, {"": (2, 3)}).artifact.identity
    refused("MOD07", str(path), "pt2", tmp_path)


def test_labels_differ(tmp_path, make_net, monkeypatch):
    net = make_net("onnx", 8).path
    for name in ("a/x/net.onnx", "b/x/net.onnx", "b/y/net.onnx", "b/other.onnx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(net, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    texts = ["a/x/net.onnx", "b/x/net.onnx", "b/y/net.onnx", "b/other.onnx", "mobilenetv2", "absent.onnx"]
    labels = unique_labels(texts)
    assert labels == ("a/x/net.onnx", "b/x/net.onnx", "y/net.onnx", "other.onnx", "mobilenetv2", "absent.onnx")
    twice = unique_labels(["b/other.onnx", str(tmp_path / "b" / "other.onnx"), "mobilenetv2", "mobilenetv2"])
    assert [label if isinstance(label, str) else label.code for label in twice] == [
        "other.onnx", "MOD10", "mobilenetv2", "MOD10",
    ]  # fmt: skip


def test_naming_a_model_loads_nothing_heavy():
    code = """
        import sys
        from devices.models.source import natural_formats, unique_labels
        natural_formats("mobilenetv3-large"), natural_formats("a.b:c"), natural_formats("x.onnx"), unique_labels(["x"])
        heavy = {"torch", "onnx", "onnxruntime", "flatbuffers", "scipy"} & set(sys.modules)
        sys.exit(str(heavy) if heavy else 0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
