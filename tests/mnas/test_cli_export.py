"""``mnas export``: what it writes, what it says, and what it refuses without leaving half a file."""

import csv
import io
import json
import os
import pickle
import shutil
import stat
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mnas.architecture import Architecture
from mnas.cli import main
from mnas.export.folder import export_folder, write_models
from mnas.export.parity import parity_inputs, run_onnx, run_tflite, run_torch, settle_batch_norm
from mnas.jsonio import sha256_bytes, write_json_atomic
from mnas.modules import build_module
from mnas.named_networks import named_network
from mnas.spaces.presets import open_space

NAMED = ("export", "mobilenetv3-small", "--px", "32", "--classes", "10")


@pytest.fixture
def run(capsys):
    """Run a command; return its exit status, stderr and stdout."""

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err + captured.out
        return status, captured.err, captured.out

    return run


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A study's export folder with its card, and the torch module in it."""
    space = open_space("mobilenetv3", "digits")
    architecture = space.decode(space.sample(np.random.default_rng(5)))
    module = build_module(architecture, seed=2)
    settle_batch_norm(module, architecture.input_shape_chw, 4)
    out = tmp_path_factory.mktemp("study")
    write_models(out, architecture, module, parity_inputs(architecture.input_shape_chw, 4, 1), "study1")
    return export_folder(out, architecture.arch_id), architecture, module.eval()


@pytest.fixture
def folder(exported, tmp_path):
    """A copy of it."""
    shutil.copytree(exported[0], tmp_path / "export")
    return tmp_path / "export"


def test_a_named_network_in_both_formats(run, tmp_path):
    status, said, told = run(*NAMED, "--out", tmp_path / "new" / "folder", "--format", "json")
    assert status == 0
    assert "RANDOM WEIGHTS (seed 0)" in said
    document = json.loads(told)
    assert document["weights"] == {"random": True, "seed": 0} and document["preprocessing"] is None
    assert [file["format"] for file in document["files"]] == ["onnx", "tflite"]
    for file in document["files"]:
        data = Path(file["path"]).read_bytes()
        assert (file["sha256"], file["size_bytes"]) == (sha256_bytes(data), len(data))
        assert file["gate"]["ok"] and file["gate"]["parity"]["relative_difference"] <= 1e-4
        assert stat.S_IMODE(os.stat(file["path"]).st_mode) == 0o644
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        "mobilenetv3-small.onnx",
        "mobilenetv3-small.tflite",
    ]


@pytest.mark.parametrize("target", ["onnx", "tflite"])
def test_one_format_in_the_output_folder(run, tmp_path, monkeypatch, target):
    monkeypatch.setenv("MNAS_OUT", str(tmp_path / "out"))
    status, said, told = run(*NAMED, "--to", target, "-q")
    assert status == 0
    assert "RANDOM WEIGHTS" in said and "next:" not in said
    assert [path.name for path in (tmp_path / "out" / "models").iterdir()] == [f"mobilenetv3-small.{target}"]
    assert "difference" in told and str(tmp_path) in told
    status, _, told = run(*NAMED, "--to", target, "--force", "--format", "csv")
    record = next(csv.DictReader(io.StringIO(told)))
    assert status == 0 and record["sha256"] == sha256_bytes(Path(record["path"]).read_bytes())


def test_equal_seeds_give_equal_files(run, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run(*NAMED, "--to", "onnx", "--seed", seed, "--out", tmp_path / name)[0] == 0
    first, second, third = ((tmp_path / name / "mobilenetv3-small.onnx").read_bytes() for name in "abc")
    assert first == second != third


@pytest.mark.parametrize("source", ["", "weights.pt"])
def test_a_study_s_network_with_its_weights(run, tmp_path, folder, exported, source):
    _, architecture, module = exported
    write_json_atomic(folder / "card.json", {"arch_id": architecture.arch_id, "preprocessing": {"mean": [0.25]}})
    status, said, told = run("export", folder / source, "--out", tmp_path / "new", "--format", "json")
    assert status == 0, said
    assert "RANDOM" not in said
    document = json.loads(told)
    assert document["weights"] == {"random": False, "path": str(folder / "weights.pt")}
    assert document["preprocessing"] == {"mean": [0.25]}
    images = parity_inputs(architecture.input_shape_chw, 3, 9)
    expected = run_torch(module)(images)
    for file, read in zip(document["files"], (run_onnx, run_tflite), strict=True):
        assert Path(file["path"]).stem == architecture.arch_id[:12]
        outputs = np.concatenate([read(Path(file["path"]))(image[None]) for image in images])
        assert np.abs(outputs - expected).max() <= 1e-4 * np.ptp(expected)
    stored = {entry.key: entry.value for entry in onnx.load(document["files"][0]["path"]).metadata_props}
    assert json.loads(stored["mnas.preprocessing"]) == {"mean": [0.25]}


def test_a_card_of_another_network_tells_nothing(run, tmp_path, folder):
    for card in ({"arch_id": "ab" * 32, "preprocessing": {"mean": [0.25]}}, [], {"arch_id": 3}):
        write_json_atomic(folder / "card.json", card)
        status, _, told = run("export", folder, "--out", tmp_path / "new", "--force", "--format", "json")
        assert status == 0 and json.loads(told)["preprocessing"] is None


def test_weights_with_their_architecture_elsewhere(run, tmp_path, folder):
    (folder / "architecture.json").rename(tmp_path / "elsewhere.json")
    status, said, _ = run("export", folder / "weights.pt", "--out", tmp_path / "new")
    assert status == 1 and "EXP30" in said and "--architecture" in said
    arguments = ("--architecture", tmp_path / "elsewhere.json", "--out", tmp_path / "new")
    assert run("export", folder / "weights.pt", *arguments)[0] == 0


def test_an_architecture_gets_random_weights(run, tmp_path, exported):
    status, said, _ = run("export", exported[0] / "architecture.json", "--to", "tflite", "--out", tmp_path)
    assert status == 0 and "RANDOM WEIGHTS" in said
    assert [path.name for path in tmp_path.iterdir()] == [f"{exported[1].arch_id[:12]}.tflite"]


def test_an_existing_file_is_kept_unless_forced(run, tmp_path):
    there = tmp_path / "mobilenetv3-small.tflite"
    there.write_text("mine")
    status, said, _ = run(*NAMED, "--out", tmp_path)
    assert status == 1 and "EXP07" in said and "--force" in said
    assert [path.name for path in tmp_path.iterdir()] == [there.name] and there.read_text() == "mine"
    assert run(*NAMED, "--out", tmp_path, "--force")[0] == 0
    assert there.read_bytes()[4:8] == b"TFL3"
    assert len(list(tmp_path.iterdir())) == 2


def a_file_as_folder(tmp_path):
    (tmp_path / "taken").write_text("")
    return tmp_path / "taken" / "below"


def a_folder_as_file(tmp_path):
    (tmp_path / "out" / "mobilenetv3-small.onnx").mkdir(parents=True)
    return tmp_path / "out"


@pytest.mark.parametrize("make", [a_file_as_folder, a_folder_as_file])
def test_an_unwritable_place(run, tmp_path, make):
    out = make(tmp_path)
    status, said, _ = run(*NAMED, "--out", out, "--force")
    assert status == 1 and "EXP08" in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "taken"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system of the kernel's own")
def test_a_place_that_fails_only_when_it_is_written(run):
    status, said, _ = run(*NAMED, "--out", "/proc/mnas")
    assert status == 1 and "EXP08" in said and "/proc/mnas" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_leave(run, tmp_path):
    tmp_path.chmod(0o500)
    status, said, _ = run(*NAMED, "--out", tmp_path / "new")
    assert status == 1 and "EXP08" in said


class _Code:
    """What runs a command when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def change(state, edit):
    edit(state)
    return state


def first_key(state):
    return next(iter(state))


def drop(state):
    del state[first_key(state)]


def narrow(state):
    state[first_key(state)] = state[first_key(state)][:-1]


def add(state):
    state["surplus.weight"] = torch.zeros(2)


def whole_numbers(state):
    state[first_key(state)] = state[first_key(state)].int()


def not_finite(state):
    state[first_key(state)][0] = float("nan")


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (drop, "no parts.stem_block0_conv"),
        (narrow, "parts.stem_block0_conv.0.weight is ("),
        (add, "unknown surplus.weight"),
        (whole_numbers, "int32"),
        (not_finite, "not finite"),
    ],
)
def test_weights_of_another_network(run, tmp_path, folder, edit, named):
    state = torch.load(folder / "weights.pt", weights_only=True)
    torch.save(change(state, edit), folder / "weights.pt")
    status, said, _ = run("export", folder, "--out", tmp_path / "new")
    assert status == 1 and "EXP10" in said and named in said
    assert not (tmp_path / "new").exists()


def test_the_first_tensor_that_differs_is_named(run, tmp_path, folder):
    other = named_network("mobilenetv3-small", 32, 10)
    write_json_atomic(folder / "architecture.json", other.to_json())
    status, said, _ = run("export", folder, "--out", tmp_path / "new")
    assert status == 1 and "EXP10" in said and other.arch_id[:12] in said and "parts.stem_block0_conv" in said


def pickled_code(path, target):
    path.write_bytes(pickle.dumps({"weight": _Code(target)}))


def saved_code(path, target):
    torch.save({"weight": _Code(target)}, path)


def text(path, target):
    path.write_text("weights: none\n" * 40)


def nothing(path, target):
    path.write_bytes(b"")


def half(path, target):
    path.write_bytes(path.read_bytes()[:-500])


def no_state(path, target):
    torch.save([torch.zeros(3)], path)


def no_tensors(path, target):
    torch.save({"epoch": 3}, path)


def empty(path, target):
    torch.save({}, path)


@pytest.mark.parametrize("write", [pickled_code, saved_code, text, nothing, half, no_state, no_tensors, empty])
def test_what_is_no_weights_is_refused_and_never_run(run, tmp_path, folder, write):
    write(folder / "weights.pt", tmp_path / "made by code")
    status, said, _ = run("export", folder / "weights.pt", "--out", tmp_path / "new")
    assert status == 1 and "EXP09" in said and "weights.pt" in said
    assert "weights_only" not in said  # torch advises to switch it off
    assert ("it would run posix.mkdir" in said) == (write is saved_code)
    assert not (tmp_path / "made by code").exists() and not (tmp_path / "new").exists()


def misfit(document):
    document["stages"][0][0]["groups"] = 7
    document["stages"][0][0]["op"] = "conv"
    document["stages"][0][0]["mid_channels"] = 0
    document["stages"][0][0]["se_channels"] = 0
    document["stages"][0][0]["se_gate"] = "none"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{", "ARC04"),
        ("\udcff", "ARC04"),
        ("[" * 100_000, "ARC04"),
        ("[]", "ARC01"),
        ('{"schema": "mnas.architecture/1"}', "ARC01"),
    ],
)
def test_an_architecture_that_is_none(run, tmp_path, content, code):
    path = tmp_path / "architecture.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    status, said, _ = run("export", path, "--out", tmp_path / "new")
    assert status == 2 and code in said
    assert not (tmp_path / "new").exists()


def test_an_architecture_that_does_not_fit(run, tmp_path, folder):
    document = json.loads((folder / "architecture.json").read_text())
    misfit(document)
    write_json_atomic(folder / "architecture.json", document)
    status, said, _ = run("export", folder / "architecture.json", "--out", tmp_path / "new")
    assert status == 2 and "ARC02" in said
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (("no-such-network",), 1, "EXP30"),
        (("{out}",), 1, "EXP30"),
        (("{out}/absent.pt",), 1, "EXP09"),
        (("{out}/absent.json",), 2, "ARC04"),
        (("{folder}", "--px", "64"), 2, "CFG30"),
        (("{folder}/architecture.json", "--classes", "3"), 2, "CFG30"),
        (("{folder}/architecture.json", "--architecture", "{folder}/architecture.json"), 2, "CFG30"),
        (("mobilenetv2", "--architecture", "{folder}/architecture.json"), 2, "CFG30"),
        (("{folder}", "--architecture", "{out}/absent.json"), 2, "ARC04"),
        (("mobilenetv2", "--to", "coreml"), 2, "coreml"),
        (("mobilenetv2", "--px", "0"), 2, "--px"),
    ],
)
def test_what_was_asked_for_cannot_be_done(run, tmp_path, folder, arguments, status, code):
    given = [argument.format(out=tmp_path, folder=folder) for argument in arguments]
    found, said, _ = run("export", *given, "--out", tmp_path / "new")
    assert found == status and code in said
    assert not (tmp_path / "new").exists()


def test_a_dead_network_is_refused_and_nothing_is_written(run, tmp_path, folder):
    state = torch.load(folder / "weights.pt", weights_only=True)
    torch.save({name: torch.zeros_like(value) for name, value in state.items()}, folder / "weights.pt")
    status, said, _ = run("export", folder, "--out", tmp_path / "new")
    assert status == 1 and "EXP01" in said and "hardly depends" in said
    assert not (tmp_path / "new").exists()


def test_the_architecture_in_a_file_gives_the_same_file(run, tmp_path, exported):
    """What an ONNX file says of itself is enough to write it again."""
    assert run("export", exported[0] / "architecture.json", "--to", "onnx", "--out", tmp_path / "a")[0] == 0
    path = next((tmp_path / "a").iterdir())
    stored = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    write_json_atomic(
        tmp_path / "again.json", Architecture.from_json(json.loads(stored["mnas.architecture"])).to_json()
    )
    assert run("export", tmp_path / "again.json", "--to", "onnx", "--out", tmp_path / "b")[0] == 0
    assert next((tmp_path / "b").iterdir()).read_bytes() == path.read_bytes()
