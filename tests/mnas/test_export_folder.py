"""The export folder: what is written computes what the module computes, and a model that does not is not written."""

import json
import stat

import numpy as np
import onnx
import pytest
import torch

from mnas.architecture import Architecture
from mnas.errors import ExportError
from mnas.export.folder import export_folder, parity_to_json, write_card, write_models
from mnas.export.parity import parity_inputs, run_onnx, run_tflite, run_torch, settle_batch_norm
from mnas.jsonio import sha256_bytes
from mnas.modules import build_module
from mnas.spaces.presets import open_space


@pytest.fixture(scope="module")
def network():
    space = open_space("mobilenetv3", "digits")
    architecture = space.decode(space.sample(np.random.default_rng(3)))
    torch.manual_seed(0)
    module = build_module(architecture)
    settle_batch_norm(module, architecture.input_shape_chw, 0)
    return architecture, module.eval(), parity_inputs(architecture.input_shape_chw, 4, 1)


def test_the_files_hold_the_network(network, tmp_path):
    architecture, module, images = network
    exported = write_models(tmp_path, architecture, module, images, "study1")
    folder = export_folder(tmp_path, architecture.arch_id)
    assert folder == tmp_path / architecture.arch_id[:12]
    assert {path.name for path in folder.iterdir()} == {
        "architecture.json",
        "weights.pt",
        "model.onnx",
        "model.tflite",
    }
    loaded = Architecture.from_json(json.loads((folder / "architecture.json").read_text()))
    assert loaded == architecture
    again = build_module(loaded)
    again.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    expected = run_torch(module)(images)
    assert np.ptp(expected) > 0
    assert np.array_equal(run_torch(again.eval())(images), expected)
    limit = 1e-4 * np.ptp(expected)
    for run, name in ((run_onnx, "model.onnx"), (run_tflite, "model.tflite")):
        outputs = np.concatenate([run(folder / name)(image[None]) for image in images])
        assert np.abs(outputs - expected).max() <= limit
    assert all(report.ok for report in exported.parity.values())
    assert json.loads(json.dumps(parity_to_json(exported.parity["onnx"]), allow_nan=False))["moves"] >= 0.1


def test_the_files_are_described_and_say_what_they_are(network, tmp_path):
    architecture, module, images = network
    exported = write_models(tmp_path, architecture, module, images, "study1")
    channels, height, width = architecture.input_shape_chw
    for model_format, shape in (("onnx", (1, channels, height, width)), ("tflite", (1, height, width, channels))):
        artifact = exported.of_format(model_format)
        data = artifact.path.read_bytes()
        assert (artifact.sha256, artifact.size_bytes) == (sha256_bytes(data), len(data))
        assert (artifact.format, artifact.input_shape, artifact.arch_id) == (model_format, shape, architecture.arch_id)
        assert architecture.arch_id.encode() in data
        assert stat.S_IMODE(artifact.path.stat().st_mode) == 0o644
    metadata = {entry.key: entry.value for entry in onnx.load(exported.onnx.path).metadata_props}
    assert Architecture.from_json(json.loads(metadata["mnas.architecture"])) == architecture


def test_an_export_is_replaced_as_a_whole(network, tmp_path):
    architecture, module, images = network
    first = write_models(tmp_path, architecture, module, images, "study1")
    second = write_models(tmp_path, architecture, module, images, "study1")
    assert (first.onnx.sha256, first.tflite.sha256) == (second.onnx.sha256, second.tflite.sha256)
    assert len(list(export_folder(tmp_path, architecture.arch_id).iterdir())) == 4


def test_what_another_study_exported_is_kept_and_no_card_lies_beside_other_weights(network, tmp_path):
    architecture, module, images = network
    folder = export_folder(tmp_path, architecture.arch_id)
    first = write_models(tmp_path, architecture, module, images, "study1")
    write_card(tmp_path, card(architecture.arch_id, study="study1"))
    write_models(tmp_path, architecture, module, images, "study1")
    assert not (folder / "card.json").exists() and not (folder / "card.md").exists()
    write_card(tmp_path, card(architecture.arch_id, study="study1"))
    write_models(tmp_path, architecture, module, images, "study2")
    kept = tmp_path / f"{folder.name}-study1"
    assert (kept / "card.json").is_file() and sha256_bytes((kept / "model.onnx").read_bytes()) == first.onnx.sha256
    assert (folder / "model.onnx").is_file() and not (folder / "card.json").exists()


def test_a_model_that_fails_the_gate_leaves_nothing(network, tmp_path):
    architecture, _, images = network
    dead = build_module(architecture).eval()
    with torch.no_grad():
        for parameter in dead.parameters():
            parameter.zero_()
    with pytest.raises(ExportError, match=r"EXP01.*model\.onnx"):
        write_models(tmp_path, architecture, dead, images, "study1")
    assert list(tmp_path.iterdir()) == []


def card(arch_id, **changes):
    return {
        "schema": "mnas.card/1",
        "arch_id": arch_id,
        "summary": "Found <by> a study & more.",
        "preprocessing": {
            "px": 16,
            "channels": 1,
            "layout": {"onnx": "NCHW", "tflite": "NHWC"},
            "resize": "bilinear, antialiased",
            "mean": [0.25],
            "std": [0.5],
        },
        "class_labels": ["T-shirt/top", "Bag"],
        "dtype": "float32",
        "macs": 1234567,
        "params": 7654,
        "latency": {"predicted_ms": 0.12345, "measured_ms": 0.2, "device": "a cpu, onnxruntime 1, 1 thread(s)"},
        "accuracy": [{"split": "val", "top1": 0.9125, "images": 400, "note": "mean of 2 seeds"}],
        **changes,
    }


def test_a_card_is_written_for_people_and_for_programs(tmp_path):
    written = card("0123456789abcdef" * 4)
    write_card(tmp_path, written)
    folder = tmp_path / "0123456789ab"
    assert json.loads((folder / "card.json").read_text()) == written
    text = (folder / "card.md").read_text()
    assert text.startswith("# Network 0123456789ab\n\nFound \\<by> a study & more.\n")
    for part in ("16 x 16 px", "1,234,567, 7,654", "T-shirt/top, Bag", "0.2000 ms on a cpu", "0.1235 ms", "91.25 %"):
        assert part in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.count("|") == 3 for line in rows)
    assert len(rows) == 2 + 8


def test_a_card_says_that_nothing_was_measured(tmp_path):
    written = card("ab" * 32, accuracy=[])
    written["latency"]["measured_ms"] = None
    write_card(tmp_path, written)
    assert "none ms on a cpu" in (tmp_path / ("ab" * 6) / "card.md").read_text()
